# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""CONNECT /console: the screen of a running VM, by RFB over the connection (console.ml)."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from xapi_lab.connections import Request
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers.access import NO_CACHE, guarded, host_asked, internal_error, not_found, parameter
from xapi_lab.http_handlers.streaming import UntilClosed
from xapi_lab.lab import Lab
from xapi_lab.machines.short_path import short_path

CHUNK = 2**16


@guarded("vm-operator", "connect_console")
async def connect(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    vm = _vm(lab, request)
    if vm is None:
        return internal_error("Console.Failure")
    path = lab.machines.display(lab.database.get("VM", vm, "uuid"))
    if path is None:
        return not_found()
    try:
        with short_path(path.parent) as folder:
            reader, writer = await asyncio.open_unix_connection(f"{folder}/{path.name}")
    except OSError:  # the machine ended a moment ago
        return not_found()
    task = lab.tasks.create("Connection to VM console")
    try:
        return await _serve(lab, request, reader, writer)
    finally:
        writer.close()
        lab.tasks.succeed(task, "")


def _vm(lab: Lab, request: Request) -> str | None:
    """The running VM whose console is meant, by reference or uuid of either; None unless it is on the host asked."""
    db = lab.database
    uuid, ref = parameter(request, "uuid"), parameter(request, "ref")
    if uuid is not None:
        ref = db.find_uuid("VM", uuid) or db.find_uuid("console", uuid)
        if ref is None:
            raise XapiError("UUID_INVALID", "console", uuid)
    vm = db.get("console", ref, "VM") if ref is not None and db.exists("console", ref) else ref
    if vm is None or not db.exists("VM", vm):
        return None
    record = db.record("VM", vm)
    here = record["resident_on"] == host_asked(lab, request)
    return str(vm) if record["power_state"] == "Running" and here and record["consoles"] else None


async def _serve(
    lab: Lab, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> web.StreamResponse:
    """Carry bytes in both directions until either side has enough, or the lab ends."""
    response = UntilClosed(headers={"Connection": "keep-alive", "Cache-Control": NO_CACHE})
    response.force_close()
    await response.prepare(request)
    await response.write(b"")
    request.protocol.set_parser(_ToMachine(writer))  # type: ignore[arg-type]

    async def to_client() -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(CHUNK):
                await response.write(chunk)

    work = [asyncio.ensure_future(to_client()), asyncio.ensure_future(lab.ending.wait())]
    try:
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in work:
            part.cancel()
    return response


class _ToMachine:
    """Takes what the client sends once the connection is a tunnel; aiohttp hands it over as to a parser of its own."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._writer.write(data)
        return False, b""

    def feed_eof(self) -> None:
        self._writer.close()
