# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Where calls with behaviour register themselves, and what they are given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from xapi_lab.database import Database
from xapi_lab.errors import XapiError
from xapi_lab.operations import BUSY, REFUSALS
from xapi_lab.values import NULL

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

T = TypeVar("T")
Handler = Callable[..., Awaitable[Any]]
CALLS: dict[str, Handler] = {}


def call(*wire_names: str) -> Callable[[Handler], Handler]:
    """Register a handler: a coroutine function of a Context and the message's decoded parameters."""

    def register(handler: Handler) -> Handler:
        for name in wire_names:
            CALLS[name] = handler
        return handler

    return register


@dataclass
class Context:
    """One call on its way: who sent it and the task that stands for it (NULL when it has none)."""

    lab: Lab
    session: str = NULL
    task: str = NULL
    name: str = ""
    host: str = NULL
    """The host that was asked."""

    @property
    def db(self) -> Database:
        return self.lab.database

    @asynccontextmanager
    async def operation(self, class_name: str, ref: str, operation: str) -> AsyncIterator[None]:
        """Hold an operation on an object: wait while others are in its way, refuse what its state forbids."""
        await self.wait_until_allowed(class_name, ref, operation)
        self._check_reachable(class_name, ref)
        key = self.task if self.task != NULL else f"DummyRef:|{id(self):x}|{self.name}"
        self.db.put_in_map(class_name, ref, "current_operations", key, operation)
        try:
            yield
        finally:
            if self.db.exists(class_name, ref):
                self.db.remove_from_map(class_name, ref, "current_operations", key)

    @asynccontextmanager
    async def operations(self, *wanted: tuple[str, str, str]) -> AsyncIterator[None]:
        """Hold several operations, taken in the order given."""
        async with AsyncExitStack() as stack:
            for class_name, ref, operation in wanted:
                await stack.enter_async_context(self.operation(class_name, ref, operation))
            yield

    def _check_reachable(self, class_name: str, ref: str) -> None:
        """Refuse what only the host of a running VM can do when that host is gone."""
        vm = ref if class_name == "VM" else self.db.record(class_name, ref).get("VM", NULL)
        if self.db.exists("VM", vm) and self.db.get("VM", vm, "resident_on") != NULL:
            self.lab.members.check_reachable(self.db.get("VM", vm, "resident_on"))

    async def wait_until_allowed(self, class_name: str, ref: str, operation: str) -> None:
        """Wait for operations in the way, as XAPI does; raise any other refusal."""
        while True:
            changed = self.lab.next_change()
            refusal = REFUSALS[class_name](self.db, ref, operation)
            if refusal is None:
                return
            if refusal.code != BUSY:
                raise refusal
            await self.cancellable(changed)

    async def cancellable(self, awaitable: Awaitable[T]) -> T:
        """Await something that task.cancel may interrupt with TASK_CANCELLED."""
        cancelled = self.lab.tasks.cancellation(self.task)
        if cancelled is None:
            return await awaitable
        work = asyncio.ensure_future(awaitable)
        stop = asyncio.ensure_future(cancelled.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            work.cancel()
            raise XapiError("TASK_CANCELLED", self.task)
        finally:
            stop.cancel()

    def progress(self, fraction: float) -> None:
        if self.db.exists("task", self.task):
            self.db.set("task", self.task, "progress", fraction)

    def background(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.lab.background(coroutine)
