# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Waiting for containers by the engine's event stream, opened before the first of them starts."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from .._errors import HardshellError
from . import names
from .api import ConnectionLost, Engine, EngineError
from .observe import Container, inspect_container

STEADY_SECONDS = 2.0
CRASH_LOOP = 3
LOG_LINES = 20
# A look at the engine's state between events: a stream that has died silently must not cost the whole deadline.
LONGEST_SILENCE = 10.0


class MemberError(HardshellError):
    """A member of the set did not start or did not become healthy."""


class Watch:
    """The engine's events of one set, or of all its containers. A context manager; ``wait_for_event`` may be called from several threads."""

    def __init__(self, engine: Engine, set_name: str | None) -> None:
        label = {"label": [f"{names.SET}={set_name}"]} if set_name else {}
        self._events = engine.events({"type": ["container"], **label})
        self._changed = threading.Condition()
        self._count = 0
        self._lost: Exception | None = None
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._events.close()
        self._thread.join(timeout=5)

    @property
    def count(self) -> int:
        return self._count

    def wait_for_event(self, seen: int, seconds: float) -> None:
        """Return when more than ``seen`` events have come, or after ``seconds``. Raises ConnectionLost when the stream has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._count > seen or self._lost is not None, timeout=max(0.0, seconds))
            if self._lost is not None and self._count <= seen:
                raise ConnectionLost(
                    "the engine's event stream ended while the set was starting; was the engine restarted?"
                ) from self._lost

    def _read(self) -> None:
        lost: Exception = EOFError("end of stream")
        try:
            for _event in self._events:
                with self._changed:
                    self._count += 1
                    self._changed.notify_all()
        except Exception as error:  # whatever ends the stream is the waiting threads' business
            lost = error
        with self._changed:
            self._lost = lost
            self._changed.notify_all()


def verdict(container: Container | None) -> str:
    """``ready``, ``starting`` or what is wrong. A container without a health check is ready as soon as it runs."""
    if container is None:
        return "it was removed by somebody else"
    if container.options["one_shot"]:
        return _verdict_of_one_shot(container)
    if container.restarts >= CRASH_LOOP:
        # While it runs the engine tells no exit code.
        return "it keeps exiting" + (
            "" if container.state == "running" else f", last with exit code {container.exit_code}"
        )
    if container.state == "running":
        if container.health in ("healthy", "none"):
            return "ready"
        return "it is unhealthy" if container.health == "unhealthy" else "starting"
    if container.state in ("restarting", "created"):
        return "starting"
    return f"it is {container.state} with exit code {container.exit_code}"


def _verdict_of_one_shot(container: Container) -> str:
    if container.has_succeeded:
        return "ready"
    if container.state in ("running", "restarting", "created", "paused"):
        return "starting"
    return f"it ended with exit code {container.exit_code}"


def wait_ready(engine: Engine, watch: Watch, identity: str, member: str, deadline: float) -> Container:
    """The container once it is ready. ``deadline`` is on the monotonic clock. Raises MemberError with what is known of it."""
    while True:
        seen = watch.count
        container = inspect_container(engine, identity)
        state = verdict(container)
        if state == "ready" and container:
            return container
        left = deadline - time.monotonic()
        if state == "starting" and left <= 0:
            state = "it was not ready in time"
        if container and container.state == "running" and container.restarts >= CRASH_LOOP:
            container = _at_its_end(engine, watch, identity, container, deadline)
            state = verdict(container)
        if state != "starting":
            raise member_error(engine, identity, member, container, state)
        watch.wait_for_event(seen, min(left, LONGEST_SILENCE))


def _at_its_end(engine: Engine, watch: Watch, identity: str, container: Container, deadline: float) -> Container | None:
    """A container that keeps exiting, once it has ended again; as it is when it does not within ten seconds."""
    end = min(deadline, time.monotonic() + LONGEST_SILENCE)
    found: Container | None = container
    while found and found.state == "running" and (left := end - time.monotonic()) > 0:
        seen = watch.count
        found = inspect_container(engine, identity)
        if found and found.state == "running":
            watch.wait_for_event(seen, left)
    return found


def wait_steady(engine: Engine, watch: Watch, identity: str, member: str, deadline: float) -> Container:
    """The container once it is healthy, has done its one job, or has run for two seconds from now without a health check."""
    while True:
        container = wait_ready(engine, watch, identity, member, deadline)
        if container.health != "none" or container.options["one_shot"]:
            return container
        end = time.monotonic() + STEADY_SECONDS
        while (left := end - time.monotonic()) > 0:
            watch.wait_for_event(watch.count, left)
            again = wait_ready(engine, watch, identity, member, deadline)
            if again.started_at != container.started_at:
                break
        else:
            return container


def member_error(engine: Engine, identity: str, member: str, container: Container | None, what: str) -> MemberError:
    """The failure with its evidence: exit code, the last health check's output, the last lines of the log."""
    log: list[str] = []
    health_output = unread = ""
    try:
        log = engine.logs(identity, LOG_LINES)
    except EngineError as error:
        # Such as "configured logging driver does not support reading".
        unread = error.message
    except HardshellError:
        pass
    with contextlib.suppress(HardshellError):
        checks = (engine.get(f"/containers/{identity}/json")["State"].get("Health") or {}).get("Log") or []
        health_output = str(checks[-1].get("Output", "")).strip()[:2000] if checks else ""
    text = f"{member} did not become ready: {what}"
    if health_output:
        text += f". Its health check said: {health_output}"
    if log:
        text += ". Its last log lines:\n" + "\n".join(f"  {line}" for line in log[-LOG_LINES:])
    if unread:
        text += f". The engine does not give its log: {unread}"
    facts: dict[str, t.Any] = {"name": member, "problem": what, "health_output": health_output, "log": log}
    if container is not None:
        facts.update(
            state=container.state, health=container.health, exit_code=container.exit_code, restarts=container.restarts
        )
    return MemberError(text, member=facts)
