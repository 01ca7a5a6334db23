# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The machines of the ``namespace`` backend; see the package."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from ..contract import Disk, MachineError, MachineListener, MachineSpec, Nic, Usage
from ..running import RunningMachines
from ..short_path import short_path
from ..trees import tree_of
from . import attach, cgroups, cloud_config, iso9660, prerequisites
from .cgroups import Groups
from .file_system import disk_place
from .init import BOOT_FILE, PID_FILE
from .machine import CONSOLE_LOG, CONTROL_SOCKET, NamespaceMachine
from .network import Cables

LARGEST_DRIVE = 16 * 2**20
DRIVE_LABELS = ("cidata", "CIDATA")


class NamespaceMachines(RunningMachines[NamespaceMachine]):
    """Machines of one lab; the ``Machines`` of the contract."""

    def __init__(self, folder: Path, listener: MachineListener) -> None:
        super().__init__(folder, listener)
        self._specs: dict[str, MachineSpec] = {}
        self._cables = Cables(folder)
        self._hierarchies = cgroups.of_this_machine()

    # --- life

    async def start(self, spec: MachineSpec, *, paused: bool = False) -> None:
        self._check_is_new(spec.uuid)
        if (complaint := prerequisites.missing()) is not None:
            raise MachineError(complaint)
        folder = self.folder(spec.uuid)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        groups = Groups.make(spec.uuid, self._hierarchies)
        try:
            machine = await self._launch(spec, folder, groups, paused)
        except BaseException:
            await self._remove_groups(groups)
            raise
        if not paused:
            await machine.wait_booted()
        # The caller notes that the machine runs before the loop turns.
        asyncio.get_running_loop().call_soon(machine.known.set)

    async def _launch(self, spec: MachineSpec, folder: Path, groups: Groups, paused: bool) -> NamespaceMachine:
        groups.limit(spec.memory, spec.vcpus)
        self._specs[spec.uuid] = spec
        self._write_boot_file(spec, groups)
        go, went = os.pipe()
        try:
            await _run_init(spec.uuid, folder, go)
            machine = await NamespaceMachine.attach(spec.uuid, folder, groups, self._listener)
            if machine is None:
                raise MachineError(f"machine {spec.uuid} ended as soon as it was started; see {folder / CONSOLE_LOG}")
            self._keep(machine)
            try:
                for nic in spec.nics:
                    machine.nics[nic.device] = nic
                    await self._cables.plug(nic, machine.process.pid)
                if paused:
                    groups.freeze(True)
            except (MachineError, OSError) as error:
                await machine.kill()
                raise MachineError(str(error)) from error
            os.write(went, b"!")
        finally:
            os.close(go)
            os.close(went)
        return machine

    async def _clean_up(self, machine: NamespaceMachine) -> None:
        await super()._clean_up(machine)
        self._specs.pop(machine.uuid, None)
        for nic in machine.nics.values():
            await self._cables.unplug(nic)
        await self._remove_groups(machine.groups)
        for name in (PID_FILE, CONTROL_SOCKET):
            (machine.folder / name).unlink(missing_ok=True)

    @staticmethod
    async def _remove_groups(groups: Groups) -> None:
        await asyncio.to_thread(groups.remove)

    async def reset(self, uuid: str) -> None:
        await self._running(uuid).command("reset")

    async def pause(self, uuid: str) -> None:
        self._freeze(uuid, True)

    async def unpause(self, uuid: str) -> None:
        self._freeze(uuid, False)

    def _freeze(self, uuid: str, frozen: bool) -> None:
        try:
            self._running(uuid).groups.freeze(frozen)
        except OSError as error:
            raise MachineError(f"machine {uuid} cannot be {'paused' if frozen else 'resumed'}: {error}") from error

    async def suspend(self, uuid: str, path: Path) -> None:  # noqa: ARG002
        raise MachineError(f"machine {uuid} runs in namespaces, whose memory cannot be written to a disk")

    async def resume(self, spec: MachineSpec, path: Path, *, paused: bool = False) -> None:  # noqa: ARG002
        raise MachineError(f"machine {spec.uuid} was suspended by another backend than namespace")

    async def migrate(self, spec: MachineSpec, progress: Callable[[float], None]) -> None:
        """The namespaces stay as they are: every host of the lab is this machine."""
        self._running(spec.uuid)
        progress(0.5)

    async def stop_all(self) -> None:
        for machine in self._machines.values():
            with contextlib.suppress(OSError):
                machine.groups.freeze(False)
        await super().stop_all()
        await self._cables.sweep()

    async def adopt(self, spec: MachineSpec) -> bool:
        if spec.uuid in self._machines:
            return True
        folder = self.folder(spec.uuid)
        groups = Groups.at(map(Path, _known_groups(folder)), self._hierarchies)
        machine = await NamespaceMachine.attach(spec.uuid, folder, groups, self._listener)
        if machine is None:
            await self._remove_groups(groups)
            return False
        self._keep(machine)
        machine.known.set()
        self._specs[spec.uuid] = spec
        for nic in spec.nics:
            machine.nics[nic.device] = nic
            self._cables.adopt(nic)
        return True

    # --- devices

    def _write_boot_file(self, spec: MachineSpec, groups: Groups) -> None:
        """What process 1 reads at each boot; a config drive that is taken away is gone at the next."""
        disks = [disk for disk in spec.disks if _keeps_files(disk)]
        if not disks:
            raise MachineError(f"machine {spec.uuid} has no disk that its guest's files could be on")
        root, *others = disks
        config, problems = _config(spec.disks)
        description = {
            "name": spec.name,
            "tree": str(_tree(root)),
            "disks": [[disk.device, str(_tree(disk))] for disk in others],
            "cgroups": [str(path) for path in groups.paths],
            "config": config.as_plain_data() if config else None,
            "problems": problems,
        }
        path = self.folder(spec.uuid) / BOOT_FILE
        temporary = path.with_suffix(".new")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(description))
        temporary.replace(path)

    def _change_disks(self, uuid: str, disks: list[Disk]) -> None:
        spec = self._specs[uuid]
        self._specs[uuid] = MachineSpec(**{**vars(spec), "disks": tuple(sorted(disks, key=lambda one: one.device))})
        self._write_boot_file(self._specs[uuid], self._machines[uuid].groups)

    async def move_disk(self, uuid: str, disk: Disk, progress: Callable[[float], None]) -> None:  # noqa: ARG002
        raise MachineError(f"machine {uuid} runs in namespaces, whose files can be moved only while it is off")

    async def plug_disk(self, uuid: str, disk: Disk) -> None:
        machine = self._running(uuid)
        if _keeps_files(disk):
            await attach.attach(machine.process.pid, _tree(disk) / "root", disk_place(disk.device))
        self._change_disks(uuid, [*self._specs[uuid].disks, disk])

    async def unplug_disk(self, uuid: str, disk_device: int) -> None:
        machine = self._running(uuid)
        disks = self._specs[uuid].disks
        gone = next((disk for disk in disks if disk.device == disk_device), None)
        if gone is not None and _keeps_files(gone):
            await attach.detach(machine.process.pid, disk_place(disk_device))
        self._change_disks(uuid, [disk for disk in disks if disk.device != disk_device])

    async def plug_nic(self, uuid: str, nic: Nic) -> None:
        machine = self._running(uuid)
        await self._cables.plug(nic, machine.process.pid)
        machine.nics[nic.device] = nic

    async def unplug_nic(self, uuid: str, nic_device: int) -> None:
        nic = self._running(uuid).nics.pop(nic_device, None)
        if nic is not None:
            await self._cables.unplug(nic)

    async def lock_nic(self, uuid: str, nic: Nic) -> None:
        machine = self._running(uuid)
        await self._cables.lock(nic)
        machine.nics[nic.device] = nic

    async def change_medium(self, uuid: str, device: int, path: Path | None) -> None:
        self._running(uuid)
        others = [disk for disk in self._specs[uuid].disks if disk.device != device]
        self._change_disks(uuid, [*others, Disk("", path, "raw", device, True, True)])

    # --- usage

    def display(self, uuid: str) -> Path | None:  # noqa: ARG002
        return None

    async def usage(self, uuid: str) -> Usage:
        machine = self._running(uuid)
        vcpus = max(1, self._specs[uuid].vcpus)
        groups = machine.groups
        try:
            # The kernel moves a group's threads between CPUs as it likes: each vCPU has an equal part of the whole.
            seconds = (groups.cpu_seconds() / vcpus,) * vcpus
            traffic = _traffic(Path(f"/proc/{machine.process.pid}/net/dev").read_text())
            return Usage(seconds, groups.memory(), traffic, {0: groups.disk()})
        except OSError as error:
            raise MachineError(f"machine {uuid} cannot be measured: {error}") from error


