# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.tenant_quota`` does."""

from __future__ import annotations

import typing as t

from .._errors import HardshellError
from .._module import Context
from .._pool.connection import connection_options
from .._pool.pool_use import read_pool_use
from .._pool.session import Session
from .quota import Verdict, judge
from .quota_spec import quota_spec
from .quota_table import over_already, refusal


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Hold what is asked for against quotas and pool. Raises ``HardshellError`` with the tables for what does not fit."""
    spec = quota_spec(parameters)
    with Session(connection_options(parameters), context.warn) as session:
        verdict = judge(spec, read_pool_use(session, [vm.source for vm in spec.vms if vm.source]))
    for warning in over_already(verdict):
        context.warn(warning)
    result = {"tenants": _tenants(verdict), "refused": list(verdict.refused)}
    table = refusal(verdict)
    if table:
        message = "this is more than a quota or the pool allows; nothing was changed\n" + "\n".join(table)
        raise HardshellError(message, table=table, **result)
    return {"changed": False, "changes": [], **result}


def _tenants(verdict: Verdict) -> list[dict[str, t.Any]]:
    """The balances by tenant, as plain data."""
    names = dict.fromkeys(balance.tenant for balance in verdict.balances)
    return [
        {
            "name": name,
            **{
                key: {each.resource: getattr(each, key) for each in verdict.balances if each.tenant == name}
                for key in ("quota", "in_use", "asked")
            },
        }
        for name in names
    ]
