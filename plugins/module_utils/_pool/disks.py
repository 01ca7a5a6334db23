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
from .disk_spec import NO_QOS, DiskSpec
from .pool_facts import Pool, StorageRepository, one_named
from .sizes import MIB, shown
from .vdis import POSITIONS
from .vm_facts import Disk, Existing, Observed, Vm
from .vm_spec import VmSpec

# A storage repository may round a size up by more than we did; up to here it is still the size that was asked for.
SIZE_TOLERANCE = 4 * MIB
CD_POSITION = 3
STORAGE_MOTION_RESTRICTION = "restrict_storage_xen_motion"
MIGRATE_STORAGE = "migrate_send"
"""The operation that VDI.pool_migrate is for the VM (message_forwarding.ml)."""


@dataclass(frozen=True)
class NewDisk:
    """The disk ``after`` to be made, or to be attached where ``held`` is there already. ``size``: ``held`` is grown to it first."""

    after: Disk
    position: int
    repository: StorageRepository | None
    held: Disk | None = None
    size: int | None = None


@dataclass(frozen=True)
class ChangedDisk:
    """A disk to be made ``after``. ``plug``: a run that was interrupted left it unplugged. ``move_to``: where it goes first."""

    before: Disk
    after: Disk
    plug: bool = False
    move_to: StorageRepository | None = None


@dataclass(frozen=True)
class RemovedDisk:
    """A disk to be detached, and its VDI destroyed unless it ``stays``. ``keep``: its VDI is marked to be kept first."""

    disk: Disk
    stays: bool
    keep: bool = False


@dataclass(frozen=True)
class DiskPlan:
    """Changes, the disks afterwards, why the VM must be halted for them, and what the user should know."""

    changes: tuple[Change, ...]
    disks: tuple[Disk, ...]
    halt_for: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def plan_disks(spec: VmSpec, vm: Vm, observed: Observed) -> DiskPlan:
    """What makes the VM's disks what the spec asks for. Raises ``OptionError`` for a shrink or a disk that cannot be made."""
    planner = _Planner(spec, vm, observed)
    listed = {wanted.name for wanted in spec.disks}
    for index, wanted in enumerate(spec.disks):
        if not wanted.wanted:
            planner.absent(f"disks[{index}]", wanted)
    if spec.remove_unmanaged_disks:
        for disk in vm.disks:
            if disk.name not in listed and not disk.bootable and disk.name != marks.ROOT_DISK:
                planner.remove(disk, keep=disk.keep, reason="it is not listed")
    for index, wanted in enumerate(spec.disks):
        if wanted.wanted:
            planner.present(f"disks[{index}]", wanted)
    refuse_full(observed.pool, planner.needed)
    return DiskPlan(tuple(planner.changes), tuple(planner.disks), tuple(planner.halt_for), tuple(planner.warnings))