def _tree(disk: Disk) -> Path:
    assert disk.path is not None
    return tree_of(disk.uuid, disk.path.parent)


def _keeps_files(disk: Disk) -> bool:
    """Whether a disk is one that the guest keeps files on, and neither a CD nor its config drive."""
    return disk.path is not None and not disk.cdrom and _drive(disk) is None


def _drive(disk: Disk) -> dict[str, bytes] | None:
    """The files of a NoCloud drive; None for any other disk."""
    if disk.path is None or disk.format != "raw" or not disk.path.exists() or disk.path.stat().st_size > LARGEST_DRIVE:
        return None
    try:
        label, files = iso9660.files(disk.path.read_bytes())
    except iso9660.NoVolume:
        return None
    return files if label in DRIVE_LABELS else None


def _config(disks: tuple[Disk, ...]) -> tuple[cloud_config.CloudConfig | None, list[str]]:
    """The configuration on the machine's config drive, if it has one, and what is wrong with it."""
    for files in filter(None, map(_drive, disks)):
        try:
            return cloud_config.from_drive(files), []
        except ValueError as error:
            return None, [str(error)]
    return None, []


def _known_groups(folder: Path) -> list[str]:
    try:
        paths: list[str] = json.loads((folder / BOOT_FILE).read_text())["cgroups"]
    except (OSError, ValueError, KeyError):
        return []
    return paths


