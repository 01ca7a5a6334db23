# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""GET /export and /export_metadata, PUT /import and /import_metadata: VMs as archives (export.ml, import.ml)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

from aiohttp import web

from xapi_lab.calls.registry import Context
from xapi_lab.calls.vdi import measure
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers.access import NO_CACHE, bad_request, forbidden, guarded, internal_error, parameter
from xapi_lab.http_handlers.redirect import elsewhere
from xapi_lab.http_handlers.streaming import body, early_answer, end, find, task_for
from xapi_lab.lab import Lab
from xapi_lab.machines.contract import StorageError
from xapi_lab.operations import is_default_template, vdi_refusal
from xapi_lab.vm_import import Import, destination
from xapi_lab.vm_metadata import document, parse, table_of
from xapi_lab.xva import BLOCK, END, METADATA, Archive, block_files, blocks_of, compressed, tar_file

_LOG = logging.getLogger(__name__)
_ATTACHMENT = {
    "content-type": "application/octet-stream",
    "Content-Disposition": 'attachment; filename="export.xva"',
}


def _flag(request: web.BaseRequest, name: str, default: bool = False) -> bool:
    value = parameter(request, name)
    return default if value is None else value == "true"


def _vm(lab: Lab, request: web.BaseRequest) -> str:
    ref = parameter(request, "ref")
    if ref is not None:
        lab.database.row("VM", ref)
        return ref
    return lab.database.by_uuid("VM", parameter(request, "uuid") or "")


def _failed(lab: Lab, task: str, error: Exception) -> None:
    """Let a task end with what went wrong after the answer was under way."""
    _LOG.warning("the transfer of task %s ended: %s", task, error)
    if isinstance(error, XapiError):
        lab.tasks.fail(task, error.description)
    else:
        lab.tasks.fail(task, ["VDI_IO_ERROR", str(error) or type(error).__name__])


# --- export


@guarded("vm-admin", "get_export")
async def export(lab: Lab, request: web.BaseRequest, session: str) -> web.StreamResponse:
    vm = _vm(lab, request)
    if parameter(request, "use_compression") == "zstd":
        raise XapiError("NOT_IMPLEMENTED", "export compressed with zstd")
    task = task_for(lab, request, "VM.export")
    context = Context(lab, session, task, "VM.export")
    try:
        async with context.operation("VM", vm, "export"):
            disks = _disks(lab, vm)
            for disk in disks:
                redirect = elsewhere(lab, request, lab.database.get("VDI", disk, "SR"), task)
                if redirect is not None:
                    return redirect
            response = await early_answer(request, task, _ATTACHMENT)
            return await _send(
                context, response, vm, disks, packed=parameter(request, "use_compression") in {"true", "gzip"}
            )
    except XapiError as error:
        lab.tasks.fail(task, error.description)
        return internal_error(f"{error.code}: [ {'; '.join(error.description[1:])} ]")


def _disks(lab: Lab, vm: str) -> list[str]:
    """The VDIs whose content is exported; raises why one cannot be read."""
    database, disks = lab.database, []
    for vbd in database.get("VM", vm, "VBDs"):
        record = database.record("VBD", vbd)
        if record["type"] == "CD" or not database.exists("VDI", record["VDI"]):
            continue
        if database.get("SR", database.get("VDI", record["VDI"], "SR"), "content_type") != "iso":
            refusal = vdi_refusal(database, record["VDI"], "copy")
            if refusal is not None:
                raise refusal
            disks.append(record["VDI"])
    return disks


async def _send(
    context: Context, response: web.StreamResponse, vm: str, disks: list[str], *, packed: bool
) -> web.StreamResponse:
    try:
        chunks = _archive(context, vm, disks)
        async for chunk in compressed(chunks) if packed else chunks:
            await response.write(chunk)
        context.lab.tasks.succeed(context.task, "")
    except (XapiError, StorageError, ConnectionError) as error:
        _failed(context.lab, context.task, error)
    return await end(response)


async def _archive(context: Context, vm: str, disks: list[str]) -> AsyncIterator[bytes]:
    lab, database = context.lab, context.db
    table = table_of(database, [vm], snapshots=False)
    yield tar_file(METADATA, document(database, table, snapshots=False))
    cancelled = lab.tasks.cancellation(context.task)
    total, before = sum(database.get("VDI", disk, "virtual_size") for disk in disks), 0
    for disk in sorted(disks, key=table.__getitem__):
        vdi = database.record("VDI", disk)
        extents = lab.storage.read_extents(vdi["uuid"], lab.sr_path(vdi["SR"]), BLOCK)
        async for number, content in blocks_of(extents, vdi["virtual_size"]):
            if cancelled is not None and cancelled.is_set():
                raise XapiError("TASK_CANCELLED", context.task)
            yield block_files(table[disk], number, content)
            context.progress(min(0.99, (before + number * BLOCK) / max(1, total)))
        before += vdi["virtual_size"]
    yield END