class _Planner:
    """Collects the changes of one VM's disks."""

    def __init__(self, spec: VmSpec, vm: Vm, observed: Observed) -> None:
        self._spec = spec
        self._vm = vm
        self._pool = observed.pool
        self._loose = observed.loose_disks
        self._existing = observed.existing
        self.disks = list(vm.disks)
        self.changes: list[Change] = []
        self.halt_for: list[str] = []
        self.warnings: list[str] = []
        self.needed: dict[str, int] = {}

    # --- to go

    def absent(self, option: str, wanted: DiskSpec) -> None:
        """A disk that is not to be there. One that was kept goes for good with ``keep: false``."""
        current = next((disk for disk in self.disks if disk.name == wanted.name), None)
        if current is not None:
            if current.bootable:
                raise OptionError(f"{option}.state", "absent", f"the VM starts from the disk {wanted.name!r}")
            self.remove(current, keep=current.keep if wanted.keep is None else wanted.keep)
            return
        for left in self._loose:
            if (
                left.name == wanted.name
                and not left.copied
                and (wanted.keep is False or (left.of_vm == self._vm.uuid and not left.keep))
            ):
                reason = "it was kept until now" if left.keep else "an interrupted run left it unattached"
                before = {**_shown(left), "uuid": left.uuid}
                self._change(f"loose:{left.uuid}", "delete", wanted.name, before, None, left, reason)

    def remove(self, disk: Disk, *, keep: bool, reason: str = "") -> None:
        name = disk.name or str(disk.uuid)
        stays = keep or disk.shared or not disk.ours
        if not can_plug(self._vm):
            self.halt_for.append(f"disks: {name} cannot be taken away from it as it is")
        why = "it is marked to be kept" if keep else "another VM holds it" if disk.shared else "it was not made here"
        if stays:
            reason = "; ".join(filter(None, (reason, f"only detached: {why}")))
        payload = RemovedDisk(disk, stays, keep and disk.ours and not disk.keep)
        self._change(f"disk:{name}", "delete", name, _shown(disk), None, payload, reason)
        self.disks.remove(disk)

    # --- to be there

    def present(self, option: str, wanted: DiskSpec) -> None:
        current = next((disk for disk in self.disks if disk.name == wanted.name), None)
        if current is None:
            self._add(option, wanted)
        else:
            self._alter(option, wanted, current)

    def _add(self, option: str, wanted: DiskSpec) -> None:
        position = free_position(self._vm, self.disks)
        new = self._attached(option, wanted, position) or self._made(option, wanted, position)
        if new.held is None and new.repository is not None:
            self._need(new.repository, new.after.size)
        if not can_plug(self._vm):
            self.halt_for.append(f"disks: {wanted.name} cannot be added to it as it is")
        reason = ""
        if new.held is not None and wanted.vdi is None:
            reason = "it was kept" if new.held.keep else "an interrupted run left it unattached"
        action = "attach" if wanted.vdi else "create"
        shown_disk = {**_shown(new.after), "uuid": new.after.uuid} if new.held is not None else _shown(new.after)
        self._change(f"disk:{wanted.name}", action, wanted.name, None, shown_disk, new, reason)
        self.disks.append(new.after)

    def _attached(self, option: str, wanted: DiskSpec, position: int) -> NewDisk | None:
        """A disk that is there already: the VDI that ``vdi`` names, one that was kept, or one that an interrupted run left."""
        if wanted.vdi is not None:
            found = one_named(f"{option}.vdi", wanted.vdi, self._existing, "disk")
            self._refuse_held(f"{option}.vdi", wanted.vdi, found)
            return self._reused(wanted, found.disk, position)
        named = [disk for disk in self._loose if disk.name == wanted.name]
        own = [disk for disk in named if disk.of_vm == self._vm.uuid and self._vm.uuid and disk.ours and not disk.keep]
        # A kept disk may have been moved, which of an unattached one is copying it and destroying the original.
        kept = [disk for disk in named if disk.keep and disk.ours] or [
            replace(disk, ours=True, copied=False) for disk in named if disk.keep
        ]
        for disk in own:
            if wanted.size is None or abs(disk.size - wanted.size) < SIZE_TOLERANCE:
                return self._reused(wanted, disk, position)
        if len(kept) > 1:
            uuids = ", ".join(str(disk.uuid) for disk in kept)
            raise OptionError(
                f"{option}.name",
                wanted.name,
                f"several disks of this name were kept; give the vdi that is meant: {uuids}",
            )
        if kept:
            size = _grown(option, wanted, kept[0])
            if size is not None:
                self._need(self._repository(kept[0]), size - kept[0].size)
            return self._reused(wanted, kept[0], position, size)
        return None

    def _refuse_held(self, option: str, wanted: str, found: Existing) -> None:
        owner = self._spec.owner
        if found.tenant is not None and found.tenant != owner.tenant:
            raise OptionError(option, wanted, f"this disk belongs to {found.tenant}, not to {owner.tenant}")
        if found.read_only:
            expected = "this disk is read-only, and an HVM guest takes none that it cannot write to; copy it, or clear its read-only flag"
            raise OptionError(option, wanted, expected)
        held = found.disk.shared and not found.sharable
        if held or any(disk.vdi == found.disk.vdi for disk in self._vm.disks):
            holder = "another VM" if held else "this VM, under another name"
            raise OptionError(option, wanted, f"{holder} holds this disk already; detach it there first")

    def _reused(self, wanted: DiskSpec, held: Disk, position: int, size: int | None = None) -> NewDisk:
        keep = held.keep if wanted.keep is None or not held.ours else wanted.keep
        after = replace(
            held,
            name=wanted.name,
            size=size or held.size,
            device=position,
            of_vm=self._vm.uuid if held.ours else held.of_vm,
            description=held.description if wanted.description is None else wanted.description,
            keep=keep,
            qos=wanted.qos or NO_QOS,
            plugged=self._vm.power_state == "running",
            bootable=False,
        )
        return NewDisk(after, position, self._repository(held), held, size)

    def _made(self, option: str, wanted: DiskSpec, position: int) -> NewDisk:
        if wanted.name == marks.ROOT_DISK:
            raise OptionError(
                f"{option}.name",
                marks.ROOT_DISK,
                "the VM has no bootable disk from its template; name the disk otherwise",
            )
        if wanted.size is None:
            raise OptionError(
                f"{option}.size", None, f"the disk {wanted.name!r} is new and needs a size, such as 10GiB"
            )
        repository = self._pool.storage_repository(f"{option}.sr" if wanted.sr else "sr", wanted.sr or self._spec.sr)
        after = Disk(
            name=wanted.name,
            size=wanted.size,
            sr=repository.name,
            description=wanted.description or "",
            device=position,
            ours=True,
            keep=bool(wanted.keep),
            of_vm=self._vm.uuid,
            qos=wanted.qos or NO_QOS,
            plugged=self._vm.power_state == "running",
        )
        return NewDisk(after, position, repository)

    def _alter(self, option: str, wanted: DiskSpec, current: Disk) -> None:
        self._refuse_others(option, wanted, current)
        move_to = self._moved(option, wanted, current)
        size = _grown(option, wanted, current)
        plug = (
            self._vm.power_state == "running"
            and self._vm.has_drivers
            and current.vbd is not None
            and not current.plugged
        )
        after = replace(
            current,
            size=size or current.size,
            sr=move_to.name if move_to else current.sr,
            uuid=None if move_to else current.uuid,
            description=current.description if wanted.description is None else wanted.description,
            keep=current.keep if wanted.keep is None or not current.ours else wanted.keep,
            qos=wanted.qos or current.qos,
            plugged=current.plugged or plug,
        )
        if after == current:
            return
        if move_to is not None:
            self._need(move_to, current.size)
            if self._vm.power_state == "paused" or (self._vm.power_state == "running" and not self._vm.has_drivers):
                self.halt_for.append(f"disks: {wanted.name} cannot be moved to {move_to.name!r} as it is")
        if size is not None:
            self.halt_for.append(f"disks: {wanted.name} grows from {shown(current.size)} to {shown(size)}")
            self._need(move_to or self._repository(current), size - current.size)
        if after.qos != current.qos and current.plugged:
            self.warnings.append(
                f"{option}.qos: it counts once the disk is plugged the next time, as at the VM's next start"
            )
        was, will = _shown(current), _shown(after)
        if plug:
            was, will = {**was, "plugged": False}, {**will, "plugged": True}
        self._change(
            f"disk:{wanted.name}", "update", wanted.name, was, will, ChangedDisk(current, after, plug, move_to)
        )
        self.disks[self.disks.index(current)] = after

    def _refuse_others(self, option: str, wanted: DiskSpec, current: Disk) -> None:
        """Refuse what would take another disk than the one there, or change one that was not made here."""
        if wanted.vdi is not None and wanted.vdi not in (current.uuid, current.label):
            raise OptionError(
                f"{option}.vdi",
                wanted.vdi,
                f"the disk {wanted.name!r} is {current.label!r} ({current.uuid}); detach it with state: absent first, or choose another name",
            )

    def _moved(self, option: str, wanted: DiskSpec, current: Disk) -> StorageRepository | None:
        """Where a disk is moved to, None where it stays. Raises ``OptionError`` for one that cannot be."""
        if not wanted.sr or wanted.sr in _names_of(self._pool, current.sr):
            return None
        option = f"{option}.sr"
        repository = self._pool.storage_repository(option, wanted.sr)
        stays = f"the disk {wanted.name!r} stays on {current.sr!r}"
        if not current.ours or current.shared:
            why = "another VM holds it too" if current.shared else "it was not made here"
            raise OptionError(option, wanted.sr, f"{stays}, since {why}; leave sr out")
        if self._pool.restrictions.get(STORAGE_MOTION_RESTRICTION) == "true":
            expected = f"{stays}: the pool's licence does not allow storage migration ({STORAGE_MOTION_RESTRICTION}); leave sr out"
            raise OptionError(option, wanted.sr, expected)
        blocked = self._vm.settings.keys.blocked.get(MIGRATE_STORAGE)
        if blocked is not None:
            expected = f"{stays}: {MIGRATE_STORAGE} of the VM is blocked ({blocked})"
            raise OptionError(option, wanted.sr, expected)
        return repository

    def _repository(self, disk: Disk) -> StorageRepository | None:
        return next((each for each in self._pool.storage if each.name == disk.sr), None)

    def _need(self, repository: StorageRepository | None, size: int) -> None:
        if repository is not None:
            self.needed[repository.ref] = self.needed.get(repository.ref, 0) + size

    def _change(
        self, change_id: str, action: str, name: str, before: t.Any, after: t.Any, payload: t.Any, reason: str = ""
    ) -> None:
        self.changes.append(Change(change_id, action, "disk", name, before, after, reason=reason, payload=payload))


