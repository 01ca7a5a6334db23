# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Planning the disks of a VM, by name. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._errors import OptionError
from .._plan import Change
from . import marks
from .disk_spec import DiskSpec
from .pool_facts import Pool, StorageRepository
from .sizes import MIB, shown
from .vm_facts import Disk, Vm
from .vm_spec import VmSpec

# A storage repository may round a size up by more than we did; up to here it is still the size that was asked for.
SIZE_TOLERANCE = 4 * MIB
CD_POSITION = 3


@dataclass(frozen=True)
class NewDisk:
    """What the performer needs to make a disk, or to attach the loose one that an interrupted run left."""

    spec: DiskSpec
    size: int
    position: int
    repository: StorageRepository
    loose: Disk | None = None


@dataclass(frozen=True)
class ChangedDisk:
    disk: Disk
    size: int | None = None
    description: str | None = None


@dataclass(frozen=True)
class DiskPlan:
    """Changes, the disks afterwards, why the VM must be halted for them, and what the user should know."""

    changes: tuple[Change, ...]
    disks: tuple[Disk, ...]
    halt_for: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def plan_disks(spec: VmSpec, vm: Vm, pool: Pool, loose: t.Sequence[Disk]) -> DiskPlan:
    """What makes the VM's disks what the spec asks for. Raises ``OptionError`` for a shrink or a disk that cannot be made."""
    changes: list[Change] = []
    halt_for: list[str] = []
    warnings: list[str] = []
    disks = list(vm.disks)
    needed: dict[str, int] = {}
    for index, wanted in enumerate(spec.disks):
        option = f"disks[{index}]"
        current = next((disk for disk in disks if disk.name == wanted.name), None)
        if current is None:
            new = _new_disk(option, wanted, spec, vm, pool, loose, free_position(vm, disks))
            made = Disk(
                name=wanted.name,
                size=new.size,
                sr=new.repository.name,
                description=wanted.description or "",
                device=new.position,
                ours=True,
                of_vm=vm.uuid,
            )
            disks.append(made)
            if new.loose is None:
                needed[new.repository.ref] = needed.get(new.repository.ref, 0) + new.size
            if not can_plug(vm):
                halt_for.append(f"disks: {wanted.name} cannot be added to it as it is")
            reason = "an interrupted run left it unattached" if new.loose else ""
            changes.append(
                Change(
                    f"disk:{wanted.name}", "create", "disk", wanted.name, None, _shown(made), reason=reason, payload=new
                )
            )
            continue
        changed = _changed_disk(option, wanted, current)
        if changed is not None:
            after = replace(
                current,
                size=changed.size or current.size,
                description=current.description if changed.description is None else changed.description,
            )
            disks[disks.index(current)] = after
            if changed.size is not None:
                halt_for.append(f"disks: {wanted.name} grows from {shown(current.size)} to {shown(changed.size)}")
                repository = next((each for each in pool.storage if each.name == current.sr), None)
                if repository:
                    needed[repository.ref] = needed.get(repository.ref, 0) + changed.size - current.size
            changes.append(
                Change(
                    f"disk:{wanted.name}",
                    "update",
                    "disk",
                    wanted.name,
                    _shown(current),
                    _shown(after),
                    payload=changed,
                )
            )
        if wanted.sr and wanted.sr not in _names_of(pool, current.sr):
            warnings.append(
                f"{option}.sr: the disk {wanted.name!r} is on {current.sr!r} and is not moved to {wanted.sr!r}"
            )
    refuse_full(pool, needed)
    return DiskPlan(tuple(changes), tuple(disks), tuple(halt_for), tuple(warnings))


def can_plug(vm: Vm) -> bool:
    """Whether a device can be added or taken away in the VM's present power state."""
    return vm.power_state == "halted" or (vm.power_state == "running" and vm.has_drivers)


def free_position(vm: Vm, disks: t.Iterable[Disk]) -> int:
    """The first position that no disk has, past the one that is left to the CD drive."""
    taken = {disk.device for disk in disks} | {CD_POSITION} | ({vm.drive.disk.device} if vm.drive.disk else set())
    return next(position for position in range(255) if position not in taken)


def refuse_full(pool: Pool, needed: t.Mapping[str, int]) -> None:
    """Raise ``OptionError`` where the disks asked for do not fit what is physically free."""
    for repository in pool.storage:
        size = needed.get(repository.ref, 0)
        if size > repository.free:
            raise OptionError(
                "sr",
                repository.name,
                f"the disks asked for need {shown(size)} and it has {shown(repository.free)} free; "
                "free some, ask for less or name another storage repository",
            )


def _new_disk(
    option: str, wanted: DiskSpec, spec: VmSpec, vm: Vm, pool: Pool, loose: t.Sequence[Disk], position: int
) -> NewDisk:
    if wanted.name == marks.ROOT_DISK:
        raise OptionError(
            f"{option}.name", marks.ROOT_DISK, "the VM has no bootable disk from its template; name the disk otherwise"
        )
    if wanted.size is None:
        raise OptionError(f"{option}.size", None, f"the disk {wanted.name!r} is new and needs a size, such as 10GiB")
    repository = pool.storage_repository(f"{option}.sr" if wanted.sr else "sr", wanted.sr or spec.sr)
    left = next((disk for disk in loose if disk.name == wanted.name and disk.of_vm == vm.uuid and vm.uuid), None)
    if left is not None and abs(left.size - wanted.size) < SIZE_TOLERANCE:
        holding = next((each for each in pool.storage if each.name == left.sr), repository)
        return NewDisk(wanted, left.size, position, holding, left)
    return NewDisk(wanted, wanted.size, position, repository)


def _changed_disk(option: str, wanted: DiskSpec, current: Disk) -> ChangedDisk | None:
    size = None
    if wanted.size is not None:
        if wanted.size < current.size - SIZE_TOLERANCE:
            expected = f"the disk has {shown(current.size)} and is never shrunk; ask for that or more"
            raise OptionError(f"{option}.size", shown(wanted.size), expected)
        if wanted.size > current.size:
            size = wanted.size
    description = None
    if wanted.description is not None and wanted.description != current.description:
        description = wanted.description
    return None if size is None and description is None else ChangedDisk(current, size, description)


def _names_of(pool: Pool, sr: str) -> set[str]:
    return {sr} | {repository.uuid for repository in pool.storage if repository.name == sr}


def _shown(disk: Disk) -> dict[str, t.Any]:
    return {"size": disk.size, "sr": disk.sr, "description": disk.description}
