# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The memory of a running machine, sent from one QEMU process to another while the guest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from .command_line import CONSOLE_LOG, FIRMWARE_VARIABLES
from .contract import MachineError
from .machine import Machine

LOOK_SECONDS = 0.2


def prepare_folder(source: Path, target: Path) -> None:
    """A folder for the second process: the same firmware variables, and what the console has said."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True, mode=0o700)
    if (source / FIRMWARE_VARIABLES).exists():
        os.link(source / FIRMWARE_VARIABLES, target / FIRMWARE_VARIABLES)
    if (source / CONSOLE_LOG).exists():
        shutil.copyfile(source / CONSOLE_LOG, target / CONSOLE_LOG)


async def move(source: Machine, target: Machine, progress: Callable[[float], None]) -> None:
    """Send everything; the guest stands still in both processes afterwards. On failure it runs on in the source."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await source.give_descriptor("migration", ours.fileno())
        await target.give_descriptor("migration", theirs.fileno())
    await source.execute("migrate-set-parameters", {"max-bandwidth": 0})
    # A process that cannot take the state ends without an answer; its peer tells that the connection is gone.
    receiving = asyncio.ensure_future(target.migrate("migrate-incoming", "fd:migration"))
    sending = asyncio.ensure_future(source.migrate("migrate", "fd:migration"))
    gone = asyncio.ensure_future(target.gone.wait())
    try:
        while not sending.done():
            await asyncio.wait([sending], timeout=LOOK_SECONDS)
            ram = (await source.execute("query-migrate")).get("ram")
            if ram and ram["total"]:
                progress(min(0.99, 1 - ram["remaining"] / ram["total"]))
        await sending
        await asyncio.wait([receiving, gone], return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            raise MachineError(
                f"machine {source.uuid}: its memory could not be moved: the process that took it has ended"
            )
        await receiving
    except BaseException:
        with contextlib.suppress(MachineError):
            await source.execute("cont")
        raise
    finally:
        for task in (receiving, sending, gone):
            task.cancel()
        await asyncio.gather(receiving, sending, gone, return_exceptions=True)
