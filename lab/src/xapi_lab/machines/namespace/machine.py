# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""One running guest, seen from the lab: its process 1, its control socket and what it tells of its own accord."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..contract import MachineError, MachineListener
from ..process import MachineProcess
from ..running import RunningMachine
from ..short_path import short_path
from .cgroups import Groups
from .init import PID_FILE

CONTROL_SOCKET = "control.sock"
CONSOLE_LOG = "console.log"
BOOT_SECONDS = 30.0
LARGEST_MESSAGE = 2**20
_LOG = logging.getLogger(__name__)


class NamespaceMachine(RunningMachine):
    """A guest that runs; made by ``attach``."""

    def __init__(
        self, uuid: str, folder: Path, process: MachineProcess, groups: Groups, listener: MachineListener
    ) -> None:
        super().__init__(uuid, folder, process, listener)
        self.groups = groups
        self.booted = asyncio.Event()
        self.known = asyncio.Event()
        """The lab has noted that the guest runs, and takes reports."""
        self._last_word = ""
        self._writer: asyncio.StreamWriter
        self._reading: asyncio.Task[None]

    @classmethod
    async def attach(
        cls, uuid: str, folder: Path, groups: Groups, listener: MachineListener
    ) -> NamespaceMachine | None:
        """Take hold of the running guest of ``folder``; None when there is none."""
        process = MachineProcess.find(folder / PID_FILE, uuid)
        if process is None:
            return None
        machine = cls(uuid, folder, process, groups, listener)
        try:
            with short_path(folder) as short:
                reader, machine._writer = await asyncio.open_unix_connection(
                    f"{short}/{CONTROL_SOCKET}", limit=LARGEST_MESSAGE
                )
        except OSError as error:
            process.release()
            raise MachineError(f"machine {uuid} runs, but its control socket does not answer: {error}") from error
        machine._reading = asyncio.get_running_loop().create_task(machine._read(reader))
        machine.watch()
        return machine

    async def command(self, name: str) -> None:
        try:
            self._writer.write(json.dumps({"command": name}).encode() + b"\n")
            await self._writer.drain()
        except OSError as error:
            raise MachineError(f"machine {self.uuid} does not answer: {error}") from error

    async def reset(self) -> None:
        await self.command("reset")

    async def wait_booted(self) -> None:
        """Until process 1 says that it boots; MachineError with the console's last lines when it ends instead."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.booted, self.gone)]
        await asyncio.wait(waits, timeout=BOOT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self.booted.is_set():
            lines = (self.folder / CONSOLE_LOG).read_text(errors="replace").strip().splitlines()
            raise MachineError(f"machine {self.uuid} did not boot: {'; '.join(lines[-3:]) or 'it said nothing'}")

    # --- end

    async def power_down(self, timeout: float) -> bool:
        await self.command("poweroff")
        return await self.wait_ended(timeout)

    async def kill(self) -> None:
        """End process 1, and with it all others of the guest."""
        self.expect_end()
        with contextlib.suppress(OSError):
            self.groups.freeze(False)  # what is frozen does not die
        self.process.kill()
        await self.gone.wait()

    async def _close(self) -> None:
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _wind_up(self) -> None:
        self.known.set()
        # The guest's last word may still be in the socket: it is closed by now, so the reader comes to an end.
        await asyncio.wait([self._reading], timeout=2)

    def _report_end(self) -> None:
        if self._last_word == "poweroff":
            self._listener.on_powered_off(self.uuid)
        else:
            self._listener.on_crashed(self.uuid, f"process 1 of the guest ended; see {self.folder / CONSOLE_LOG}")

    # --- what the guest tells; it is not trusted

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                # Each in a turn of the loop of its own: what the last one set off comes first.
                asyncio.get_running_loop().call_soon(self._on_line, line)
                await asyncio.sleep(0)
                if self.booted.is_set():
                    await self.known.wait()

    def _on_line(self, line: bytes) -> None:
        try:
            self._on_message(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            _LOG.warning("machine %s said something strange: %s", self.uuid, error)

    def _on_message(self, message: Mapping[str, Any]) -> None:
        event = message["event"]
        if event == "booted":
            self.booted.set()
            self._last_word = ""
        elif event == "reboot":
            self._listener.on_rebooted(self.uuid)
        elif event == "addresses":
            self._listener.on_addresses(
                self.uuid, {int(device): tuple(map(str, values)) for device, values in message["addresses"].items()}
            )
        elif event == "os":
            self._listener.on_guest_info(self.uuid, {str(k): str(v) for k, v in message["os_version"].items()})
        else:
            self._last_word = event
