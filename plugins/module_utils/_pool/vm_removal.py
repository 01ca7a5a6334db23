# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The plan for a VM that is not to be there. Pure."""

from __future__ import annotations

from dataclasses import replace

from .._errors import OptionError
from .._plan import Change
from . import marks
from .power import power_changes, refuse_blocked, removal_steps
from .vm_changes import ChangedVm, Outcome, RemovedVm, disk_deleted, loose_deleted, own_shown, remains_deleted, rendered
from .vm_facts import Disk, Observed, Vm
from .vm_keys import DESTROY, keys_calls
from .vm_spec import VmSpec


def plan_absent(spec: VmSpec, observed: Observed) -> Outcome:
    """What removes the VM with what belongs to it. Raises ``HardshellError`` for one that is protected."""
    changes: list[Change] = []
    warnings: list[str] = []
    vm = observed.vm
    if vm is not None:
        changes += _unprotected(spec, vm)
        down = removal_steps(vm.power_state)
        refuse_blocked(vm.name, vm.settings.keys.blocked, down)
        changes += power_changes(vm.name, vm.power_state, down)
        changes.append(Change("vm", "delete", "vm", vm.name, own_shown(vm), None, payload=RemovedVm(vm)))
        for disk in vm.all_disks:
            why = _stays(disk, unfinished=vm.making)
            if why:
                warnings.append(f"the disk {disk.name or disk.uuid!r} of {vm.name!r} stays: {why}")
            else:
                changes.append(disk_deleted(f"disk:{disk.vdi}", disk, needs=("vm",)))
        changes += [remains_deleted(snapshot, "a snapshot of the VM", needs=("vm",)) for snapshot in vm.snapshots]
    changes += [remains_deleted(each, "an interrupted run left this clone") for each in observed.half_made]
    changes += [loose_deleted(disk) for disk in observed.loose_disks if not disk.keep and not disk.copied]
    return Outcome(rendered(changes, vm, None), None, tuple(warnings))


def _unprotected(spec: VmSpec, vm: Vm) -> list[Change]:
    """What lifts the protection of a VM that is to go. Raises ``OptionError`` unless that was asked for by name."""
    keys = vm.settings.keys
    if DESTROY not in keys.blocked:
        return []
    wanted = spec.settings.keys
    if wanted.delete_protection is not False and wanted.blocked.get(DESTROY, "") is not None:
        expected = f"the VM {vm.name!r} is protected ({keys.blocked[DESTROY]}); give delete_protection: false with it"
        raise OptionError("state", "absent", expected)
    blocked = {operation: why for operation, why in keys.blocked.items() if operation != DESTROY}
    calls = tuple(keys_calls(keys, replace(keys, blocked=blocked)))
    payload = ChangedVm(vm, vm, adopted=False, calls=calls)
    was, will = {"delete_protection": True}, {"delete_protection": False}
    return [Change("protection", "update", "vm", vm.name, was, will, payload=payload)]


def _stays(disk: Disk, *, unfinished: bool) -> str:
    if disk.shared:
        return "another VM holds it"
    if disk.keep:
        return f"it is marked {marks.KEEP}"
    if not disk.ours and not unfinished:
        return "it was not made here"
    return ""
