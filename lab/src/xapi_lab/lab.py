# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The lab: the pool's objects, its machines and disks, and what keeps them together."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from xapi_lab import bootstrap, failover, guest_metrics, guests, high_availability, model, operations
from xapi_lab.agents import Agents
from xapi_lab.call_log import CallLog
from xapi_lab.calls import load_all
from xapi_lab.calls.registry import Context
from xapi_lab.config import Config, ConfigError, with_this_machine
from xapi_lab.database import Database, Record
from xapi_lab.faults import Faults, fault_from
from xapi_lab.listeners import Listeners
from xapi_lab.machines.by_vm import MachinesByVm
from xapi_lab.machines.contract import Machines, Storage
from xapi_lab.machines.namespace import prerequisites
from xapi_lab.machines.namespace.backend import NamespaceMachines
from xapi_lab.machines.qemu import QemuMachines
from xapi_lab.machines.trees import TreeStorage
from xapi_lab.measurements import Measurements
from xapi_lab.members import Members
from xapi_lab.messages import Messages
from xapi_lab.no_machines import NoMachines, NoStorage
from xapi_lab.sessions import Account, Sessions
from xapi_lab.store import Store
from xapi_lab.tasks import Tasks
from xapi_lab.values import NULL

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
BACKEND_KEY = "xapi-lab:backend"


