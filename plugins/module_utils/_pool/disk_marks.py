# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Planning the marks of disks, which a storage migration takes off their VDIs. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._plan import Change
from .vm_facts import Disk, Vm

REASON = "its VDI and its VBD do not carry the same marks, as after a storage migration"


@dataclass(frozen=True)
class MarkedDisk:
    """A disk of the VM whose VDI and VBD are to carry its marks."""

    disk: Disk


class MarksPlan(t.NamedTuple):
    """The VM with its disks marked, and what leads there."""

    vm: Vm | None
    changes: tuple[Change, ...] = ()


def plan_disk_marks(vm: Vm | None) -> MarksPlan:
    """What marks those of the VM's own disks that are not. An unfinished VM has its disks marked when it is finished."""
    if vm is None or vm.making:
        return MarksPlan(vm)
    changes = tuple(
        Change(
            f"marks:{disk.vdi}",
            "update",
            "disk",
            disk.name or str(disk.uuid),
            {"marked": False},
            {"marked": True},
            reason=REASON,
            payload=MarkedDisk(disk),
        )
        for disk in vm.all_disks
        if _lacks_marks(vm, disk)
    )
    drive = vm.drive.disk
    return MarksPlan(
        replace(
            vm,
            disks=tuple(_marked(vm, disk) for disk in vm.disks),
            drive=replace(vm.drive, disk=_marked(vm, drive)) if drive else vm.drive,
        ),
        changes,
    )


def _lacks_marks(vm: Vm, disk: Disk) -> bool:
    return not disk.marked and disk.ours and disk.of_vm == vm.uuid


def _marked(vm: Vm, disk: Disk) -> Disk:
    return replace(disk, marked=True) if _lacks_marks(vm, disk) else disk