def _traffic(net_dev: str) -> dict[int, tuple[int, int]]:
    """Bytes received and sent by the number of the NIC, from the text of /proc/PID/net/dev."""
    found = {}
    for line in net_dev.splitlines():
        name, _, counters = line.strip().partition(":")
        if name.startswith("eth") and name[3:].isdigit():
            numbers = counters.split()
            found[int(name[3:])] = (int(numbers[0]), int(numbers[8]))
    return found


async def _run_init(uuid: str, folder: Path, go: int) -> None:
    """Start process 1; returns when its namespaces are there."""
    with socket.socket(socket.AF_UNIX) as listener:
        (folder / CONTROL_SOCKET).unlink(missing_ok=True)
        with short_path(folder) as short:
            listener.bind(f"{short}/{CONTROL_SOCKET}")
        (folder / CONTROL_SOCKET).chmod(0o600)
        listener.listen()
        with open(folder / CONSOLE_LOG, "wb") as console:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "xapi_lab.machines.namespace.init",
                uuid, str(folder), str(listener.fileno()), str(go),
                pass_fds=(listener.fileno(), go), start_new_session=True, cwd="/",
                stdin=asyncio.subprocess.DEVNULL, stdout=console, stderr=console,
            )  # fmt: skip
        code = await process.wait()
    if code != 0:
        lines = (folder / CONSOLE_LOG).read_text(errors="replace").strip().splitlines()
        raise MachineError(f"machine {uuid} could not be started: {lines[-1] if lines else f'exit code {code}'}")
