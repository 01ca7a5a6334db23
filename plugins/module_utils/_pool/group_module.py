# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm_group`` does."""

from __future__ import annotations

import typing as t

from .._module import Context
from .connection import connection_options
from .converge import converge
from .group_apply import GroupPerformer
from .group_observe import observe_groups
from .group_plan import facts_of, group_spec, plan_group
from .session import Session


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Bring one group of VMs to what is asked for."""
    spec = group_spec(parameters)
    with Session(connection_options(parameters), context.warn) as session:
        return converge(
            context,
            "group",
            observe=lambda: observe_groups(session),
            plan=lambda observed: plan_group(spec, observed),
            performer=lambda observed: GroupPerformer(session, spec, observed),
            facts=lambda observed: facts_of(spec, observed),
        )
