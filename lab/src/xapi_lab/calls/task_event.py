# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Tasks, events and messages."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.values import DateTime, WireInt, now

WITHOUT_EVENTS = frozenset({"session", "user", "auth", "event", "message"})
_TOKEN = re.compile(r"(\d{1,20}),(\d{1,20})\Z")


# --- tasks


@call("task.create")
async def create(context: Context, label: str, description: str) -> str:
    return context.lab.tasks.create(label, description, running=False)


@call("task.destroy")
async def destroy(context: Context, task: str) -> None:
    context.lab.tasks.destroy(task)


@call("task.cancel")
async def cancel(context: Context, task: str) -> None:
    context.lab.tasks.cancel(task)


@call("task.set_status")
async def set_status(context: Context, task: str, status: str) -> None:
    context.db.set("task", task, "status", status)
    if status != "pending":
        context.db.set("task", task, "finished", now())


# --- events


def _parse_token(token: str) -> tuple[int, int]:
    if not token:
        return -1, -1
    match = _TOKEN.match(token)
    if match is None:
        raise XapiError("EVENT_FROM_TOKEN_PARSE_FAILURE", token)
    generation, messages = int(match.group(1)), int(match.group(2))
    return (generation, messages) if generation or messages else (-1, -1)


def _token(context: Context) -> str:
    return f"{context.db.generation:020d},{context.lab.messages.generation:020d}"


class Subscription:
    """The classes and objects that a client asked for."""

    def __init__(self, specifications: list[str]) -> None:
        self._all = False
        self._classes: set[str] = set()
        self._objects: set[tuple[str, str]] = set()
        for specification in specifications:
            parts = specification.split("/")
            if len(parts) > 2:
                raise XapiError("EVENT_SUBSCRIPTION_PARSE_FAILURE", specification)
            if specification == "*":
                self._all = True
            elif len(parts) == 2:
                self._objects.add((parts[0].lower(), parts[1]))
            else:
                self._classes.add(parts[0].lower())

    def wants(self, class_name: str, ref: str) -> bool:
        lower = class_name.lower()
        return self._all or lower in self._classes or (lower, ref) in self._objects

    def wants_messages(self) -> bool:
        return self._all or "message" in self._classes


def _event(number: int, class_name: str, operation: str, ref: str, snapshot: Any = None) -> dict[str, Any]:
    event = {
        "id": str(number), "timestamp": "0.0", "class": class_name.lower(), "operation": operation, "ref": ref
    }  # fmt: skip
    if snapshot is not None:
        event["snapshot"] = snapshot
    return event


def collect(context: Context, wanted: Subscription, generation: int, message_generation: int) -> list[dict[str, Any]]:
    adds: list[dict[str, Any]] = []
    mods: list[dict[str, Any]] = []
    for class_name, ref, row in context.db.changed_since(generation):
        if class_name in WITHOUT_EVENTS or not wanted.wants(class_name, ref):
            continue
        added = row.created > generation
        event = _event(row.modified, class_name, "add" if added else "mod", ref, dict(row.record))
        (adds if added else mods).append(event)
    dels = [
        _event(deletion.deleted, deletion.class_name, "del", deletion.ref)
        for deletion in context.db.deleted_since(generation)
        if generation >= 0
        and deletion.class_name not in WITHOUT_EVENTS
        and wanted.wants(deletion.class_name, deletion.ref)
    ]
    messages = []
    if wanted.wants_messages():
        added_messages = context.lab.messages.added_since(message_generation)
        messages = [_event(0, "message", "add", ref, dict(record)) for ref, record in added_messages]
        if message_generation >= 0:
            deleted = context.lab.messages.deleted_since(message_generation)
            messages += [_event(0, "message", "del", ref) for ref in deleted]
    adds.reverse()
    mods.reverse()
    return messages + adds + mods + dels


def _valid_ref_counts(context: Context) -> dict[str, WireInt]:
    return {name.lower(): WireInt(len(table)) for name, table in context.db.tables.items()}


@call("event.from")
async def from_(context: Context, classes: list[str], token: str, timeout: float) -> dict[str, Any]:
    generation, message_generation = _parse_token(token)
    wanted = Subscription(classes)
    deadline = time.monotonic() + timeout if timeout >= 0 else float("inf")
    delay = context.lab.config.event_from_delay
    await asyncio.sleep(delay)
    while True:
        changed = context.lab.next_change()
        if not context.lab.sessions.is_alive(context.session):
            raise XapiError("SESSION_INVALID", context.session)
        events = collect(context, wanted, generation, message_generation)
        left = deadline - time.monotonic()
        if events or left <= 0:
            return {"events": events, "valid_ref_counts": _valid_ref_counts(context), "token": _token(context)}
        try:
            await asyncio.wait_for(changed, None if left == float("inf") else left)
            await asyncio.sleep(min(delay, max(0.0, deadline - time.monotonic())))
        except TimeoutError:
            continue


@call("event.inject")
async def inject(context: Context, class_name: str, ref: str) -> str:
    if class_name not in context.db.tables or not context.db.exists(class_name, ref):
        raise XapiError("HANDLE_INVALID", class_name, ref)
    token = _token(context)
    context.db.touch(class_name, ref)
    return token


@call("event.get_current_id")
async def get_current_id(context: Context) -> int:
    return context.db.generation


# --- messages


@call("message.create")
async def message_create(context: Context, name: str, priority: int, cls: str, obj_uuid: str, body: str) -> str:
    table = {"host": "host", "pool": "pool"}.get(cls.lower(), cls)
    if table in context.db.tables:
        context.db.by_uuid(table, obj_uuid)
    return context.lab.messages.create(name, priority, cls, obj_uuid, body)


@call("message.destroy")
async def message_destroy(context: Context, ref: str) -> None:
    context.lab.messages.destroy(ref)


@call("message.destroy_many")
async def message_destroy_many(context: Context, refs: list[str]) -> None:
    for ref in refs:
        context.lab.messages.destroy(ref)


@call("message.get_all")
async def message_get_all(context: Context) -> list[str]:
    return list(context.lab.messages.records())


@call("message.get_all_records", "message.get_all_records_where")
async def message_get_all_records(context: Context, expression: str = "") -> dict[str, Any]:
    return context.lab.messages.records()


@call("message.get_record")
async def message_get_record(context: Context, ref: str) -> dict[str, Any]:
    return context.lab.messages.record(ref)


@call("message.get_by_uuid")
async def message_get_by_uuid(context: Context, uuid: str) -> str:
    return context.lab.messages.by_uuid(uuid)


@call("message.get_since")
async def message_get_since(context: Context, since: DateTime) -> dict[str, Any]:
    return context.lab.messages.records(since)


@call("message.get")
async def message_get(context: Context, cls: str, obj_uuid: str, since: DateTime) -> dict[str, Any]:
    return {
        ref: record
        for ref, record in context.lab.messages.records(since).items()
        if record["cls"] == cls and record["obj_uuid"] == obj_uuid
    }
