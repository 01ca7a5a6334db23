# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Planning the config drive: made once for one content, and not again after the guest has taken it. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._plan import Change
from .config_drive import with_macs
from .disks import can_plug, free_position, refuse_full
from .drive_spec import DriveSpec
from .pool_facts import Pool, StorageRepository
from .sizes import VDI_STEP
from .vm_facts import KEY_TO_BE_MADE, Disk, Drive, Nic, Vm
from .vm_spec import VmSpec

NAME = "config drive"


@dataclass(frozen=True)
class NewDrive:
    """A drive to be written and attached, in the place of ``replaced`` if there is one."""

    spec: DriveSpec
    repository: StorageRepository
    position: int
    ssh_host_key: bool
    replaced: Disk | None = None


@dataclass(frozen=True)
class RemovedDrive:
    """A drive to be taken away. ``checksum`` of its content is kept on the VM."""

    disk: Disk
    checksum: str | None


@dataclass(frozen=True)
class DrivePlan:
    changes: tuple[Change, ...]
    drive: Drive
    ssh_host_key: str | None
    halt_for: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def plan_drive(
    spec: VmSpec, vm: Vm, disks: t.Sequence[Disk], nics: t.Sequence[Nic], pool: Pool, *, will_halt: bool
) -> DrivePlan:
    """What makes the config drive what the spec asks for. Raises ``OptionError`` for an interface in it that the VM will not have.

    ``disks`` and ``nics`` are the VM's as they will be; ``will_halt``: the plan halts the VM for something else.
    """
    unchanged = DrivePlan((), vm.drive, vm.ssh_host_key)
    if spec.drive is None:
        return unchanged
    if not spec.drive.wanted:
        return _removal(vm, unchanged, will_halt=will_halt)
    checksum = spec.drive.sha256()
    has_key = vm.ssh_host_key is not None or not spec.ssh_host_key
    if vm.drive.checksum == checksum and has_key:
        return unchanged
    with_macs(spec.drive.network_config or {}, {nic.name or f"nic{nic.device}": "" for nic in nics})
    repository = pool.storage_repository("config_drive.sr" if spec.drive.sr else "sr", spec.drive.sr or spec.sr)
    refuse_full(pool, {repository.ref: VDI_STEP})
    new = NewDrive(spec.drive, repository, free_position(vm, disks), spec.ssh_host_key, vm.drive.disk)
    after = Drive("attached", checksum, Disk(None, VDI_STEP, repository.name, ours=True))
    before = None if vm.drive.state == "absent" else _shown(vm.drive)
    change = Change(
        "config_drive", "update" if before else "create", NAME, spec.name, before, _shown(after), payload=new
    )
    key = KEY_TO_BE_MADE if spec.ssh_host_key else vm.ssh_host_key
    halt_for = (
        ()
        if vm.power_state == "halted"
        else ("config_drive: its content takes effect only when the guest boots with it",)
    )
    return DrivePlan((change,), after, key, halt_for)


def _removal(vm: Vm, unchanged: DrivePlan, *, will_halt: bool) -> DrivePlan:
    if vm.drive.disk is None:
        return unchanged
    if not will_halt and not can_plug(vm):
        why = f"config_drive: it stays on {vm.name!r} for now, since a {vm.power_state} guest without Xen drivers cannot let go of it; halt it"
        return replace(unchanged, warnings=(why,))
    after = Drive("removed", vm.drive.checksum)
    removed = RemovedDrive(vm.drive.disk, vm.drive.checksum)
    change = Change("config_drive", "delete", NAME, vm.name, _shown(vm.drive), _shown(after), payload=removed)
    return DrivePlan((change,), after, vm.ssh_host_key)


def _shown(drive: Drive) -> dict[str, t.Any]:
    return {"state": drive.state, "sha256": drive.checksum}