class Lab:
    """One pool. Make it inside a running event loop, `await open()` it, and `await close()` it."""

    def __init__(self, state_dir: Path, config: Config) -> None:
        self.state_dir = state_dir
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store = Store(state_dir / "pool.sqlite")
        self.config = with_this_machine(self._with_backend(config))
        self.model = model.load()
        self.call_log = CallLog()
        self.faults = Faults()
        for description in config.faults:
            self.faults.add(fault_from(description))
        load_all()
        self._loop = asyncio.get_running_loop()
        self._changed: asyncio.Future[None] = self._loop.create_future()
        self._wake_scheduled = False
        self._background: set[asyncio.Task[Any]] = set()
        self.ending = asyncio.Event()
        """The lab is about to end: nothing may wait for a client any more."""
        self.database = Database(self.model)
        self.database.refresh = operations.refresh
        self.database.touches = operations.touches
        self.tasks = Tasks(self.database)
        self.agents = Agents(self, lambda vm: guest_metrics.forget(self, vm))
        self.faults.on_change = self.agents.faults_changed
        self.messages = Messages(self.database)
        self.password = self._root_password()
        accounts = [Account(account.name, account.password, account.role) for account in config.accounts]
        self.sessions = Sessions(self.database, [Account("root", self.password), *accounts])
        self.members: Members
        self.listeners: Listeners
        self.machines: Machines
        self.storage: Storage
        self._make_backend()
        self.measurements = Measurements(self)
        self._addresses: dict[str, str] = self.store.get("addresses", {})
        self._segments: dict[str, int] = self.store.get("segments", {})

    # --- life

    def load(self) -> None:
        """Load the pool, or make it at the first start."""
        known = self.store.load(self.database)
        self.messages.load(self.store.get("messages", []))
        if not known:
            bootstrap.make_pool(self.database, self.config)
        self.members = Members(self.database, self.store)
        bootstrap.after_start(self.database)
        self.store.put("accounts", self.sessions.meet(self.store.get("accounts", [])))
        failover.after_start(self)
        self.database.on_change = self._on_change

    async def open(self) -> None:
        """Take over machines that still run."""
        for vm in self.database.refs("VM"):
            if self.database.get("VM", vm, "resident_on") not in self.members.lost:
                await guests.take_over(self, vm)
        self.measurements.load()
        if self.measures:
            self.background(self.measurements.run())
        self.save()

    async def close(self, *, stop_machines: bool) -> None:
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if stop_machines:
            await guests.stop_all(self)
        else:
            await self.machines.release()
        self.measurements.save()
        self.save()
        self.store.close()

    def save(self) -> None:
        """Write what has changed to disk."""
        self.store.save(self.database)
        if self.messages.unsaved:
            self.messages.unsaved = False
            self.store.put("messages", self.messages.dump())

    @property
    def measures(self) -> bool:
        """Whether machines are measured all the time; without machines there is little to tell, and it is told when asked."""
        return self.config.backend != "none"

    # --- waiting for changes

    def next_change(self) -> asyncio.Future[None]:
        """Done at the next change of any object; ask before looking, wait after."""
        return asyncio.shield(self._changed)

    def wake(self) -> None:
        self._on_change()

    def _on_change(self) -> None:
        if not self._wake_scheduled:
            self._wake_scheduled = True
            self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        self._wake_scheduled = False
        changed, self._changed = self._changed, self._loop.create_future()
        changed.set_result(None)

    # --- work beside the calls

    def background(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = self._loop.create_task(self._logged(coroutine))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def to_the_end(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await work that goes on without its caller: XAPI finishes a call whose client has hung up."""
        task = self._loop.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        # An error that nobody waits for any more is no news: the client's connection is gone.
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(task)

    async def _logged(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            await coroutine
        except asyncio.CancelledError:
            raise
        except Exception:
            _LOG.exception("background work failed")
        finally:
            self.save()

    # --- what the lab knows beside the database

    def sr_path(self, sr: str) -> Path:
        path = self.state_dir / "sr" / self.database.get("SR", sr, "uuid")
        path.mkdir(parents=True, exist_ok=True)
        return path

    def backend_of(self, vm: Record) -> str:
        """What a VM is: its `other_config["xapi-lab:backend"]`, which it has from its template, or what the pool is."""
        backend: str = vm["other_config"].get(BACKEND_KEY, self.config.backend)
        return backend

    def address_of(self, vif_uuid: str) -> str:
        """The loopback address reserved for a VIF on a `nat` network."""
        if vif_uuid not in self._addresses:
            self._addresses[vif_uuid] = self._free_address()
            self.store.put("addresses", self._addresses)
        return self._addresses[vif_uuid]

    def release_address(self, vif_uuid: str) -> None:
        if self._addresses.pop(vif_uuid, None) is not None:
            self.store.put("addresses", self._addresses)

    def _free_address(self) -> str:
        subnet = ipaddress.ip_network(self.config.nat_subnet)
        taken = set(self._addresses.values())
        for address in subnet.hosts():
            text = str(address)
            if int(address) - int(subnet.network_address) >= 2 and text not in taken and text.split(".")[3] != "255":
                return text
        raise RuntimeError(f"every address of {subnet} is taken; set nat_subnet to a larger one")

    def segment_of(self, network_uuid: str) -> int:
        """The number of a private network's layer 2 segment."""
        if network_uuid not in self._segments:
            self._segments[network_uuid] = max(self._segments.values(), default=0) + 1
            self.store.put("segments", self._segments)
        return self._segments[network_uuid]

    def system_context(self, name: str) -> Context:
        """A context for what the lab does of its own accord."""
        return Context(self, NULL, NULL, name, self.members.coordinator)

    # --- MachineListener

    def on_powered_off(self, uuid: str) -> None:
        self.background(self._ended(uuid, guests.powered_off(self, uuid)))

    def on_rebooted(self, uuid: str) -> None:
        self.background(guests.rebooted(self, uuid))

    def on_crashed(self, uuid: str, why: str) -> None:
        _LOG.warning("machine %s crashed: %s", uuid, why)
        self.background(self._ended(uuid, guests.crashed(self, uuid)))

    async def _ended(self, uuid: str, work: Coroutine[Any, Any, None]) -> None:
        await work
        await high_availability.keep_running(self, uuid)

    def on_addresses(self, uuid: str, addresses: Mapping[int, tuple[str, ...]]) -> None:
        guest_metrics.report_addresses(self, uuid, addresses)

    def on_guest_info(self, uuid: str, os_version: Mapping[str, str]) -> None:
        guest_metrics.report_os(self, uuid, os_version)

    # --- inside

    def _with_backend(self, config: Config) -> Config:
        """A pool keeps the backend that it was made with: its disks belong to it."""
        known = self.store.get("backend", config.backend or "qemu")
        if config.backend and config.backend != known:
            raise ConfigError(
                f"the pool in {self.state_dir} was made with backend {known}, not {config.backend}; "
                "use another state directory, or remove this one"
            )
        self.store.put("backend", known)
        return replace(config, backend=known)

    def _make_backend(self) -> None:
        if self.config.backend == "none":
            self.machines = MachinesByVm({"none": self._no_machines})
            self.storage = NoStorage()
            return
        if self.config.backend == "namespace" and (complaint := prerequisites.missing()) is not None:
            raise ConfigError(complaint)
        self.machines = MachinesByVm(
            {"qemu": self._qemu_machines, "namespace": self._namespace_machines, "none": self._no_machines}
        )
        self.storage = TreeStorage()

    def _no_machines(self) -> Machines:
        return NoMachines(self, self.config.agent_delay)

    def _qemu_machines(self) -> Machines:
        return QemuMachines(
            self.state_dir / "machines",
            self,
            nat_ports=self.config.nat_ports,
            nat_outgoing=self.config.nat_outgoing,
        )

    def _namespace_machines(self) -> Machines:
        return NamespaceMachines(self.state_dir / "machines", self)

    def _root_password(self) -> str:
        path = self.state_dir / "password"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(18) + "\n")
        return path.read_text().strip()
