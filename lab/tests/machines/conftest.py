# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Machines for the tests: programs of one sector, and a listener that remembers what it was told."""

from __future__ import annotations

import asyncio
import shutil
import uuid as uuids
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from xapi_lab.machines.contract import Disk, MachineSpec, Nic

MIB = 1024 * 1024


@dataclass
class Listener:
    """Remembers events, and lets a test wait for the next one."""

    queue: asyncio.Queue[tuple[str, object]] = field(default_factory=asyncio.Queue)

    def on_powered_off(self, uuid: str) -> None:
        self.queue.put_nowait(("powered_off", None))

    def on_rebooted(self, uuid: str) -> None:
        self.queue.put_nowait(("rebooted", None))

    def on_crashed(self, uuid: str, why: str) -> None:
        self.queue.put_nowait(("crashed", why))

    def on_addresses(self, uuid: str, addresses: Mapping[int, tuple[str, ...]]) -> None:
        self.queue.put_nowait(("addresses", dict(addresses)))

    def on_guest_info(self, uuid: str, os_version: Mapping[str, str]) -> None:
        self.queue.put_nowait(("guest_info", dict(os_version)))

    async def wait_for(self, name: str, timeout: float) -> object:
        """What came with the next event of this name; others before it are dropped."""
        async with asyncio.timeout(timeout):
            while True:
                event, data = await self.queue.get()
                if event == name:
                    return data


def boot_sector(*instructions: bytes) -> bytes:
    return b"".join(instructions).ljust(510, b"\0") + b"\x55\xaa"


def out_byte(port: int, value: int) -> bytes:
    """mov dx, port; mov al, value; out dx, al"""
    return b"\xba" + port.to_bytes(2, "little") + b"\xb0" + bytes([value]) + b"\xee"


def out_word(port: int, value: int) -> bytes:
    """mov dx, port; mov ax, value; out dx, ax"""
    return b"\xba" + port.to_bytes(2, "little") + b"\xb8" + value.to_bytes(2, "little") + b"\xef"


SERIAL = 0x3F8
WAIT_FOR_KEY = b"\xba\xfd\x03\xec\xa8\x01\x74\xfb\xba\xf8\x03\xec"
"""mov dx, 3fdh; in al, dx; test al, 1; jz back (no byte on COM1 yet); mov dx, 3f8h; in al, dx. It needs no interrupt."""
HALT = b"\xf4\xeb\xfd"
SAY_UP = out_byte(SERIAL, ord("U"))

IDLE = boot_sector(SAY_UP, HALT)
POWER_OFF = boot_sector(SAY_UP, WAIT_FOR_KEY, out_word(0x604, 0x2000), HALT)
"""Says U, waits for a byte on the serial line, then goes to S5 through the PIIX4's power management port."""
REBOOT = boot_sector(SAY_UP, WAIT_FOR_KEY, out_byte(0x64, 0xFE), HALT)


def disk(path: Path, content: bytes, device: int = 0, *, cdrom: bool = False) -> Disk:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.truncate(MIB)
    return Disk(str(uuids.uuid4()), path, "raw", device, cdrom, cdrom)


def spec(*disks: Disk, nics: tuple[Nic, ...] = (), firmware: str = "bios") -> MachineSpec:
    return MachineSpec(str(uuids.uuid4()), "test, machine", 1, 64 * MIB, firmware, "cd", tuple(disks), nics)


_HELD: set[asyncio.Task[None]] = set()


async def press_key(folder: Path) -> None:
    """Send a byte to the machine's serial line.

    The connection stays open until the machine ends: QEMU drops what it has not read when a client hangs up.
    """
    reader, writer = await asyncio.open_unix_connection(str(folder / "console.sock"))
    writer.write(b"x")
    await writer.drain()

    async def hold() -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    task = asyncio.create_task(hold())
    _HELD.add(task)
    task.add_done_callback(_HELD.discard)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture(autouse=True)
def _needs_qemu(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("qemu") and shutil.which("qemu-system-x86_64") is None:
        pytest.skip("qemu-system-x86_64 is not installed")
