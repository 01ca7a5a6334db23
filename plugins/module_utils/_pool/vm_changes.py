# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What the plan of one VM is made of: the changes of the VM itself, and how they are shown. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._plan import Change, Plan
from .record_calls import Call
from .vm_facts import Disk, Remains, Template, Vm


@dataclass(frozen=True)
class Outcome:
    """A plan, the VM after it, and what the user should know besides. What only the pool can know is None in ``vm``."""

    plan: Plan
    vm: Vm | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewVm:
    """A VM to be cloned from ``template``, or finished where an interrupted run left ``unfinished``.

    ``copy_to``: copied whole instead, to that SR, or with the null reference to those that its disks are on.
    """

    template: Template | None
    unfinished: Vm | None
    after: Vm
    copy_to: str | None = None


@dataclass(frozen=True)
class ChangedVm:
    """What of the VM itself is to be set. ``adopted``: its marks too. ``claimed``: the disks that are taken over with it."""

    before: Vm
    after: Vm
    adopted: bool
    calls: tuple[Call, ...]
    claimed: tuple[Disk, ...] = ()


@dataclass(frozen=True)
class ChangedPool:
    """What the pool itself must be set to for what the VM asks of it."""

    calls: tuple[Call, ...]


@dataclass(frozen=True)
class RemovedVm:
    vm: Vm


def own_shown(vm: Vm) -> dict[str, t.Any]:
    return {
        "name": vm.name,
        "description": vm.description,
        "owner": vm.owner and str(vm.owner),
        **vm.settings.facts(),
        "tags": list(vm.tags),
    }


def remains_deleted(remains: Remains, reason: str, needs: tuple[str, ...] = ()) -> Change:
    before = {"uuid": remains.uuid}
    return Change(f"vm:{remains.uuid}", "delete", "vm", remains.name, before, None, needs, reason, payload=remains)


def loose_deleted(disk: Disk) -> Change:
    return disk_deleted(f"loose:{disk.uuid}", disk, reason="an interrupted run left it unattached")


def disk_deleted(change_id: str, disk: Disk, needs: tuple[str, ...] = (), reason: str = "") -> Change:
    before = {"size": disk.size, "sr": disk.sr, "uuid": disk.uuid}
    return Change(change_id, "delete", "disk", disk.name or str(disk.uuid), before, None, needs, reason, payload=disk)


def rendered(changes: t.Sequence[Change], before: Vm | None, after: Vm | None, *, with_host: bool = False) -> Plan:
    in_order = []
    for number, change in enumerate(changes):
        needs = change.needs or ((changes[number - 1].id,) if number else ())
        in_order.append(replace(change, needs=needs))
    gone = [change.name for change in changes if change.id.startswith("loose:")]
    unattached = {"unattached_disks": gone} if gone else {}
    return Plan(tuple(in_order), {**_diffable(before, with_host), **unattached}, _diffable(after, with_host))


def _diffable(vm: Vm | None, with_host: bool) -> dict[str, t.Any]:
    """The facts for a diff: not what the pool measures, which changes by itself. ``with_host``: the host was asked for."""
    if vm is None:
        return {}
    facts = vm.facts()
    for measured in ("addresses", "address", "uuid", *([] if with_host else ["host"])):
        facts.pop(measured)
    if vm.returns_to is not None:
        facts["power_cycle"] = vm.returns_to
    if vm.power_state == "running":
        for disk, shown_disk in zip(vm.disks, facts["disks"], strict=True):
            if not disk.plugged:
                shown_disk["plugged"] = False
    for disk, shown_disk in zip(vm.disks, facts["disks"], strict=True):
        if not disk.marked:
            shown_disk["marked"] = False
    if vm.drive.disk is not None and not vm.drive.disk.marked:
        facts["config_drive"]["marked"] = False
    for nic, shown_nic in zip(vm.nics, facts["networks"], strict=True):
        shown_nic.pop("addresses")
        if vm.power_state == "running" and not nic.plugged:
            shown_nic["plugged"] = False
    return facts
