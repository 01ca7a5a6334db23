# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The ``qemu`` backend: every machine is a QEMU process of its own that outlives the lab.

Each machine has a folder under the lab's state directory with its sockets, its console log and, for UEFI, its firmware
variables. A lab that starts again takes its machines over through their QMP sockets (``adopt``).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import accelerator, command_line, disk_motion, live_migration, nat, segment
from .command_line import disk_node, nic_netdev
from .contract import Disk, MachineError, MachineListener, MachineSpec, Nic, Usage
from .machine import Machine
from .running import RunningMachines
from .vif_locking import lets_through


class QemuMachines(RunningMachines[Machine]):
    """Machines of one lab; the ``Machines`` of the contract."""

    def __init__(
        self,
        folder: Path,
        listener: MachineListener,
        *,
        nat_ports: Iterable[str] = (),
        nat_outgoing: bool = False,
    ) -> None:
        super().__init__(folder, listener)
        self._ports = nat.parse_ports(nat_ports)
        self._outgoing = nat_outgoing
        self._segments = segment.Segments(folder)
        self._accelerator: accelerator.Accelerator | None = None

    # --- life

    async def start(self, spec: MachineSpec, *, paused: bool = False) -> None:
        machine = await self._launch(spec)
        if not paused:
            await machine.execute("cont")

    async def resume(self, spec: MachineSpec, path: Path, *, paused: bool = False) -> None:
        with _open_state(path, os.O_RDONLY) as state:
            machine = await self._launch(spec, state)
            try:
                await machine.migrate("migrate-incoming", f"fd:{state}")
                if not paused:
                    await machine.execute("cont")
            except MachineError:
                await machine.kill()
                raise

    async def suspend(self, uuid: str, path: Path) -> None:
        machine = self._running(uuid)
        await machine.execute("stop")
        try:
            with _open_state(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as state:
                await machine.give_descriptor("state", state)
                await machine.migrate("migrate", "fd:state")
        except MachineError:
            path.unlink(missing_ok=True)
            await machine.execute("cont")
            raise
        await machine.kill()

    async def reset(self, uuid: str) -> None:
        await self._running(uuid).execute("system_reset")

    async def pause(self, uuid: str) -> None:
        await self._running(uuid).execute("stop")

    async def unpause(self, uuid: str) -> None:
        await self._running(uuid).execute("cont")

    async def release(self) -> None:
        await super().release()
        self._segments.close()

    async def adopt(self, spec: MachineSpec) -> bool:
        if spec.uuid in self._machines:
            return True
        machine = await Machine.attach(spec.uuid, self.folder(spec.uuid), self._listener)
        if machine is None:
            return False
        await disk_motion.give_up_all(machine)
        await self._take(machine, spec)
        return True

    async def _launch(self, spec: MachineSpec, state: int | None = None) -> Machine:
        """Start the process of a machine, which does not run yet."""
        self._check_is_new(spec.uuid)
        folder = self.folder(spec.uuid)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if spec.firmware == "uefi":
            _provide_firmware(folder)
        netdevs = {nic.device: self._netdev(nic) for nic in spec.nics}
        arguments = command_line.build(spec, await self._chosen_accelerator(), netdevs, incoming=state is not None)
        await _run_qemu(arguments, folder, () if state is None else (state,))
        machine = await Machine.attach(spec.uuid, folder, self._listener)
        if machine is None:
            raise MachineError(
                f"machine {spec.uuid} ended as soon as it was started; see {folder / command_line.QEMU_LOG}"
            )
        await self._take(machine, spec)
        return machine

    async def _take(self, machine: Machine, spec: MachineSpec) -> None:
        self._keep(machine)
        machine.publish = self._publish
        machine.nics = {nic.device: nic for nic in spec.nics}
        for nic in spec.nics:
            self._join(nic)
            if nic.kind == "nat" and nic.locking.mode != "unlocked":
                await self._set_link(machine, nic)
        await machine.learn_addresses()

    async def _clean_up(self, machine: Machine) -> None:
        await super()._clean_up(machine)
        for nic in machine.nics.values():
            self._leave(nic)

    async def _chosen_accelerator(self) -> accelerator.Accelerator:
        if self._accelerator is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._accelerator = await accelerator.choose(self._folder / "accelerator.json")
        return self._accelerator

    # --- networks

    def _netdev(self, nic: Nic, *, incoming: bool = False) -> dict[str, Any]:
        if nic.kind == "nat":
            return self._nat_netdev(nic, () if incoming else self._ports)
        port = self._segments.other_port(nic) if incoming else None
        return self._segments.netdev(nic_netdev(nic.device), nic, port)

    def _join(self, nic: Nic) -> None:
        if nic.kind != "nat":
            self._segments.join(nic)

    def _leave(self, nic: Nic) -> None:
        if nic.kind != "nat":
            self._segments.leave(nic)

    def _nat_netdev(self, nic: Nic, ports: Iterable[int]) -> dict[str, Any]:
        if nic.address is None:
            raise MachineError(f"NIC {nic.device}: no loopback address is reserved for it")
        nat.check_ports_are_free(nic.address, ports)
        return nat.netdev(nic_netdev(nic.device), nic.address, ports, self._outgoing)

    async def _publish(self, machine: Machine, nic: Nic, seen: str) -> str:
        """The address at which others reach a guest that was seen to use ``seen``."""
        if nic.kind != "nat" or nic.address is None or ipaddress.IPv4Address(seen) not in nat.subnet(nic.address):
            return seen
        machine.seen[nic.device] = seen
        if seen != nat.guest_address(nic.address):
            for port in self._ports:
                await machine.monitor(f"hostfwd_remove {nic_netdev(nic.device)} tcp:{nic.address}:{port}")
                await machine.monitor(f"hostfwd_add {nic_netdev(nic.device)} tcp:{nic.address}:{port}-{seen}:{port}")
        return nic.address

    # --- devices

    async def migrate(self, spec: MachineSpec, progress: Callable[[float], None]) -> None:
        """QEMU's live migration into a second process, over a pair of connected sockets.

        Ports of `nat` NICs can be taken by one process only, so connections to the guest through them are cut.
        """
        source = self._running(spec.uuid)
        folder = self.folder(f"{spec.uuid}.incoming")
        live_migration.prepare_folder(source.folder, folder)
        target = await self._launch_incoming(spec, folder)
        try:
            await live_migration.move(source, target, progress)
        except BaseException:
            await target.kill()
            for nic in spec.nics:
                self._segments.other_port(nic).unlink(missing_ok=True)
            raise
        await self._hand_over(source, target, spec)

    async def _launch_incoming(self, spec: MachineSpec, folder: Path) -> Machine:
        """A process that waits for the state of a running machine; it has the machine's networks, but none of its ports."""
        netdevs = {nic.device: self._netdev(nic, incoming=True) for nic in spec.nics}
        arguments = command_line.build(spec, await self._chosen_accelerator(), netdevs, incoming=True)
        await _run_qemu(arguments, folder, ())
        target = await Machine.attach(spec.uuid, folder, self._listener)
        if target is None:
            raise MachineError(f"machine {spec.uuid} could not be received; see {folder / command_line.QEMU_LOG}")
        target.expect_end()
        return target

    async def _hand_over(self, source: Machine, target: Machine, spec: MachineSpec) -> None:
        """Put the machine that received the state in the place of the one that sent it."""
        for nic in spec.nics:
            self._leave(nic)
        source.nics = {}
        await source.kill()
        # QEMU removes its pid file by the path that it had at first, which may be that of the next process's.
        (target.folder / command_line.PID_FILE).write_text(f"{target.process.pid}\n")
        shutil.rmtree(source.folder, ignore_errors=True)
        target.folder.rename(source.folder)
        target.folder = source.folder
        for nic in spec.nics:
            if nic.kind == "nat" and nic.address is not None:
                seen = source.seen.get(nic.device, nat.guest_address(nic.address))
                for port in self._ports:
                    forward = f"tcp:{nic.address}:{port}-{seen}:{port}"
                    await target.monitor(f"hostfwd_add {nic_netdev(nic.device)} {forward}")
        await self._take(target, spec)
        target.expect_end(False)
        await target.execute("cont")

    async def move_disk(self, uuid: str, disk: Disk, progress: Callable[[float], None]) -> None:
        await disk_motion.move(self._running(uuid), disk, progress)

    async def plug_disk(self, uuid: str, disk: Disk) -> None:
        machine = self._running(uuid)
        properties = command_line.disk_properties(disk)
        await machine.execute("blockdev-add", command_line.block_node(disk))
        try:
            await machine.execute("device_add", properties)
        except MachineError:
            await machine.execute("blockdev-del", {"node-name": disk_node(disk.device)})
            raise

    async def unplug_disk(self, uuid: str, disk_device: int) -> None:
        machine = self._running(uuid)
        node = await disk_motion.node_of(machine, disk_device)
        await machine.delete_device(command_line.disk_device(disk_device))
        await machine.execute("blockdev-del", {"node-name": node})

    async def plug_nic(self, uuid: str, nic: Nic) -> None:
        machine = self._running(uuid)
        properties = command_line.nic_properties(nic)
        await machine.execute("netdev_add", self._netdev(nic))
        self._join(nic)
        machine.nics[nic.device] = nic
        await machine.watch_nic(nic)
        try:
            await machine.execute("device_add", properties)
            await self.lock_nic(uuid, nic)
        except MachineError:
            await self._drop_netdev(machine, nic.device)
            raise

    async def unplug_nic(self, uuid: str, nic_device: int) -> None:
        machine = self._running(uuid)
        await machine.delete_device(command_line.nic_device(nic_device))
        await self._drop_netdev(machine, nic_device)

    async def _drop_netdev(self, machine: Machine, device: int) -> None:
        await machine.forget_nic(device)
        await machine.execute("netdev_del", {"id": nic_netdev(device)})
        nic = machine.nics.pop(device, None)
        if nic is not None:
            self._leave(nic)

    async def lock_nic(self, uuid: str, nic: Nic) -> None:
        machine = self._running(uuid)
        machine.nics[nic.device] = nic
        if nic.kind != "nat":
            self._segments.lock(nic)
        else:
            await self._set_link(machine, nic)

    async def _set_link(self, machine: Machine, nic: Nic) -> None:
        """Plug a `nat` NIC's cable in or out: user networking cannot filter frames, and nothing else uses its wire."""
        addresses = [nic.address, nat.guest_address(nic.address)] if nic.address else []
        up = lets_through(nic.locking, *addresses)
        await machine.execute("set_link", {"name": nic_netdev(nic.device), "up": up})

    async def change_medium(self, uuid: str, device: int, path: Path | None) -> None:
        machine = self._running(uuid)
        drive, node = command_line.disk_device(device), disk_node(device)
        nodes = {entry["node-name"] for entry in await machine.execute("query-named-block-nodes", {"flat": True})}
        await machine.execute("blockdev-open-tray", {"id": drive, "force": True})
        if node in nodes:
            await machine.execute("blockdev-remove-medium", {"id": drive})
            await machine.execute("blockdev-del", {"node-name": node})
        if path is not None:
            medium = Disk("", path, path.suffix[1:] if path.suffix == ".qcow2" else "raw", device, True, True)
            await machine.execute("blockdev-add", command_line.block_node(medium))
            await machine.execute("blockdev-insert-medium", {"id": drive, "node-name": node})
        await machine.execute("blockdev-close-tray", {"id": drive})

    # --- usage

    def display(self, uuid: str) -> Path | None:
        path = self.folder(uuid) / command_line.DISPLAY_SOCKET
        return path if uuid in self._machines and path.exists() else None

    async def usage(self, uuid: str) -> Usage:
        machine = self._running(uuid)
        cpus = await machine.execute("query-cpus-fast")
        memory = await machine.execute("query-memory-size-summary")
        blocks = await machine.execute("query-blockstats")
        seconds = (
            machine.process.thread_seconds(cpu["thread-id"]) for cpu in sorted(cpus, key=lambda c: c["cpu-index"])
        )
        disks = {}
        for block in blocks:
            device = command_line.disk_number(str(block.get("qdev", "")))
            if device is not None:
                disks[device] = (block["stats"]["rd_bytes"], block["stats"]["wr_bytes"])
        # QEMU counts no bytes of user networking.
        nics = {nic.device: self._segments.traffic(nic) for nic in machine.nics.values() if nic.kind != "nat"}
        return Usage(tuple(seconds), memory["base-memory"], nics, disks)


@contextlib.contextmanager
def _open_state(path: Path, flags: int) -> Any:
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        raise MachineError(f"the machine's memory file {path} cannot be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _provide_firmware(folder: Path) -> None:
    variables = folder / command_line.FIRMWARE_VARIABLES
    if not command_line.OVMF_CODE.exists():
        raise MachineError("UEFI machines need OVMF: install the Debian package ovmf")
    if not variables.exists():
        shutil.copyfile(command_line.OVMF_VARIABLES, variables)


async def _run_qemu(arguments: list[str], folder: Path, descriptors: tuple[int, ...]) -> None:
    """Start QEMU in the background; returns when its sockets are there."""
    log = folder / command_line.QEMU_LOG
    log.unlink(missing_ok=True)
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            cwd=folder,
            pass_fds=descriptors,
            start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise MachineError(f"{arguments[0]} is not installed: install the Debian package qemu-system-x86") from None
    _, complaint = await process.communicate()
    if process.returncode != 0:
        complaint += log.read_bytes() if log.exists() else b""
        raise MachineError(f"QEMU refused to start the machine: {complaint.decode(errors='replace').strip()}")
