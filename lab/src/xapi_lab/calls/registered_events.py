# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The deprecated events: a session registers for classes and takes what has happened since with event.next."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from xapi_lab.calls.registry import Context, call
from xapi_lab.calls.task_event import Subscription, collect
from xapi_lab.errors import XapiError
from xapi_lab.lab import Lab


@dataclass
class _Registration:
    """What a session listens to, and how far it has listened."""

    generation: int
    messages: int
    classes: set[str] = field(default_factory=set)


_REGISTRATIONS: WeakKeyDictionary[Lab, dict[str, _Registration]] = WeakKeyDictionary()


def _track_id(session: str) -> str:
    """How XAPI names a session where its reference would be a secret told (context.ml)."""
    return f"trackid={hashlib.md5(session.encode(), usedforsecurity=False).hexdigest()}"


def _registrations(context: Context) -> dict[str, _Registration]:
    return _REGISTRATIONS.setdefault(context.lab, {})


@call("event.register")
async def register(context: Context, classes: list[str]) -> None:
    fresh = _Registration(context.db.generation, context.lab.messages.generation)
    _registrations(context).setdefault(context.session, fresh).classes.update(classes)


@call("event.unregister")
async def unregister(context: Context, classes: list[str]) -> None:
    registration = _registrations(context).get(context.session)
    if registration is not None:
        registration.classes.difference_update(classes)
        if not registration.classes:
            del _registrations(context)[context.session]


@call("event.next")
async def next_(context: Context) -> list[dict[str, Any]]:
    registration = _registrations(context).get(context.session)
    if registration is None:
        raise XapiError("SESSION_NOT_REGISTERED", _track_id(context.session))
    while True:
        changed = context.lab.next_change()
        if not context.lab.sessions.is_alive(context.session):
            _registrations(context).pop(context.session, None)
            raise XapiError("SESSION_INVALID", context.session)
        wanted = Subscription(sorted(registration.classes))
        events = collect(context, wanted, registration.generation, registration.messages)
        if events:
            registration.generation = context.db.generation
            registration.messages = context.lab.messages.generation
            return [{**event, "timestamp": f"{time.time():.0f}."} for event in events]
        await changed
