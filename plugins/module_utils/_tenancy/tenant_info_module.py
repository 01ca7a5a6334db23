# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.tenant_info`` does."""

from __future__ import annotations

import datetime
import typing as t

from .._module import Context
from .._pool.connection import connection_options
from .._pool.pool_findings import pool_findings
from .._pool.session import Session
from .findings import Finding, finding, in_order, tenant_findings
from .quota_spec import quota_spec
from .tenancy import balances_of, container_facts, read_tenancy, tenant_facts


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Tell who has what in the pool, and what is wrong with it."""
    quotas = quota_spec({"tenants": parameters["tenants"], "vms": []}).quotas
    options = connection_options(parameters)
    with Session(options, context.warn) as session:
        tenancy = read_tenancy(session)
    balances = balances_of(tenancy, quotas)
    findings = [*tenant_findings(tenancy, balances), *_of_the_pool(tenancy.pool, verified=options.validate_certs)]

    def wanted(tenant: str | None) -> bool:
        return not quotas or tenant is None or tenant in quotas

    return {
        "changed": False,
        "tenants": [each for each in tenant_facts(tenancy, balances) if wanted(each["name"])],
        "containers": [each for each in container_facts(tenancy) if wanted(each["tenant"])],
        "findings": in_order(each for each in findings if wanted(each["tenant"])),
    }


def _of_the_pool(facts: dict[str, t.Any], *, verified: bool) -> t.Iterator[Finding]:
    for each in pool_findings(facts, datetime.datetime.now(datetime.UTC)):
        yield {**each, "tenant": None}
    if not verified:
        what = "this very task has not verified the pool's certificate: whoever is on the way can read the password"
        mend = "give xapi_ca_path or xapi_fingerprint, and leave xapi_validate_certs on"
        yield finding("unverified-pool", "high", None, facts["pool"]["name"] or "pool", what, mend)
