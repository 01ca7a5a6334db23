# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Machines that run as processes which outlive the lab: their life and end, whatever runs in the process."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from .contract import MachineError, MachineListener, Nic
from .process import MachineProcess

STOP_ALL_SECONDS = 60.0


async def _nothing(machine: RunningMachine) -> None:
    pass


class RunningMachine(ABC):
    """A machine that runs; `watch` begins to wait for its end."""

    def __init__(self, uuid: str, folder: Path, process: MachineProcess, listener: MachineListener) -> None:
        self.uuid = uuid
        self.folder = folder
        self.process = process
        self.nics: dict[int, Nic] = {}
        self.gone = asyncio.Event()
        self.clean_up: Callable[[Any], Awaitable[None]] = _nothing
        """What its backend does once the process has ended."""
        self._listener = listener
        self._end_is_expected = False
        self._watching: asyncio.Task[None]

    def watch(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch_end())

    def expect_end(self, expected: bool = True) -> None:
        """From here on an end of the machine was asked for, and is not reported."""
        self._end_is_expected = expected

    async def wait_ended(self, timeout: float) -> bool:
        try:
            await asyncio.wait_for(self.gone.wait(), timeout)
        except TimeoutError:
            return False
        return True

    async def release(self) -> None:
        """Let the machine run on without this lab."""
        self.process.release()
        self._watching.cancel()
        await self._close()

    async def _watch_end(self) -> None:
        await self.process.ended.wait()
        await self._wind_up()
        await self._close()
        await self.clean_up(self)
        self.gone.set()
        if not self._end_is_expected:
            self._report_end()

    @abstractmethod
    async def power_down(self, timeout: float) -> bool:
        """Ask the guest to switch off; True when it is off within `timeout` seconds."""

    @abstractmethod
    async def kill(self) -> None:
        """Switch off at once; returns when the machine has ended."""

    @abstractmethod
    async def _wind_up(self) -> None:
        """The process has ended: take in what it told before, and remove what it leaves behind."""

    @abstractmethod
    async def _close(self) -> None:
        """Let go of the machine's control socket."""

    @abstractmethod
    def _report_end(self) -> None:
        """Tell the listener of an end that was not asked for."""


_Machine = TypeVar("_Machine", bound=RunningMachine)


class RunningMachines(Generic[_Machine]):
    """The machines of one lab and backend by uuid: that part of the contract's `Machines` which needs no more."""

    def __init__(self, folder: Path, listener: MachineListener) -> None:
        self._folder = folder
        self._listener = listener
        self._machines: dict[str, _Machine] = {}

    def folder(self, uuid: str) -> Path:
        """Where a machine keeps its sockets and logs."""
        return self._folder / uuid

    async def shutdown(self, uuid: str, timeout: float) -> bool:
        machine = self._running(uuid)
        machine.expect_end()
        if await machine.power_down(timeout):
            return True
        machine.expect_end(False)
        return False

    async def kill(self, uuid: str) -> None:
        if uuid in self._machines:
            await self._machines[uuid].kill()

    async def stop_all(self) -> None:
        async def stop(uuid: str) -> None:
            with contextlib.suppress(MachineError):
                if await self.shutdown(uuid, STOP_ALL_SECONDS):
                    return
            await self.kill(uuid)

        await asyncio.gather(*(stop(uuid) for uuid in list(self._machines)))

    async def release(self) -> None:
        """Let all machines run on without this lab."""
        await asyncio.gather(*(machine.release() for machine in self._machines.values()))
        self._machines.clear()

    def _running(self, uuid: str) -> _Machine:
        try:
            return self._machines[uuid]
        except KeyError:
            raise MachineError(f"machine {uuid} does not run") from None

    def _check_is_new(self, uuid: str) -> None:
        if uuid in self._machines:
            raise MachineError(f"machine {uuid} runs already")

    def _keep(self, machine: _Machine) -> None:
        self._machines[machine.uuid] = machine
        machine.clean_up = self._clean_up

    async def _clean_up(self, machine: Any) -> None:
        """What is left to do after a machine's process has ended."""
        self._machines.pop(machine.uuid, None)
