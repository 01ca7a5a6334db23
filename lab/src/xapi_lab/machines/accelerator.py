# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Which accelerator QEMU can really use here.

A /dev/kvm that can be opened proves nothing: nested hosts exist where a guest hangs at its first instruction. So KVM is
taken only after a guest of one sector ran under it; the verdict holds until the next boot of this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

QEMU = "qemu-system-x86_64"
PROBE_SECONDS = 3.0
DEBUG_EXIT_PORT = 0x501
PROBE_VALUE = 0x10
PROBE_EXIT_CODE = PROBE_VALUE << 1 | 1
"""isa-debug-exit ends QEMU with twice the value written, plus one."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Accelerator:
    """An accelerator with the CPU model that fits it."""

    name: str
    option: str
    cpu: str


KVM = Accelerator("kvm", "kvm", "host")
TCG = Accelerator("tcg", "tcg,thread=multi", "qemu64")
"""qemu64 rather than max: emulated AVX and five-level paging make a guest slower, not faster."""


def probe_sector() -> bytes:
    """A boot sector: mov dx, port; mov al, value; out dx, al; hlt."""
    program = b"\xba" + DEBUG_EXIT_PORT.to_bytes(2, "little") + b"\xb0" + bytes([PROBE_VALUE]) + b"\xee\xf4\xeb\xfd"
    return program.ljust(510, b"\0") + b"\x55\xaa"


async def runs_a_guest(option: str, seconds: float = PROBE_SECONDS) -> bool:
    """True when a guest under ``-accel option`` reached its first instructions within ``seconds``."""
    with tempfile.NamedTemporaryFile(suffix=".raw") as sector:
        sector.write(probe_sector())
        sector.flush()
        process = await asyncio.create_subprocess_exec(
            QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-accel", option,
            "-device", f"isa-debug-exit,iobase={DEBUG_EXIT_PORT:#x},iosize=0x01",
            "-drive", f"file={sector.name},format=raw,if=ide,readonly=off,snapshot=on",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return await asyncio.wait_for(process.wait(), seconds) == PROBE_EXIT_CODE
        except TimeoutError:
            process.kill()
            # A thread that hangs inside the kernel's KVM code may not even end when killed: do not wait for it.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 1)
            return False


async def choose(cache: Path) -> Accelerator:
    """KVM where it is proven to work, else TCG. The verdict is kept in the file ``cache`` for this boot of the machine."""
    boot_id = BOOT_ID.read_text().strip()
    with contextlib.suppress(OSError, ValueError, KeyError):
        verdict = json.loads(cache.read_text())
        if verdict["boot_id"] == boot_id:
            return KVM if verdict["kvm"] else TCG
    works = os.access("/dev/kvm", os.R_OK | os.W_OK) and await runs_a_guest(KVM.option)
    cache.write_text(json.dumps({"boot_id": boot_id, "kvm": works}))
    return KVM if works else TCG
