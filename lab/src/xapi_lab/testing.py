# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A lab inside a test: `with Lab(backend="none") as lab: ...` on a free port, in a directory of its own."""

from __future__ import annotations

import asyncio
import random
import shutil
import ssl
import tempfile
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from xapi_lab import failover
from xapi_lab import lab as lab_module
from xapi_lab.config import from_mapping
from xapi_lab.faults import fault_from
from xapi_lab.server import Server
from xapi_lab.tls import CA_FILE, fingerprint

T = TypeVar("T")


class Lab:
    """A lab in a thread of this process. `options` are those of the configuration file.

    `state_dir`: kept after the end when given, so that a second Lab can be started from it; a temporary one otherwise.
    """

    def __init__(self, backend: str = "none", *, state_dir: Path | str | None = None, **options: Any) -> None:
        self._temporary = state_dir is None
        self.state_dir = Path(state_dir or tempfile.mkdtemp(prefix="xapi-lab-"))
        defaults: dict[str, Any] = {"failed_login_delay": 0.0, "nat_subnet": f"127.{random.randrange(78, 127)}.0.0/16"}
        if backend == "none":
            defaults["agent_delay"] = 0.02
        self.config = from_mapping({"backend": backend, **defaults, **options})
        self._server: Server
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event
        self._stop_machines = True

    # --- life

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Answers calls from when this returns."""
        ready: threading.Event = threading.Event()
        failure: list[BaseException] = []
        self._stop_machines = True
        self._thread = threading.Thread(target=self._run, args=(ready, failure), name="xapi-lab", daemon=True)
        self._thread.start()
        ready.wait()
        if failure:
            self._thread.join()
            raise failure[0]

    def stop(self, *, keep_machines: bool = False) -> None:
        """End the server; a temporary state directory goes with it."""
        if self._thread is None:
            return
        self._stop_machines = not keep_machines
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._thread = None
        if self._temporary:
            shutil.rmtree(self.state_dir, ignore_errors=True)

    def _run(self, ready: threading.Event, failure: list[BaseException]) -> None:
        async def serve() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            self._server = Server(self.state_dir, self.config)
            try:
                await self._server.start()
            except BaseException as error:
                failure.append(error)
                ready.set()
                return
            ready.set()
            await self._stop.wait()
            await self._server.stop(stop_machines=self._stop_machines)

        asyncio.run(serve())

    # --- how to reach it

    @property
    def url(self) -> str:
        return self._server.url

    def hosts(self) -> list[dict[str, Any]]:
        """Name, address, URL of each host, the first one first; whether it is up, and the coordinator."""
        return self.run(lambda lab: self._server.hosts())

    @property
    def host(self) -> str:
        return self.config.address

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def ca_path(self) -> Path:
        return self.state_dir / CA_FILE

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the server's certificate."""
        return fingerprint(self.state_dir)

    @property
    def username(self) -> str:
        return "root"

    @property
    def password(self) -> str:
        return self._server.lab.password

    @property
    def ssl_context(self) -> ssl.SSLContext:
        """A client's context that trusts this lab and nothing else."""
        return ssl.create_default_context(cafile=str(self.ca_path))

    # --- looking inside

    @property
    def state(self) -> lab_module.Lab:
        """The lab itself; touch it through `run` only, it lives in another thread."""
        return self._server.lab

    def run(self, work: Callable[[lab_module.Lab], T]) -> T:
        """Call `work(lab)` in the lab's thread and give back what it returns."""

        async def call() -> T:
            result = work(self._server.lab)
            self._server.lab.save()
            return result

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def records(self, class_name: str) -> dict[str, dict[str, Any]]:
        """All records of a class by reference, as they are now."""
        return self.run(lambda lab: {ref: dict(record) for ref, record in lab.database.records(class_name)})

    def calls(self) -> dict[str, int]:
        """How often each method was called since the start or the last reset_calls()."""
        return self.run(lambda lab: lab.call_log.counts())

    def reset_calls(self) -> None:
        self.run(lambda lab: lab.call_log.reset())

    def fault(self, method: str = "", **description: Any) -> int:
        """Add a fault (see xapi_lab.faults.Fault); its number is for clear_faults."""
        return self.run(lambda lab: lab.faults.add(fault_from({"method": method, **description})))

    def lose_host(self, name: str) -> None:
        """Take the power from a host; what the pool makes of it comes `host_assumed_dead_after` seconds later."""
        self._do(lambda lab: failover.lose(lab, failover.find_host(lab, name)))

    def return_host(self, name: str) -> None:
        """Let a lost host come back."""
        self._do(lambda lab: failover.bring_back(lab, failover.find_host(lab, name)))

    def promote_host(self, name: str) -> None:
        """Make a host the coordinator; the old one becomes a member."""
        self.run(lambda lab: failover.make_coordinator(lab, failover.find_host(lab, name), everywhere=True))

    def restart_xapi(self, seconds: float = 0.0) -> None:
        """End all sessions, tasks and connections; the coordinator's port is closed for some seconds."""
        self._do(lambda lab: failover.restart_xapi(lab, seconds))

    def _do(self, work: Callable[[lab_module.Lab], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(work(self._server.lab), self._loop).result()

    def clear_faults(self, number: int | None = None) -> None:
        self.run(lambda lab: lab.faults.clear(number))
