# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.network`` does."""

from __future__ import annotations

import typing as t

from .._module import Context
from .connection import connection_options
from .converge import converge
from .network_apply import NetworkPerformer
from .network_facts import network_spec
from .network_observe import observe_networks
from .network_plan import plan_network
from .session import Session


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Bring one network to what is asked for."""
    spec = network_spec(parameters)
    removed = spec.planned_removals if context.check_mode else ()
    with Session(connection_options(parameters), context.warn) as session:
        return converge(
            context,
            "network",
            observe=lambda: observe_networks(session, spec).without_vms(removed),
            plan=lambda observed: plan_network(spec, observed),
            performer=lambda observed: NetworkPerformer(session, spec.marks(), observed, context.progress),
            facts=lambda observed: observed.ours.facts() if observed.ours else None,
        )
