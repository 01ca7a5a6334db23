# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""PUT /import_raw_vdi and GET /export_raw_vdi: a disk's content over HTTP, its outcome in a task.

The answer 200 is sent before the body is read; only the task says whether the import worked (import_raw_vdi.ml).
"""

from __future__ import annotations

from aiohttp import web

from xapi_lab import faults as fault_injection
from xapi_lab.calls.registry import Context
from xapi_lab.calls.vdi import create_vdi, measure
from xapi_lab.connections import Request
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers.access import bad_request, guarded, not_found, parameter
from xapi_lab.http_handlers.redirect import elsewhere
from xapi_lab.http_handlers.streaming import body, early_answer, end, find, outcome, task_for
from xapi_lab.lab import Lab
from xapi_lab.operations import vdi_refusal

_FORMATS = ("raw", "vhd")
_CONTENT_TYPES = {"raw": "application/octet-stream", "vhd": "application/vhd"}


@guarded("vm-admin", "put_import_raw_vdi")
async def import_raw_vdi(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    faults = lab.faults.matching("/import_raw_vdi")
    task = task_for(lab, request, "Importing raw VDI")
    return await _import(lab, request, Context(lab, session, task, "import_raw_vdi"), faults)


async def _import(
    lab: Lab, request: Request, context: Context, faults: list[fault_injection.Fault]
) -> web.StreamResponse:
    task, format_ = context.task, parameter(request, "format") or "raw"
    if "Transfer-Encoding" in request.headers:
        lab.tasks.fail(task, ["INTERNAL_ERROR", "Cannot handle encoding: chunked"])
        return not_found()
    if format_ not in _FORMATS:
        lab.tasks.fail(task, ["INTERNAL_ERROR", f"Unknown format {format_}"])
        return not_found()
    sr = find(lab, "SR", parameter(request, "sr_id") or parameter(request, "sr_uuid"))
    vdi = find(lab, "VDI", parameter(request, "vdi"))
    if vdi is None and (sr is None or format_ != "raw"):
        lab.tasks.fail(task, ["VDI_MISSING", str(sr or ""), parameter(request, "vdi") or ""])
        return bad_request()
    redirect = elsewhere(lab, request, str(sr) if vdi is None else lab.database.get("VDI", vdi, "SR"), task)
    if redirect is not None:
        return redirect
    response = await early_answer(request, task, {"content-type": "text/plain"})
    async with outcome(lab, request, task, faults):
        try:
            if vdi is None:
                vdi = await create_vdi(context, _imported_record(str(sr), request.content_length or 0))
            await _receive(lab, request, context, vdi, format_)
        finally:
            if vdi is not None:
                await measure(context, vdi)
        lab.tasks.succeed(task, vdi)
    return await end(response)


def _imported_record(sr: str, size: int) -> dict[str, object]:
    return {"name_label": "Imported VDI", "name_description": "", "SR": sr, "virtual_size": size, "type": "user",
            "sharable": False, "read_only": False, "other_config": {}, "xenstore_data": {}, "sm_config": {},
            "tags": []}  # fmt: skip


async def _receive(lab: Lab, request: Request, context: Context, vdi: str, format_: str) -> None:
    refusal = vdi_refusal(lab.database, vdi, "destroy")
    if refusal is not None:
        raise XapiError("VDI_IN_USE", vdi) if refusal.code == "VDI_IN_USE" else refusal
    record = lab.database.record("VDI", vdi)
    if request.content_length == 0:
        return
    key = context.task
    lab.database.put_in_map("VDI", vdi, "current_operations", key, "update")
    try:
        chunks = body(request, context, request.content_length)
        await lab.storage.write_stream(
            record["uuid"], lab.sr_path(record["SR"]), format_, chunks, request.content_length
        )
    finally:
        if lab.database.exists("VDI", vdi):
            lab.database.remove_from_map("VDI", vdi, "current_operations", key)


@guarded("vm-admin", "get_export_raw_vdi")
async def export_raw_vdi(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    faults = lab.faults.matching("/export_raw_vdi")
    task = task_for(lab, request, "Exporting raw VDI")
    format_, vdi = parameter(request, "format") or "raw", find(lab, "VDI", parameter(request, "vdi"))
    if format_ not in _FORMATS:
        lab.tasks.fail(task, ["INTERNAL_ERROR", f"Unknown format {format_}"])
        return not_found()
    if vdi is None:
        lab.tasks.fail(task, ["VDI_MISSING", "", parameter(request, "vdi") or ""])
        return bad_request()
    if parameter(request, "base") is not None:
        lab.tasks.fail(task, ["NOT_IMPLEMENTED", "export of the difference to another VDI"])
        return not_found()
    record = lab.database.record("VDI", vdi)
    redirect = elsewhere(lab, request, record["SR"], task)
    if redirect is not None:
        return redirect
    refusal = vdi_refusal(lab.database, vdi, "copy")
    headers = {
        "content-type": _CONTENT_TYPES[format_],
        "Content-Disposition": f'attachment; filename="{record["uuid"]}.{format_}"',
    }
    response = await early_answer(request, task, headers)
    async with outcome(lab, request, task, faults):
        if refusal is not None:
            raise XapiError("VDI_IN_USE", vdi) if refusal.code == "VDI_IN_USE" else refusal
        async for chunk in lab.storage.read_stream(record["uuid"], lab.sr_path(record["SR"]), format_):
            await response.write(chunk)
        lab.tasks.succeed(task, "")
    return await end(response)