def can_plug(vm: Vm) -> bool:
    """Whether a device can be added or taken away in the VM's present power state."""
    return vm.power_state == "halted" or (vm.power_state == "running" and vm.has_drivers)


def free_position(vm: Vm, disks: t.Iterable[Disk]) -> int:
    """The first position that nothing has, past the one that is left to the CD drive. Raises ``OptionError`` where there is none."""
    taken = {disk.device for disk in disks} | {CD_POSITION}
    taken |= {vm.drive.disk.device} if vm.drive.disk else set()
    taken |= {vm.cd.device} if vm.cd else set()
    taken |= vm.occupied
    position = next((position for position in range(POSITIONS) if position not in taken), None)
    if position is None:
        raise OptionError(
            "disks", len(taken), f"a VM has {POSITIONS} positions for disks and drives at most; detach some first"
        )
    return position


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


def _grown(option: str, wanted: DiskSpec, current: Disk) -> int | None:
    """The size that a disk grows to, None where it is large enough. Raises ``OptionError`` for a smaller one."""
    if wanted.size is None:
        return None
    if wanted.size < current.size - SIZE_TOLERANCE:
        expected = f"the disk has {shown(current.size)} and is never shrunk; ask for that or more"
        raise OptionError(f"{option}.size", shown(wanted.size), expected)
    return wanted.size if wanted.size > current.size else None


def _names_of(pool: Pool, sr: str) -> set[str]:
    return {sr} | {repository.uuid for repository in pool.storage if repository.name == sr}


def _shown(disk: Disk) -> dict[str, t.Any]:
    facts = disk.facts()
    return {key: facts[key] for key in ("size", "sr", "description", "keep", "qos")}
