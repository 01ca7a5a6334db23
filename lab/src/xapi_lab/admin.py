# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The admin socket: a Unix socket in the state directory that the command line talks to, one JSON line each way."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from xapi_lab import failover, record_set
from xapi_lab.faults import LASTING, fault_from
from xapi_lab.lab import Lab
from xapi_lab.server import Server
from xapi_lab.values import NULL

SOCKET = "admin.sock"


async def _promote(lab: Lab, host: str) -> None:
    if host in lab.members.lost:
        raise failover.FailoverError("a host that is lost cannot become coordinator")
    failover.make_coordinator(lab, host, everywhere=True)


_HOST_COMMANDS: dict[str, Callable[[Lab, str], Awaitable[None]]] = {
    "host-lose": failover.lose,
    "host-return": failover.bring_back,
    "host-promote": _promote,
}


class AdminError(Exception):
    """The lab refused an admin request, or does not answer; the message is for the person at the command line."""


def request(state_dir: Path, command: str, timeout: float = 30.0, **arguments: Any) -> Any:
    """Ask the lab of a state directory; raises AdminError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(state_dir / SOCKET))
            connection.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            answer = json.loads(connection.makefile().readline() or "null")
        except (OSError, ValueError) as error:
            raise AdminError(f"the lab in {state_dir} does not answer ({error}); start it with: xapi-lab up") from None
    if answer is None:
        raise AdminError(f"the lab in {state_dir} closed the connection; its log is {state_dir / 'lab.log'}")
    if "error" in answer:
        raise AdminError(answer["error"])
    return answer["result"]


class Admin:
    """Answers on the admin socket; `stop` ends the server."""

    def __init__(self, server: Server, stop: Callable[[bool], None]) -> None:
        self._server = server
        self._stop = stop
        self._listener: asyncio.Server

    async def start(self) -> None:
        path = self._server.state_dir / SOCKET
        path.unlink(missing_ok=True)
        self._listener = await asyncio.start_unix_server(self._answer, str(path))
        path.chmod(0o600)

    async def stop(self) -> None:
        self._listener.close()
        (self._server.state_dir / SOCKET).unlink(missing_ok=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = json.loads(await reader.readline())
            answer = {"result": await self._run(question.pop("command"), question)}
        except (ValueError, KeyError, TypeError, failover.FailoverError, record_set.RecordSetError) as error:
            answer = {"error": f"{error}" or type(error).__name__}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()
        writer.close()

    async def _run(self, command: str, arguments: dict[str, Any]) -> Any:
        lab = self._server.lab
        if command == "status":
            return self._status()
        if command == "calls":
            counts = lab.call_log.counts()
            if arguments.get("reset"):
                lab.call_log.reset()
            return counts
        if command == "fault-add":
            return await self._add_fault(arguments)
        if command == "fault-list":
            return lab.faults.describe()
        if command == "fault-clear":
            return lab.faults.clear(arguments.get("number"))
        if command in _HOST_COMMANDS:
            return await _HOST_COMMANDS[command](lab, failover.find_host(lab, str(arguments["host"])))
        if command == "save":
            return record_set.write(lab.database, Path(arguments["path"]))
        if command == "console":
            return self._console(str(arguments["vm"]))
        if command == "down":
            self._stop(bool(arguments.get("keep_machines")))
            return None
        raise ValueError(f"unknown admin command {command}")

    async def _add_fault(self, description: dict[str, Any]) -> int | None:
        """Add a fault; what happens to the pool and names no method happens at once, and has no number."""
        lab = self._server.lab
        if any(description.get(name) for name in ("method", *LASTING)):
            return lab.faults.add(fault_from(description))
        fault = fault_from({**description, "method": "*"})
        if not fault.is_event:
            raise ValueError("a fault needs a method, such as VM.start or VM.*")
        await failover.carry_out(lab, fault)
        return None

    def _status(self) -> dict[str, Any]:
        database = self._server.lab.database
        vms = [record for _, record in database.records("VM")]
        own = [vm for vm in vms if not vm["is_a_template"] and not vm["is_control_domain"]]
        return {
            "hosts": self._server.hosts(),
            "vms": [
                {"name": vm["name_label"], "uuid": vm["uuid"], "power_state": vm["power_state"],
                 "networks": self._networks(vm["guest_metrics"])}
                for vm in own
            ],
            "templates": sum(vm["is_a_template"] and not vm["is_a_snapshot"] for vm in vms),
            "sessions": len(database.tables["session"]),
        }  # fmt: skip

    def _networks(self, guest_metrics: str) -> dict[str, str]:
        if guest_metrics == NULL:
            return {}
        row = self._server.lab.database.tables["VM_guest_metrics"].get(guest_metrics)
        return dict(row.record["networks"]) if row else {}

    def _console(self, wanted: str) -> dict[str, str]:
        database = self._server.lab.database
        for _, vm in database.records("VM"):
            if wanted in {vm["uuid"], vm["name_label"]} and not vm["is_a_template"]:
                folder = self._server.state_dir / "machines" / vm["uuid"]
                return {"uuid": vm["uuid"], "directory": str(folder), "power_state": vm["power_state"]}
        raise ValueError(f"no VM is called {wanted}")
