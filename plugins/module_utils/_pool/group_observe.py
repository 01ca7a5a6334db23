# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Observing the groups of VMs of a pool: two calls."""

from __future__ import annotations

from . import marks
from .bulk_reads import field_is, records_where, snapshot_of
from .group_plan import Group, Member, ObservedGroups
from .session import Session
from .vm_identity import is_vm

RESTRICTION = "restrict_vm_groups"
RECOMMENDATION = "max-vm-anti-affinity-groups"


def observe_groups(session: Session) -> ObservedGroups:
    """The pool's groups and VMs, and whether it has groups at all."""
    seen = snapshot_of(session, "pool", "vm_group")
    pool = next(iter(seen["pool"].values()))
    groups = {
        ref: Group(record["name_label"], record["name_description"], record["placement"], ref, record["uuid"])
        for ref, record in seen.get("vm_group", {}).items()
    }
    vms = records_where(session, "VM", field_is("is_a_template", "false"))
    recommended = pool.get("recommendations", {}).get(RECOMMENDATION, "")
    return ObservedGroups(
        unavailable=_unavailable(pool["restrictions"].get(RESTRICTION)),
        groups=tuple(groups.values()),
        vms=tuple(
            Member(
                ref=ref,
                name=record["name_label"],
                owner=marks.owner_of_vm(record["other_config"], record["uuid"]),
                groups=tuple(groups[group].label for group in record.get("groups", ()) if group in groups),
            )
            for ref, record in vms.items()
            if is_vm(record)
        ),
        recommended=int(recommended) if recommended.isdigit() else None,
    )


def _unavailable(restriction: str | None) -> str:
    if restriction is None:
        return "the pool is older than VM groups; they came with XAPI 24.19.1, in XenServer 8 and XCP-ng 8.3"
    if restriction == "true":
        return "the pool's licence does not allow VM groups (restrict_vm_groups)"
    return ""
