# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""PUT /import_raw_vdi and GET /export_raw_vdi: a disk's content over HTTP, its outcome in a task.

The answer 200 is sent before the body is read; only the task says whether the import worked (import_raw_vdi.ml).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from xapi_lab import faults as fault_injection
from xapi_lab.calls.registry import Context
from xapi_lab.calls.vdi import create_vdi, measure
from xapi_lab.connections import Request
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers.access import bad_request, guarded, in_page, internal_error, not_found, parameter
from xapi_lab.http_handlers.redirect import elsewhere
from xapi_lab.http_handlers.streaming import body, early_answer, end, find, outcome, task_for
from xapi_lab.lab import Lab
from xapi_lab.machines.contract import StorageError
from xapi_lab.operations import vdi_refusal

_FORMATS = ("raw", "vhd")
LARGEST_VHD = 2040 * 2**30
"""Bytes of the largest disk that a VHD can hold (max_vhd_size in constants.ml)."""
_CONTENT_TYPES = {"raw": "application/octet-stream", "vhd": "application/vhd"}


def _format(request: Request) -> str:
    return (parameter(request, "format") or "raw").lower()


def _named(lab: Lab, request: Request, class_name: str, name: str) -> str | None:
    """The object that a parameter names by reference or uuid; UUID_INVALID when there is none (importexport.ml)."""
    text = parameter(request, name)
    ref = find(lab, class_name, text)
    if text is not None and ref is None:
        raise XapiError("UUID_INVALID", class_name, text)
    return ref


@guarded("vm-admin", "put_import_raw_vdi")
async def import_raw_vdi(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    faults = lab.faults.matching("/import_raw_vdi")
    try:
        vdi = _named(lab, request, "VDI", "vdi")
    except XapiError as error:
        return internal_error(in_page(error))  # the client's task stays pending (import_raw_vdi.ml, handler)
    task = task_for(lab, request, "Importing raw VDI")
    return await _import(lab, request, Context(lab, session, task, "import_raw_vdi"), faults, vdi)


async def _import(
    lab: Lab, request: Request, context: Context, faults: list[fault_injection.Fault], vdi: str | None
) -> web.StreamResponse:
    task, format_ = context.task, _format(request)
    sr = _named(lab, request, "SR", "sr_id") or _named(lab, request, "SR", "sr_uuid")
    if vdi is None and sr is None:
        lab.tasks.fail(task, ["VDI_MISSING"])
        return bad_request()
    redirect = elsewhere(lab, request, str(sr) if vdi is None else lab.database.get("VDI", vdi, "SR"), task)
    if redirect is not None:
        return redirect
    if format_ not in _FORMATS:
        lab.tasks.fail(task, ["INTERNAL_ERROR", f"Unknown format {format_}"])
        return not_found()
    if "Transfer-Encoding" in request.headers:
        lab.tasks.fail(task, ["INTERNAL_ERROR", "Cannot handle encoding: chunked"])
        return not_found()
    if vdi is None and (format_ != "raw" or request.body_length is None):
        refusal = f"Importing a {format_.upper()} directly into an SR not yet supported"
        if format_ == "raw":
            refusal = "Not enough info supplied to import"
        lab.tasks.fail(task, ["INTERNAL_ERROR", refusal])
        return bad_request()
    response = await early_answer(request, task, {"content-type": "application/octet-stream"})
    async with outcome(lab, request, task, faults, response):
        try:
            if vdi is None:
                vdi = await create_vdi(context, _imported_record(str(sr), request.content_length or 0))
            await _receive(request, context, vdi, format_)
        finally:
            if vdi is not None:
                await measure(context, vdi)
        lab.tasks.succeed(task, vdi)
    if request.body_length is None:
        await end(response)
        request.protocol.force_close()  # what a client may still send is not waited for
    return await end(response)


def _imported_record(sr: str, size: int) -> dict[str, object]:
    return {"name_label": "Imported VDI", "name_description": "", "SR": sr, "virtual_size": size, "type": "user",
            "sharable": False, "read_only": False, "other_config": {}, "xenstore_data": {}, "sm_config": {},
            "tags": []}  # fmt: skip


async def _receive(request: Request, context: Context, vdi: str, format_: str) -> None:
    lab = context.lab
    refusal = vdi_refusal(lab.database, vdi, "destroy")
    if refusal is not None:
        raise XapiError("VDI_IN_USE", vdi) if refusal.code == "VDI_IN_USE" else refusal
    record, length = lab.database.record("VDI", vdi), request.body_length
    if length == 0:
        return
    key = context.task
    lab.database.put_in_map("VDI", vdi, "current_operations", key, "update")
    try:
        chunks = body(request, context, length)
        if length is None and format_ == "raw":
            chunks = _as_much_as(chunks, record["virtual_size"])
        await lab.storage.write_stream(record["uuid"], lab.sr_path(record["SR"]), format_, chunks, length)
    finally:
        if lab.database.exists("VDI", vdi):
            lab.database.remove_from_map("VDI", vdi, "current_operations", key)


async def _as_much_as(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """As much of a body without a length as the disk holds; what vhd-tool then reads (serve_raw_to_raw in impl.ml)."""
    left = size
    while left > 0:
        chunk = await anext(chunks, b"")
        if not chunk:
            raise StorageError(f"the connection was closed after {size - left} of {size} bytes")
        yield chunk[:left]
        left -= len(chunk)


@guarded("vm-admin", "get_export_raw_vdi")
async def export_raw_vdi(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    faults = lab.faults.matching("/export_raw_vdi")
    try:
        vdi = _named(lab, request, "VDI", "vdi")
        if vdi is None:
            raise XapiError("INTERNAL_ERROR", 'Failure("Missing vdi query parameter")')
    except XapiError as error:
        return internal_error(in_page(error))  # the client's task stays pending (export_raw_vdi.ml, handler)
    task, format_ = task_for(lab, request, "Exporting raw VDI"), _format(request)
    if format_ not in _FORMATS:
        lab.tasks.fail(task, ["INTERNAL_ERROR", f"Unknown format {format_}"])
        return not_found()
    record = lab.database.record("VDI", vdi)
    redirect = elsewhere(lab, request, record["SR"], task)
    if redirect is not None:
        return redirect
    headers = {
        "content-type": _CONTENT_TYPES[format_],
        "Content-Disposition": f'attachment; filename="{record["uuid"]}.{format_}"',
    }
    response = await early_answer(request, task, headers)
    async with outcome(lab, request, task, faults, response):
        refusal = vdi_refusal(lab.database, vdi, "copy")
        if refusal is not None:
            raise XapiError("VDI_IN_USE", vdi) if refusal.code == "VDI_IN_USE" else refusal
        if format_ == "vhd" and record["virtual_size"] > LARGEST_VHD:
            raise XapiError("VDI_TOO_LARGE", vdi, str(LARGEST_VHD))
        place, base = lab.sr_path(record["SR"]), _base(lab, request)
        async for chunk in lab.storage.read_stream(record["uuid"], place, format_, base):
            await response.write(chunk)
        lab.tasks.succeed(task, "")
    return await end(response)


def _base(lab: Lab, request: Request) -> tuple[str, Path] | None:
    """The disk to which the difference is asked for: its uuid, and where its SR's files are."""
    base = _named(lab, request, "VDI", "base")
    if base is None:
        return None
    record = lab.database.record("VDI", base)
    return record["uuid"], lab.sr_path(record["SR"])
