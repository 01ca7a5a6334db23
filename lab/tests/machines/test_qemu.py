# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The qemu backend with guests of one sector: life cycle, events, devices, and machines that outlive the lab."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import IDLE, POWER_OFF, REBOOT, Listener, disk, press_key, spec
from xapi_lab.machines.contract import MachineError, Nic
from xapi_lab.machines.qemu import QemuMachines
from xapi_lab.machines.vif_locking import Locking

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="qemu-system-x86_64 is not installed"
)
SECONDS = 60


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: Unix sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="m") as name:
        yield Path(name)


def nic(device: int, kind: str = "private") -> Nic:
    return Nic(f"vif{device}", device, f"52:54:00:00:00:0{device}", "network", kind, 3, "127.77.98.7")


def test_a_guest_that_switches_itself_off_is_reported(folder: Path) -> None:
    async def work() -> None:
        listener = Listener()
        machines, machine = QemuMachines(folder / "machines", listener), spec(disk(folder / "d.raw", POWER_OFF))
        await machines.start(machine)
        await press_key(machines.folder(machine.uuid))
        await listener.wait_for("powered_off", SECONDS)
        assert not await machines.adopt(machine)

    asyncio.run(work())


def test_a_guest_that_restarts_itself_is_reported_and_runs_on(folder: Path) -> None:
    async def work() -> None:
        listener = Listener()
        machines, machine = QemuMachines(folder / "machines", listener), spec(disk(folder / "d.raw", REBOOT))
        await machines.start(machine)
        try:
            await press_key(machines.folder(machine.uuid))
            await listener.wait_for("rebooted", SECONDS)
            with pytest.raises(MachineError, match="runs already"):
                await machines.start(machine)
        finally:
            await machines.kill(machine.uuid)
        assert listener.queue.empty(), "an end that was asked for was reported"

    asyncio.run(work())


def test_a_guest_goes_on_in_another_process(folder: Path) -> None:
    async def work() -> None:
        listener = Listener()
        machines = QemuMachines(folder / "machines", listener, nat_ports=("8000",))
        machine = spec(disk(folder / "d.raw", POWER_OFF), nics=(nic(0, "nat"), nic(1)))
        await machines.start(machine)
        place = machines.folder(machine.uuid)
        progress: list[float] = []
        for _ in range(2):
            pid = (place / "pid").read_text()
            await machines.migrate(machine, progress.append)
            assert (place / "pid").read_text() != pid
        assert progress
        assert all(0 <= fraction < 1 for fraction in progress)
        socket.create_connection(("127.77.98.7", 8000), SECONDS).close()
        assert listener.queue.empty(), "a move was reported as an end"
        await press_key(place)
        await listener.wait_for("powered_off", SECONDS)
        assert [path.name for path in (folder / "machines").iterdir() if path.is_dir()] == [machine.uuid]

    asyncio.run(work())


def test_a_machine_that_cannot_be_received_runs_on_where_it_was(folder: Path) -> None:
    async def work() -> None:
        listener = Listener()
        machines = QemuMachines(folder / "machines", listener)
        machine = spec(disk(folder / "d.raw", POWER_OFF))
        await machines.start(machine)
        with pytest.raises(MachineError, match="could not be moved"):
            await machines.migrate(replace(machine, memory=2 * machine.memory), lambda fraction: None)
        assert listener.queue.empty()
        await press_key(machines.folder(machine.uuid))
        await listener.wait_for("powered_off", SECONDS)

    asyncio.run(work())


def test_a_machine_with_plugged_devices_is_suspended_resumed_and_adopted(folder: Path) -> None:
    async def work() -> None:
        listener = Listener()
        machines = QemuMachines(folder / "machines", listener, nat_ports=("8000-8001",))
        machine = spec(disk(folder / "d.raw", POWER_OFF), nics=(nic(0, "nat"),))
        await machines.start(machine)
        data = disk(folder / "e.raw", b"", 1)
        await machines.plug_disk(machine.uuid, data)
        await machines.plug_nic(machine.uuid, nic(1))
        for mode in ("disabled", "unlocked"):
            for number, kind in enumerate(("nat", "private")):
                await machines.lock_nic(machine.uuid, replace(nic(number, kind), locking=Locking(mode)))
        await machines.suspend(machine.uuid, folder / "state")
        assert not await machines.adopt(machine)

        whole = replace(machine, disks=(*machine.disks, data), nics=(*machine.nics, nic(1)))
        await machines.resume(whole, folder / "state")
        await machines.release()

        later = QemuMachines(folder / "machines", listener)
        assert await later.adopt(whole)
        try:
            usage = await later.usage(whole.uuid)
            # QEMU itself may have sent a frame by now, to tell switches where the machine is.
            assert (set(usage.disks), set(usage.nics), len(usage.cpu_seconds)) == ({0, 1}, {1}, 1)
            assert usage.memory == whole.memory
            await press_key(later.folder(whole.uuid))
            await listener.wait_for("powered_off", SECONDS)
        finally:
            await later.kill(whole.uuid)

    asyncio.run(work())


def test_what_qemu_refuses_is_told_in_its_own_words(folder: Path) -> None:
    async def work() -> None:
        machines, machine = QemuMachines(folder / "machines", Listener()), spec(disk(folder / "d.raw", IDLE))
        (folder / "d.raw").unlink()
        with pytest.raises(MachineError, match=r"d\.raw.*No such file"):
            await machines.start(machine)

    asyncio.run(work())


def test_a_disk_is_moved_under_a_running_guest(folder: Path) -> None:
    async def work() -> None:
        listener = Listener()
        machines = QemuMachines(folder / "machines", listener)
        machine = spec(disk(folder / "d.raw", POWER_OFF), disk(folder / "e.raw", b"data", 1))
        await machines.start(machine)
        progress: list[float] = []
        moved = [replace(old, uuid=f"{number}" * 8, path=folder / "other" / f"{number}.raw")
                 for number, old in enumerate(machine.disks)]  # fmt: skip
        (folder / "other").mkdir()
        for new, old in zip(moved, machine.disks, strict=True):
            assert new.path is not None
            assert old.path is not None
            new.path.touch()
            os.truncate(new.path, old.path.stat().st_size)
            await machines.move_disk(machine.uuid, new, progress.append)
            assert new.path.read_bytes() == old.path.read_bytes()
            assert new.path.stat().st_blocks * 512 < new.path.stat().st_size
            old.path.unlink()
        with pytest.raises(MachineError, match=r"none\.raw"):
            await machines.move_disk(machine.uuid, replace(moved[0], path=folder / "none.raw"), progress.append)
        await machines.migrate(replace(machine, disks=tuple(moved)), progress.append)
        await press_key(machines.folder(machine.uuid))
        await listener.wait_for("powered_off", SECONDS)

    asyncio.run(work())
