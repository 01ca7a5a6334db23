# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Tasks: the objects that stand for calls under way, and their end."""

from __future__ import annotations

import asyncio

from xapi_lab.database import Database
from xapi_lab.values import EPOCH, NULL, now
from xapi_lab.wire.xmlrpc import encode_value

MOST_FINISHED_TASKS = 200


class Tasks:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._cancellations: dict[str, asyncio.Event] = {}

    def create(self, label: str, description: str = "", *, running: bool = True) -> str:
        """A pending task; `running` when a call of this server works on it."""
        hosts = self._database.refs("pool")
        coordinator = self._database.get("pool", hosts[0], "master") if hosts else NULL
        ref = self._database.create(
            "task",
            {
                "name_label": label,
                "name_description": description,
                "allowed_operations": ["cancel"] if running else [],
                "created": now(),
                "finished": EPOCH,
                "status": "pending",
                "resident_on": coordinator,
                "progress": 0.0,
                "type": "<none/>",
                "backtrace": "()",
            },
        )
        if running:
            self._cancellations[ref] = asyncio.Event()
        return ref

    def adopt(self, ref: str) -> None:
        """Let a handler of this server work on a task that a client made."""
        self._cancellations.setdefault(ref, asyncio.Event())

    def cancellation(self, ref: str) -> asyncio.Event | None:
        return self._cancellations.get(ref)

    def is_pending(self, ref: str) -> bool:
        """Whether there is such a task, and it has not ended."""
        return self._database.exists("task", ref) and bool(self._database.get("task", ref, "status") == "pending")

    def cancel(self, ref: str) -> None:
        event = self._cancellations.get(ref)
        if event is not None and self._database.get("task", ref, "status") == "pending":
            self._database.put_in_map("task", ref, "current_operations", f"DummyRef:|{ref[10:]}|task.cancel", "cancel")
            event.set()

    def succeed(self, ref: str, value: object) -> None:
        self._end(ref, "success", encode_value(value), [])

    def fail(self, ref: str, error: list[str]) -> None:
        self._end(ref, "cancelled" if error[0] == "TASK_CANCELLED" else "failure", "", error)

    def destroy(self, ref: str) -> None:
        """Remove a task now, or when its call ends if that is still under way."""
        if ref in self._cancellations and self._database.get("task", ref, "status") == "pending":
            key = f"DummyRef:|{ref[10:]}|task.destroy"
            self._database.put_in_map("task", ref, "current_operations", key, "destroy")
            return
        self.forget(ref)

    def forget(self, ref: str) -> None:
        self._cancellations.pop(ref, None)
        if self._database.exists("task", ref):
            self._database.destroy("task", ref)

    def _end(self, ref: str, status: str, result: str, error: list[str]) -> None:
        self._cancellations.pop(ref, None)
        if not self._database.exists("task", ref):
            return
        wanted_gone = "destroy" in self._database.get("task", ref, "current_operations").values()
        self._database.update(
            "task", ref, progress=1.0, finished=now(), result=result, error_info=error,
            allowed_operations=[], current_operations={}, status=status,
        )  # fmt: skip
        if wanted_gone:
            self._database.destroy("task", ref)
        self._collect()

    def _collect(self) -> None:
        finished = [
            (record["finished"], ref) for ref, record in self._database.records("task") if record["status"] != "pending"
        ]
        for _, ref in sorted(finished)[:-MOST_FINISHED_TASKS]:
            self._database.destroy("task", ref)
