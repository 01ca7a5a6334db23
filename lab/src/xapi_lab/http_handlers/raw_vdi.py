# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""PUT /import_raw_vdi and GET /export_raw_vdi: a disk's content over HTTP, its outcome in a task.

The answer 200 is sent before the body is read; only the task says whether the import worked (import_raw_vdi.ml).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from aiohttp import web

from xapi_lab import faults as fault_injection
from xapi_lab.calls.registry import Context
from xapi_lab.calls.vdi import create_vdi, measure
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers.access import (
    NO_CACHE,
    bad_request,
    end_session,
    forbidden,
    not_found,
    parameter,
    session_of,
    unauthorised,
)
from xapi_lab.lab import Lab
from xapi_lab.machines.contract import StorageError
from xapi_lab.operations import vdi_refusal

_LOG = logging.getLogger(__name__)
CHUNK = 2**20
_FORMATS = ("raw", "vhd")
_CONTENT_TYPES = {"raw": "application/octet-stream", "vhd": "application/vhd"}


def _task(lab: Lab, request: web.Request, label: str) -> str:
    """The task that a client made for this request, or a new one."""
    task = parameter(request, "task_id")
    if task is not None and lab.database.exists("task", task):
        lab.tasks.adopt(task)
        return task
    return lab.tasks.create(label)


def _find(lab: Lab, class_name: str, text: str | None) -> str | None:
    """An object by reference or uuid."""
    if text is None:
        return None
    return text if lab.database.exists(class_name, text) else lab.database.find_uuid(class_name, text)


async def import_raw_vdi(lab: Lab, request: web.Request) -> web.StreamResponse:
    lab.call_log.record("PUT /import_raw_vdi")
    faults = lab.faults.matching("/import_raw_vdi")
    try:
        session = session_of(lab, request, "vm-admin", "put_import_raw_vdi")
    except XapiError:
        return forbidden()
    if session is None:
        return unauthorised("put_import_raw_vdi")
    task = _task(lab, request, "Importing raw VDI")
    context = Context(lab, session, task, "import_raw_vdi")
    try:
        return await _import(lab, request, context, faults)
    finally:
        end_session(lab, request, session)
        lab.save()


async def _import(
    lab: Lab, request: web.Request, context: Context, faults: list[fault_injection.Fault]
) -> web.StreamResponse:
    task, format_ = context.task, parameter(request, "format") or "raw"
    if "Transfer-Encoding" in request.headers:
        lab.tasks.fail(task, ["INTERNAL_ERROR", "Cannot handle encoding: chunked"])
        return not_found()
    if format_ not in _FORMATS:
        lab.tasks.fail(task, ["INTERNAL_ERROR", f"Unknown format {format_}"])
        return not_found()
    sr = _find(lab, "SR", parameter(request, "sr_id") or parameter(request, "sr_uuid"))
    vdi = _find(lab, "VDI", parameter(request, "vdi"))
    if vdi is None and (sr is None or format_ != "raw"):
        lab.tasks.fail(task, ["VDI_MISSING", str(sr or ""), parameter(request, "vdi") or ""])
        return bad_request()
    response = await _early_answer(request, task, {"content-type": "text/plain"})
    try:
        await fault_injection.before_call(faults)
        if vdi is None:
            vdi = await create_vdi(context, _imported_record(str(sr), request.content_length or 0))
        await _receive(lab, request, context, vdi, format_)
        lab.tasks.succeed(task, vdi)
    except XapiError as error:
        lab.tasks.fail(task, error.description)
    except (StorageError, ConnectionError, asyncio.CancelledError, web.RequestPayloadError) as error:
        _LOG.warning("import into VDI %s ended: %s", vdi, error or type(error).__name__)
        lab.tasks.fail(task, ["VDI_IO_ERROR", str(error) or "Connection closed before the end of the image"])
        if isinstance(error, asyncio.CancelledError):
            raise
    except fault_injection.ConnectionCut:
        lab.tasks.fail(task, ["VDI_IO_ERROR", "Connection cut"])
        if request.transport is not None:
            request.transport.abort()
    finally:
        if vdi is not None:
            await measure(context, vdi)
    await response.write_eof()
    return response


def _imported_record(sr: str, size: int) -> dict[str, object]:
    return {"name_label": "Imported VDI", "name_description": "", "SR": sr, "virtual_size": size, "type": "user",
            "sharable": False, "read_only": False, "other_config": {}, "xenstore_data": {}, "sm_config": {},
            "tags": []}  # fmt: skip


async def _early_answer(request: web.Request, task: str, headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={**headers, "Cache-Control": NO_CACHE, "task-id": task, "Connection": "close"}
    )
    response.force_close()
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await response.prepare(request)
    await response.write(b"")
    return response


async def _receive(lab: Lab, request: web.Request, context: Context, vdi: str, format_: str) -> None:
    refusal = vdi_refusal(lab.database, vdi, "destroy")
    if refusal is not None:
        raise XapiError("VDI_IN_USE", vdi) if refusal.code == "VDI_IN_USE" else refusal
    record = lab.database.record("VDI", vdi)
    if request.content_length == 0:
        return
    key = context.task
    lab.database.put_in_map("VDI", vdi, "current_operations", key, "update")
    try:
        chunks = _chunks(request, context, request.content_length)
        await lab.storage.write_stream(
            record["uuid"], lab.sr_path(record["SR"]), format_, chunks, request.content_length
        )
    finally:
        if lab.database.exists("VDI", vdi):
            lab.database.remove_from_map("VDI", vdi, "current_operations", key)


async def _chunks(request: web.Request, context: Context, length: int | None) -> AsyncIterator[bytes]:
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


async def export_raw_vdi(lab: Lab, request: web.Request) -> web.StreamResponse:
    lab.call_log.record("GET /export_raw_vdi")
    try:
        session = session_of(lab, request, "vm-admin", "get_export_raw_vdi")
    except XapiError:
        return forbidden()
    if session is None:
        return unauthorised("get_export_raw_vdi")
    task = _task(lab, request, "Exporting raw VDI")
    try:
        return await _export(lab, request, task)
    finally:
        end_session(lab, request, session)
        lab.save()


async def _export(lab: Lab, request: web.Request, task: str) -> web.StreamResponse:
    format_, vdi = parameter(request, "format") or "raw", _find(lab, "VDI", parameter(request, "vdi"))
    if format_ not in _FORMATS:
        lab.tasks.fail(task, ["INTERNAL_ERROR", f"Unknown format {format_}"])
        return not_found()
    if vdi is None:
        lab.tasks.fail(task, ["VDI_MISSING", "", parameter(request, "vdi") or ""])
        return bad_request()
    record = lab.database.record("VDI", vdi)
    refusal = vdi_refusal(lab.database, vdi, "copy")
    headers = {
        "content-type": _CONTENT_TYPES[format_],
        "Content-Disposition": f'attachment; filename="{record["uuid"]}.{format_}"',
    }
    response = await _early_answer(request, task, headers)
    try:
        if refusal is not None:
            raise XapiError("VDI_IN_USE", vdi) if refusal.code == "VDI_IN_USE" else refusal
        async for chunk in lab.storage.read_stream(record["uuid"], lab.sr_path(record["SR"]), format_):
            await response.write(chunk)
        lab.tasks.succeed(task, "")
    except XapiError as error:
        lab.tasks.fail(task, error.description)
    except (StorageError, ConnectionError) as error:
        lab.tasks.fail(task, ["VDI_IO_ERROR", str(error)])
    await response.write_eof()
    return response