@guarded("vm-admin", "get_export_metadata")
async def export_metadata(lab: Lab, request: web.BaseRequest, session: str) -> web.StreamResponse:
    database, snapshots = lab.database, _flag(request, "export_snapshots", default=True)
    if _flag(request, "all"):
        vms = [
            ref
            for ref, vm in database.records("VM")
            if not is_default_template(vm)
            and (_flag(request, "include_dom0", default=True) or not vm["is_control_domain"])
        ]
    else:
        vms = [_vm(lab, request)]
        if database.get("VM", vms[0], "is_a_snapshot"):
            raise XapiError("OPERATION_NOT_ALLOWED", "Exporting metadata of a snapshot is not allowed")
    task = task_for(lab, request, "VM.export_metadata")
    text = document(database, table_of(database, vms, snapshots=snapshots), snapshots=snapshots)
    lab.tasks.succeed(task, "")
    response = web.Response(
        body=tar_file(METADATA, text) + END, headers={**_ATTACHMENT, "Cache-Control": NO_CACHE, "task-id": task}
    )
    response.force_close()
    return response


# --- import


@guarded("vm-admin", "put_import")
async def import_(lab: Lab, request: web.BaseRequest, session: str) -> web.StreamResponse:
    task = task_for(lab, request, "VM.import")
    context = Context(lab, session, task, "VM.import")
    if "Transfer-Encoding" in request.headers:
        lab.tasks.fail(task, ["IMPORT_ERROR_CANNOT_HANDLE_CHUNKED"])
        return forbidden()
    try:
        named = parameter(request, "sr_id") or parameter(request, "sr_uuid")
        sr = destination(context, (find(lab, "SR", named) or named) if named else None)
    except XapiError as error:
        lab.tasks.fail(task, error.description)
        return bad_request()
    if lab.database.get("SR", sr, "content_type") == "iso":
        lab.tasks.fail(task, ["SR_OPERATION_NOT_SUPPORTED"])
        return bad_request()
    redirect = elsewhere(lab, request, sr, task)
    return redirect if redirect is not None else await _receive(request, context, sr)


@guarded("vm-admin", "put_import_metadata")
async def import_metadata(lab: Lab, request: web.BaseRequest, session: str) -> web.StreamResponse:
    task = task_for(lab, request, "VM.metadata_import")
    return await _receive(request, Context(lab, session, task, "VM.metadata_import"), None)


async def _receive(request: web.BaseRequest, context: Context, sr: str | None) -> web.StreamResponse:
    """Take in an archive; without an SR its metadata only."""
    response = await early_answer(request, context.task, {"content-type": "application/octet-stream"})
    work: Import | None = None
    try:
        archive = Archive(body(request, context, request.content_length))
        metadata = parse(context.db, await archive.metadata())
        work = Import(context, metadata, sr, restore=_flag(request, "restore"), force=_flag(request, "force"))
        work.check()
        if sr is None and _flag(request, "dry_run"):
            context.lab.tasks.succeed(context.task, [])
            return await end(response)
        await work.make()
        if sr is not None:
            await _fill(context, work, archive)
        context.lab.tasks.succeed(context.task, work.finish())
    except (XapiError, StorageError, web.RequestPayloadError) as error:
        if work is not None and not work.force:
            await work.undo()
        _failed(context.lab, context.task, error)
    return await end(response)


async def _fill(context: Context, work: Import, archive: Archive) -> None:
    """Write the archive's blocks into the disks that were made for them, one disk after the other."""
    blocks = archive.blocks(force=work.force)
    ahead = await anext(blocks, None)
    filled: set[str] = set()
    while ahead is not None:
        disk, first = ahead[0], ahead
        if disk not in work.known or disk in filled:
            raise XapiError("IMPORT_ERROR_UNEXPECTED_FILE", "Ref:N/00000000", f"{disk}/{first[1]:08d}")
        filled.add(disk)
        following: list[tuple[str, int, bytes]] = []

        async def extents(
            disk: str = disk,
            first: tuple[str, int, bytes] = first,
            following: list[tuple[str, int, bytes]] = following,
        ) -> AsyncIterator[tuple[int, bytes]]:
            yield first[1] * BLOCK, first[2]
            async for block in blocks:
                if block[0] != disk:
                    following.append(block)
                    return
                yield block[1] * BLOCK, block[2]

        vdi = context.db.record("VDI", work.known[disk])
        await context.lab.storage.write_extents(vdi["uuid"], context.lab.sr_path(vdi["SR"]), extents())
        await measure(context, work.known[disk])
        ahead = following[0] if following else None
    missing = [disk for disk in work.metadata.disks() if disk not in filled]
    if missing and not work.force:
        raise XapiError("IMPORT_ERROR_PREMATURE_EOF")
