# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm_snapshot`` does."""

from __future__ import annotations

import datetime
import typing as t

from .._module import Context
from .connection import connection_options
from .converge import converge
from .session import Session
from .snapshot_apply import SnapshotPerformer
from .snapshot_observe import observe_snapshots
from .snapshot_plan import ObservedSnapshots, SnapshotSpec, plan_snapshot, snapshot_spec
from .vm_spec import vm_named


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Bring one snapshot of one VM to what is asked for."""
    vm = vm_named(parameters)
    spec = snapshot_spec(parameters, vm)
    now = datetime.datetime.now(datetime.UTC)
    with Session(connection_options(parameters), context.warn) as session:
        return converge(
            context,
            "snapshot",
            observe=lambda: observe_snapshots(session, vm),
            plan=lambda observed: plan_snapshot(spec, observed, now),
            performer=lambda observed: SnapshotPerformer(session, spec, observed, context.progress),
            facts=lambda observed: _facts(spec, observed),
        )


def _facts(spec: SnapshotSpec, observed: ObservedSnapshots) -> dict[str, t.Any] | None:
    named = (each for each in observed.snapshots if spec.name in (each.name, each.uuid))
    found = None if spec.state == "absent" else next(named, None)
    return found.facts() if found else None
