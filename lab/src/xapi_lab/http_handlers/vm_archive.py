# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""GET /export and /export_metadata, PUT /import and /import_metadata: VMs as archives (export.ml, import.ml)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from xapi_lab import compression
from xapi_lab.bootstrap import SOFTWARE_VERSION
from xapi_lab.calls.registry import Context
from xapi_lab.calls.vdi import measure
from xapi_lab.connections import UNKNOWN_LENGTH, Request
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers.access import NO_CACHE, bad_request, forbidden, guarded, parameter
from xapi_lab.http_handlers.redirect import elsewhere
from xapi_lab.http_handlers.streaming import body, early_answer, end, find, outcome, task_for
from xapi_lab.lab import Lab
from xapi_lab.operations import is_default_template, vdi_refusal
from xapi_lab.vm_import import Import, destination
from xapi_lab.vm_metadata import document, parse, table_of
from xapi_lab.xva import BLOCK, END, METADATA, Archive, block_files, blocks_of, tar_file

_ATTACHMENT = {
    "Server": f"xapi/{SOFTWARE_VERSION['xapi']}",
    "content-type": "application/octet-stream",
    "Content-Disposition": 'attachment; filename="export.xva"',
}


def _flag(request: Request, name: str, default: bool = False) -> bool:
    value = parameter(request, name)
    return default if value is None else value == "true"


def _vm(lab: Lab, request: Request) -> str:
    ref = parameter(request, "ref")
    if ref is not None:
        lab.database.row("VM", ref)
        return ref
    return lab.database.by_uuid("VM", parameter(request, "uuid") or "")


# --- export


@guarded("vm-admin", "get_export")
async def export(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    faults = lab.faults.matching("/export")
    vm = _vm(lab, request)
    task = task_for(lab, request, "VM.export")
    context = Context(lab, session, task, "VM.export")
    async with context.operation("VM", vm, "export"):
        disks = _disks(lab, vm)
        for disk in disks:
            redirect = elsewhere(lab, request, lab.database.get("VDI", disk, "SR"), task)
            if redirect is not None:
                return redirect
        response = await early_answer(request, task, _ATTACHMENT)
        async with outcome(lab, request, task, faults):
            chunks = _archive(context, vm, disks)
            kind = compression.KINDS.get(parameter(request, "use_compression") or "")
            async for chunk in kind.compressed(chunks) if kind else chunks:
                await response.write(chunk)
            lab.tasks.succeed(task, "")
    return await end(response)


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
async def export_metadata(lab: Lab, request: Request, session: str) -> web.StreamResponse:
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
async def import_(lab: Lab, request: Request, session: str) -> web.StreamResponse:
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
async def import_metadata(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    task = task_for(lab, request, "VM.metadata_import")
    return await _receive(request, Context(lab, session, task, "VM.metadata_import"), None)


async def _receive(request: Request, context: Context, sr: str | None) -> web.StreamResponse:
    """Take in an archive; without an SR its metadata only."""
    lab = context.lab
    faults = lab.faults.matching("/import" if sr is not None else "/import_metadata")
    response = await early_answer(request, context.task, {"content-type": "application/octet-stream"})
    length = None if request.content_length == UNKNOWN_LENGTH else request.content_length
    async with outcome(lab, request, context.task, faults):
        archive = Archive(body(request, context, length))
        work = Import(
            context, parse(context.db, await archive.metadata()), sr,
            restore=_flag(request, "restore"), force=_flag(request, "force"),
        )  # fmt: skip
        work.check()
        if sr is None and _flag(request, "dry_run"):
            context.lab.tasks.succeed(context.task, [])
        else:
            context.lab.tasks.succeed(context.task, await _take_in(work, archive))
    if length is None:
        # What a client may still send after the archive's end is not waited for.
        await end(response)
        request.protocol.force_close()
    return await end(response)


async def _take_in(work: Import, archive: Archive) -> list[str]:
    """Make an archive's VMs, or nothing of them unless the import is forced."""
    try:
        await work.make()
        if work.sr is not None:
            await _fill(work.context, work, archive)
        return work.finish()
    except BaseException:
        if not work.force:
            await work.undo()
        raise


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
