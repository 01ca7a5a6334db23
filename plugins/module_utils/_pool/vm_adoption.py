# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Taking over the disks of a VM that somebody else made: which is which, and that they are ours from then on. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .disk_spec import DiskSpec
from .vm_facts import Disk, Vm, vdi_name
from .vm_spec import VmSpec


class Adoption(t.NamedTuple):
    """The VM with its disks as they will be, and those that are to be marked for it, under their new names."""

    vm: Vm | None
    claimed: tuple[Disk, ...]


def plan_adoption(spec: VmSpec, vm: Vm) -> Adoption:
    """The disks that nobody named yet get the names of those that the spec means, or else that of their position.

    A spec means the disk that its ``vdi`` names, or whose VDI is named like it. One that another VM holds too is not taken, nor is one that the
    spec does not list and has removed: it is only detached then.
    """
    named = [disk if disk.name is not None or disk.shared else _named(spec, disk, vm) for disk in vm.disks]
    claimed = tuple(disk for disk in named if disk.name is not None and not disk.shared and not disk.ours)
    return Adoption(
        replace(vm, disks=tuple(_taken(vm, disk) if disk in claimed else disk for disk in named)),
        claimed,
    )


def _named(spec: VmSpec, disk: Disk, vm: Vm) -> Disk:
    taken = {each.name for each in vm.disks}
    free = [wanted for wanted in spec.disks if wanted.wanted and wanted.name not in taken]
    meant = next((wanted.name for wanted in free if _means(spec, wanted, disk, vm)), None)
    return replace(disk, name=meant or (None if spec.remove_unmanaged_disks else f"disk{disk.device}"))


def _means(spec: VmSpec, wanted: DiskSpec, disk: Disk, vm: Vm) -> bool:
    if wanted.vdi:
        return wanted.vdi in (disk.uuid, disk.label)
    labels = (wanted.name, vdi_name(spec.name, wanted.name), vdi_name(vm.name, wanted.name))
    return disk.label in labels and [each.label in labels for each in vm.disks].count(True) == 1


def _taken(vm: Vm, disk: Disk) -> Disk:
    return replace(disk, ours=True, keep=False, of_vm=vm.uuid, checksum=None, copied=False, marked=True)
