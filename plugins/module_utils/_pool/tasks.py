# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Long operations: tasks of the pool, waited for by event, with their progress shown."""

from __future__ import annotations

import contextlib
import time
import typing as t
from xml.etree import ElementTree

from .._errors import HardshellError
from .session import Session
from .xapi_errors import ConnectionLost, XapiError

EVENT_SECONDS = 30
SHOW_EVERY_SECONDS = 5

Show = t.Callable[[str], None]


class TaskTimeout(HardshellError):
    """A task did not end in the time given. It was cancelled."""


def run_task(
    session: Session, method: str, *arguments: t.Any, asked: str, show: Show, timeout: float | None = None
) -> str:
    """Run ``Class.message`` as a task of the pool and wait for its end. Returns the reference in its result, or an empty text.

    Raises ``XapiError`` with the task's own error; ``TaskTimeout`` after ``timeout`` seconds; ``ConnectionLost`` where the pool forgot it.
    """
    task = session.call(f"Async.{method}", *arguments, asked=asked)
    return wait_for_task(session, task, asked=asked, show=show, timeout=timeout)


def wait_for_task(session: Session, task: str, *, asked: str, show: Show, timeout: float | None = None) -> str:
    """Wait for the end of a task and remove it from the pool. Returns and raises as ``run_task`` does."""
    began = shown_at = time.monotonic()
    token = ""
    try:
        while True:
            left = EVENT_SECONDS if timeout is None else timeout - (time.monotonic() - began)
            if left <= 0:
                with contextlib.suppress(HardshellError):
                    session.call("task.cancel", task)
                raise TaskTimeout(f"{asked}: not done within {timeout:.0f} seconds")
            patience = min(EVENT_SECONDS, session.options.timeout / 2, left)
            answer = session.call("event.from", [f"task/{task}"], token, float(patience), asked=asked)
            token = answer["token"]
            records = [event.get("snapshot") for event in answer["events"] if event["ref"] == task]
            if not records:
                records = [_record(session, task, asked)]
            record = records[-1]
            if record is None:
                raise ConnectionLost(f"{asked}: the pool forgot the task, so its outcome is unknown")
            if record["status"] == "success":
                return _result(record["result"])
            if record["status"] in ("failure", "cancelled"):
                raise XapiError(asked, record["error_info"] or ["TASK_CANCELLED", task])
            now = time.monotonic()
            if now - shown_at >= SHOW_EVERY_SECONDS:
                shown_at = now
                show(f"{asked}: {float(record['progress']):.0%}, {now - began:.0f} s")
    finally:
        with contextlib.suppress(HardshellError):
            session.call("task.destroy", task)


def _record(session: Session, task: str, asked: str) -> dict[str, t.Any] | None:
    try:
        record: dict[str, t.Any] = session.call("task.get_record", task, asked=asked)
    except XapiError as error:
        if error.code == "HANDLE_INVALID":
            return None
        raise
    return record


def _result(text: str) -> str:
    """The text of a task's result, which is one XML-RPC value: ``<value>OpaqueRef:...</value>``; empty for void."""
    if not text.startswith("<"):
        return text
    value = ElementTree.fromstring(text)
    return "".join(value.itertext()).strip()
