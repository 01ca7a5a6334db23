# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""GET /rrd_updates, /vm_rrd and /host_rrd: what was measured, as XML or JSON (rrdd_http_handler.ml)."""

from __future__ import annotations

from aiohttp import web

from xapi_lab.connections import Request
from xapi_lab.database import Record
from xapi_lab.http_handlers.access import NO_CACHE, bad_request, guarded, host_asked, internal_error, parameter
from xapi_lab.http_handlers.redirect import redirect_to
from xapi_lab.lab import Lab
from xapi_lab.rrd import FUNCTIONS, NoArchive, Rrd, dump_json, dump_xml, updates
from xapi_lab.values import NULL

_CORS = {"Access-Control-Allow-Origin": "*"}


def wants_json(request: Request) -> bool:
    """Whether a client gets JSON: its Accept header decides; without one the parameter `json`, whatever its value."""
    for accepted in request.headers.get("Accept", "").split(","):
        kind = accepted.partition(";")[0].strip().lower()
        if kind in {"*/*", "application/json"}:
            return True
        if kind == "text/xml":
            return False
    return parameter(request, "json") is not None


def _answer(text: str, *, as_json: bool) -> web.Response:
    kind = "application/json" if as_json else "text/xml"
    return web.Response(body=text.encode(), headers={"content-type": kind, **_CORS, "Cache-Control": NO_CACHE})


def _host(lab: Lab, request: Request) -> Record:
    """The host that is asked."""
    return lab.database.record("host", host_asked(lab, request))


async def _measured(lab: Lab) -> None:
    if not lab.measures:
        await lab.measurements.measure()


def _whole_number(text: str | None) -> int | None:
    try:
        return int(text or "")
    except ValueError:
        return None


@guarded("read-only", "rrd_updates")
async def rrd_updates(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    await _measured(lab)
    start = _whole_number(parameter(request, "start"))
    if start is None:
        return bad_request()
    host, wanted = _host(lab, request), parameter(request, "vm_uuid") or "all"
    rrds: list[tuple[str, Rrd]] = []
    if parameter(request, "host") == "true" and host["uuid"] in lab.measurements.hosts:
        rrds.append((f"host:{host['uuid']}:", lab.measurements.hosts[host["uuid"]]))
    for ref in host["resident_VMs"]:
        uuid = lab.database.get("VM", ref, "uuid")
        if wanted in {"all", uuid} and uuid in lab.measurements.vms:
            rrds.append((f"vm:{uuid}:", lab.measurements.vms[uuid]))
    interval, function = _whole_number(parameter(request, "interval")) or 0, parameter(request, "cf")
    try:
        found = updates(rrds, start, interval, function if function in FUNCTIONS else None)
    except NoArchive:
        return internal_error("Rrd.No_RRA_Available")
    as_json = wants_json(request)
    return _answer(found.json() if as_json else found.xml(), as_json=as_json)


def _dump(request: Request, rrd: Rrd | None) -> web.Response:
    if rrd is None:
        missing = web.Response(status=404, reason="Not Found", headers={"Cache-Control": NO_CACHE})
        missing.force_close()
        return missing
    as_json = wants_json(request)
    return _answer(dump_json(rrd) if as_json else dump_xml(rrd), as_json=as_json)


@guarded("read-only", "vm_rrd")
async def vm_rrd(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    await _measured(lab)
    uuid = parameter(request, "uuid") or ""
    vm = lab.database.find_uuid("VM", uuid)
    resident_on = lab.database.get("VM", vm, "resident_on") if vm is not None else NULL
    if resident_on not in {NULL, host_asked(lab, request)}:
        return redirect_to(lab, request, resident_on)
    return _dump(request, lab.measurements.vms.get(uuid))


@guarded("read-only", "host_rrd")
async def host_rrd(lab: Lab, request: Request, session: str) -> web.StreamResponse:
    await _measured(lab)
    return _dump(request, lab.measurements.hosts.get(_host(lab, request)["uuid"]))
