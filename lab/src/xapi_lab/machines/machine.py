# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""One running machine: its process, its QMP connection and what it tells of its own accord."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError, Runstate

from . import guest_agent
from .addresses import SNAP_LENGTH, Capture
from .command_line import AGENT_PORT, AGENT_SOCKET, PID_FILE, QMP_SOCKET, nic_netdev
from .contract import MachineError, MachineListener, Nic
from .process import MachineProcess
from .running import RunningMachine
from .short_path import short_path

_LOG = logging.getLogger(__name__)

END_SECONDS = 10.0
POWER_BUTTON_SECONDS = 5.0
"""A guest that has not booted far enough loses a press of the button: press again after this time."""
UNPLUG_SECONDS = 30.0
LOOK_SECONDS = 0.5

AddressFound = Callable[[Nic, str], "asyncio.Future[str] | Any"]


class Machine(RunningMachine):
    """A machine that runs; made by ``attach``."""

    def __init__(self, uuid: str, folder: Path, process: MachineProcess, listener: MachineListener) -> None:
        super().__init__(uuid, folder, process, listener)
        self.seen: dict[int, str] = {}
        """The guest's own address on each `nat` NIC that has shown it."""
        self.qmp = QMPClient(uuid)
        self.job_events: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
        """What QEMU tells of its work on disks; see `disk_motion`."""
        self._events = EventListener()
        self._shutdown_reason = ""
        self._captures: dict[int, Capture] = {}
        self._addresses: dict[int, tuple[str, ...]] = {}
        self._deleted: dict[str, asyncio.Event] = {}
        self._migration: asyncio.Queue[str] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._look: asyncio.Task[None] | None = None
        self.publish: Callable[[Machine, Nic, str], Any] = lambda machine, nic, address: address

    @classmethod
    async def attach(cls, uuid: str, folder: Path, listener: MachineListener) -> Machine | None:
        """Take hold of the running machine in ``folder``; None when there is none."""
        process = MachineProcess.find(folder / PID_FILE, uuid)
        if process is None:
            return None
        machine = cls(uuid, folder, process, listener)
        machine.qmp.register_listener(machine._events)
        try:
            with short_path(folder) as short:
                await asyncio.wait_for(machine.qmp.connect(f"{short}/{QMP_SOCKET}"), END_SECONDS)
        except (QMPError, OSError, TimeoutError) as error:
            process.release()
            raise MachineError(f"machine {uuid} runs, but its control socket does not answer: {error}") from error
        machine._start_task(machine._read_events())
        machine.watch()
        return machine

    def _start_task(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- commands

    async def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """Carry out one QMP command; MachineError with QEMU's own words when it refuses."""
        try:
            return await self.qmp.execute(command, arguments)
        except ExecuteError as error:
            raise MachineError(f"machine {self.uuid}: {command}: {error}") from error
        except (QMPError, OSError) as error:
            raise MachineError(f"machine {self.uuid} does not answer: {error}") from error

    async def monitor(self, line: str) -> str:
        """Carry out one command of the human monitor, for what QMP lacks; returns what it prints."""
        return str(await self.execute("human-monitor-command", {"command-line": line}))

    async def give_descriptor(self, name: str, descriptor: int) -> None:
        """Hand an open file to QEMU under a name."""
        self.qmp.send_fd_scm(descriptor)
        await self.execute("getfd", {"fdname": name})

    async def delete_device(self, device: str) -> None:
        """Ask the guest to let go of a device, and wait until it has."""
        deleted = self._deleted.setdefault(device, asyncio.Event())
        deleted.clear()
        await self.execute("device_del", {"id": device})
        try:
            await asyncio.wait_for(deleted.wait(), UNPLUG_SECONDS)
        except TimeoutError:
            raise MachineError(
                f"machine {self.uuid}: the guest did not let go of {device} within {UNPLUG_SECONDS:.0f} s; "
                "is it in use there, or has the guest not booted yet?"
            ) from None

    async def migrate(self, start: str, uri: str) -> None:
        """Run ``migrate`` or ``migrate-incoming`` to its end."""
        while not self._migration.empty():
            self._migration.get_nowait()
        await self.execute("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]})
        await self.execute(start, {"uri": uri})
        while (status := await self._migration.get()) != "completed":
            if status in ("failed", "cancelled"):
                answer = await self.execute("query-migrate")
                raise MachineError(
                    f"machine {self.uuid}: its memory could not be moved: {answer.get('error-desc', status)}"
                )

    # --- end

    async def power_down(self, timeout: float) -> bool:
        deadline = asyncio.get_running_loop().time() + timeout
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            with contextlib.suppress(MachineError):
                await self.execute("system_powerdown")
            if await self.wait_ended(min(left, POWER_BUTTON_SECONDS)):
                return True
        return False

    async def kill(self) -> None:
        """Switch off at once: let QEMU close the disk files, and end it by force when it does not."""
        self.expect_end()
        with contextlib.suppress(MachineError):
            await asyncio.wait_for(self.execute("quit"), END_SECONDS)
        if not await self.wait_ended(END_SECONDS):
            self.process.kill()
            await self.gone.wait()

    async def _close(self) -> None:
        for task in [*self._tasks]:
            task.cancel()
        with contextlib.suppress(QMPError, OSError, EOFError):
            await self.qmp.disconnect()

    async def _wind_up(self) -> None:
        # The last events may still be on their way through the socket.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._disconnected(), 2)
        while not self._events.empty():
            self._on_event(await self._events.get())
        for capture in self._captures.values():
            capture.path.unlink(missing_ok=True)

    def _report_end(self) -> None:
        if self._shutdown_reason == "guest-shutdown":
            self._listener.on_powered_off(self.uuid)
        elif self._shutdown_reason == "guest-panic":
            self._listener.on_crashed(self.uuid, "the guest's kernel panicked")
        else:
            self._listener.on_crashed(self.uuid, f"QEMU ended ({self._shutdown_reason or 'without a word'})")

    async def _disconnected(self) -> None:
        while self.qmp.runstate == Runstate.RUNNING:
            await self.qmp.runstate_changed()

    # --- events

    async def _read_events(self) -> None:
        async for event in self._events:
            self._on_event(event)

    def _on_event(self, event: Mapping[str, Any]) -> None:
        name, data = event["event"], event.get("data", {})
        if name == "SHUTDOWN":
            self._shutdown_reason = data.get("reason", "")
        elif name == "RESET":
            self._start_task(self.learn_addresses())
            if data.get("guest") and not self._end_is_expected:
                self._listener.on_rebooted(self.uuid)
        elif name == "DEVICE_DELETED" and "device" in data:
            self._deleted.setdefault(data["device"], asyncio.Event()).set()
        elif name.startswith("BLOCK_JOB_"):
            self.job_events.put_nowait((name, data))
        elif name == "MIGRATION":
            self._migration.put_nowait(data["status"])
        elif name == "VSERPORT_CHANGE" and data.get("id") == AGENT_PORT and data.get("open"):
            self._start_task(self._ask_agent())

    async def _ask_agent(self) -> None:
        with short_path(self.folder) as short:
            answer = await guest_agent.ask_os_version(f"{short}/{AGENT_SOCKET}")
        if answer:
            self._listener.on_guest_info(self.uuid, answer)

    # --- addresses

    async def learn_addresses(self) -> None:
        """Forget what is known and watch all NICs until each has shown its address."""
        self._addresses.clear()
        for nic in self.nics.values():
            await self.watch_nic(nic)

    async def watch_nic(self, nic: Nic) -> None:
        """Record what the guest sends through a NIC until it shows its address."""
        await self.forget_nic(nic.device)
        capture = Capture(self.folder / f"nic-{nic.device}.pcap", nic.mac)
        try:
            await self.execute(
                "object-add",
                {
                    "qom-type": "filter-dump",
                    "id": f"capture-{nic.device}",
                    "netdev": nic_netdev(nic.device),
                    "file": str(capture.path),
                    "maxlen": SNAP_LENGTH,
                },
            )
        except MachineError as error:
            _LOG.warning("the addresses of machine %s cannot be learnt: %s", self.uuid, error)
            return
        self._captures[nic.device] = capture
        if self._look is None or self._look.done():
            self._look = self._start_task(self._look_for_addresses())

    async def forget_nic(self, device: int) -> None:
        """Stop watching a NIC and forget its address."""
        self._captures.pop(device, None)
        self._addresses.pop(device, None)
        with contextlib.suppress(MachineError):
            await self.execute("object-del", {"id": f"capture-{device}"})
        (self.folder / f"nic-{device}.pcap").unlink(missing_ok=True)

    async def _look_for_addresses(self) -> None:
        while self._captures:
            await asyncio.sleep(LOOK_SECONDS)
            for device, capture in list(self._captures.items()):
                address = capture.look()
                nic = self.nics.get(device)
                if address is None or nic is None:
                    continue
                await self.forget_nic(device)
                self._addresses[device] = (await self.publish(self, nic, address),)
                self._listener.on_addresses(self.uuid, dict(self._addresses))
