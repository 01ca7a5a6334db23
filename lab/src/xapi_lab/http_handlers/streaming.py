# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What handlers that carry disks and VMs share: a task for the outcome, faults, an early answer, the body in chunks."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from xapi_lab import faults as fault_injection
from xapi_lab.calls.registry import Context
from xapi_lab.connections import Request
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers.access import NO_CACHE, late_internal_error, parameter, unforeseen
from xapi_lab.lab import Lab
from xapi_lab.machines.contract import StorageError

CHUNK = 2**20
_LOG = logging.getLogger(__name__)


def task_for(lab: Lab, request: Request, label: str) -> str:
    """The task that a client made for this request, or a new one; it is the request's from here on."""
    task = parameter(request, "task_id")
    if task is not None and lab.database.exists("task", task):
        lab.tasks.adopt(task)
    else:
        task = lab.tasks.create(label)
    request.task_ref = task
    parent = parameter(request, "subtask_of")
    if parent is not None and lab.database.exists("task", parent):
        lab.database.set("task", task, "subtask_of", parent)
    return task


def find(lab: Lab, class_name: str, text: str | None) -> str | None:
    """An object by reference or uuid."""
    if text is None:
        return None
    return text if lab.database.exists(class_name, text) else lab.database.find_uuid(class_name, text)


class UntilClosed(web.StreamResponse):
    """An answer without a length, which ends with its connection: XAPI does not send chunks."""

    _length_check = False


async def early_answer(request: Request, task: str, headers: dict[str, str]) -> web.StreamResponse:
    """Send status 200 and the headers; what becomes of the request is told by the task alone."""
    response = UntilClosed(headers={**headers, "Cache-Control": NO_CACHE, "task-id": task, "Connection": "close"})
    response.force_close()
    with contextlib.suppress(ConnectionError):  # a client that has hung up may have sent all that is needed
        await response.prepare(request)
        await response.write(b"")
    return response


@contextlib.asynccontextmanager
async def outcome(
    lab: Lab,
    request: Request,
    task: str,
    faults: list[fault_injection.Fault],
    answer: web.StreamResponse | None = None,
) -> AsyncIterator[None]:
    """A transfer whose answer is under way: whatever goes wrong, or a fault makes go wrong, ends its task.

    `answer`: gets XAPI's page 500 at its end then, as that of a handler that lets its error through.
    """
    failure: XapiError | None = None
    try:
        await fault_injection.before_call(faults)
        yield
        fault_injection.after_call(faults)
    except XapiError as error:
        _LOG.warning("the transfer of task %s ended: %s", task, error)
        failure = error
    except (StorageError, ConnectionError, web.RequestPayloadError) as error:
        _LOG.warning("the transfer of task %s ended: %s", task, error)
        failure = XapiError("VDI_IO_ERROR", str(error) or type(error).__name__)
    except fault_injection.ConnectionCut:
        if lab.tasks.is_pending(task):
            lab.tasks.fail(task, ["VDI_IO_ERROR", "Connection cut"])
        if request.transport is not None:
            request.transport.abort()
    except Exception as error:
        _LOG.exception("the transfer of task %s failed", task)
        failure = unforeseen(error)
    if failure is not None:
        lab.tasks.fail(task, failure.description)
        if answer is not None:
            with contextlib.suppress(ConnectionError):
                await answer.write(late_internal_error(failure))


async def end(response: web.StreamResponse) -> web.StreamResponse:
    """Close an answer, whether or not its client is still there."""
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response


async def body(request: Request, context: Context, length: int | None) -> AsyncIterator[bytes]:
    """The body in chunks, with progress; TASK_CANCELLED when the task is cancelled, StorageError when it is cut off.

    `length`: bytes that have to come, None when the end of the connection is the end of the body.
    """
    received, reported = 0, 0
    cancelled = context.lab.tasks.cancellation(context.task)
    async for chunk in request.content.iter_chunked(CHUNK):
        if cancelled is not None and cancelled.is_set():
            raise XapiError("TASK_CANCELLED", context.task)
        received += len(chunk)
        if length and received - reported > length / 100:
            reported = received
            context.progress(min(0.99, received / length))
        yield chunk
    if length and received < length:
        raise StorageError(f"the connection was closed after {received} of {length} bytes")
