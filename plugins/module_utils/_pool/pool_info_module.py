# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.pool_info`` does."""

from __future__ import annotations

import datetime
import typing as t

from .._module import Context
from .bulk_reads import field_is, records_where, snapshot_of
from .connection import connection_options
from .pool_findings import pool_findings
from .pool_survey import CLASSES, survey
from .session import Session


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Tell what the pool is made of, what is left of it, and what is wrong with it."""
    with Session(connection_options(parameters), context.warn) as session:
        seen = snapshot_of(session, *CLASSES)
        vms = records_where(session, "VM", field_is("is_a_template", "false"))
    facts = survey(seen, vms)
    return {"changed": False, **facts, "findings": pool_findings(facts, datetime.datetime.now(datetime.UTC))}
