# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The HTTP server: RPC on every POST path, handlers for disk content, XAPI's pages for everything else."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

from aiohttp import web

from xapi_lab import failover
from xapi_lab.config import Config
from xapi_lab.connections import ConnectionServer, Request, make_request
from xapi_lab.dispatch import dispatch
from xapi_lab.errors import XapiError
from xapi_lab.faults import ConnectionCut
from xapi_lab.http_handlers import console, raw_vdi, statistics, vm_archive
from xapi_lab.http_handlers.access import NO_CACHE, Handler, forbidden, host_asked, internal_error, page
from xapi_lab.lab import Lab
from xapi_lab.listeners import Listeners
from xapi_lab.tls import server_context
from xapi_lab.wire import MalformedRequest, jsonrpc, xmlrpc
from xapi_lab.wire import Request as Call

_LOG = logging.getLogger(__name__)
LARGEST_REQUEST = 300 * 1024
"""Bytes of an RPC body that XAPI accepts (http_limit_max_rpc_size)."""
_CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "X-Requested-With"}
_HANDLERS = {
    ("PUT", "/import_raw_vdi"): raw_vdi.import_raw_vdi,
    ("GET", "/export_raw_vdi"): raw_vdi.export_raw_vdi,
    ("GET", "/export"): vm_archive.export,
    ("GET", "/export_metadata"): vm_archive.export_metadata,
    ("PUT", "/import"): vm_archive.import_,
    ("PUT", "/import_metadata"): vm_archive.import_metadata,
    ("GET", "/rrd_updates"): statistics.rrd_updates,
    ("GET", "/vm_rrd"): statistics.vm_rrd,
    ("GET", "/host_rrd"): statistics.host_rrd,
}


def _handler(method: str, path: str) -> Handler | None:
    """The handler whose path is the longest beginning of the one that was asked for, as in XAPI (http_svr.ml)."""
    found = [known for known in _HANDLERS if known[0] == method and path.startswith(known[1])]
    return _HANDLERS[max(found, key=lambda known: len(known[1]))] if found else None


def _headers(request: Request) -> dict[str, str]:
    """The headers of XAPI's answers to calls; it says so when the connection stays open."""
    connection = {"Connection": "keep-alive"} if request.keep_alive else {}
    return {**connection, "Cache-Control": NO_CACHE, **_CORS}


class Server:
    """A lab on a TLS port of loopback for each of its hosts."""

    def __init__(self, state_dir: Path, config: Config) -> None:
        self.state_dir = state_dir
        self.config = config
        self.lab: Lab
        self._listeners: Listeners

    @property
    def port(self) -> int:
        return self._listeners.port

    @property
    def url(self) -> str:
        """Where the first host answers."""
        return self.hosts()[0]["url"]

    def hosts(self) -> list[dict[str, Any]]:
        """Where each host answers, the first one first, and whether it does."""
        database, members = self.lab.database, self.lab.members
        return [
            {"name": database.get("host", host, "name_label"), "address": members.address(host),
             "url": f"https://{_in_url(members.address(host))}:{self.port}", "up": host not in members.lost,
             "coordinator": host == members.coordinator}
            for host in members.all()
        ]  # fmt: skip

    async def start(self) -> None:
        """Answer calls from when this returns."""
        self.lab = Lab(self.state_dir, self.config)
        self.lab.load()
        await self.lab.open()
        members = self.lab.members
        self._listeners = self.lab.listeners = Listeners(self._runner, self.config.http_port)
        addresses = [members.address(host) for host in members.all()]
        last_port = self.lab.store.get("port", 0)
        await self._listeners.open_all(
            addresses, self.config.port, last_port, server_context(self.state_dir, addresses)
        )
        self.lab.store.put("port", self.port)
        for host in members.lost:
            await self._listeners.close(members.address(host))
        failover.notice_losses(self.lab)

    def _runner(self) -> web.BaseRunner:
        server = ConnectionServer(
            self._answer,
            request_factory=make_request,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=3600,
        )
        return web.ServerRunner(server)

    async def stop(self, *, stop_machines: bool) -> None:
        self.lab.ending.set()
        self.lab.sessions.logout_all()
        self.lab.wake()
        await asyncio.sleep(0)
        await self._listeners.close_all()
        await self.lab.close(stop_machines=stop_machines)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, Request)
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method = "CONNECT" if request.is_tunnel else request.method
        if method == "CONNECT" and request.path.startswith("/console"):
            return await console.connect(self.lab, request)  # ends with its connection
        handler = _handler(method, request.path)
        if handler is not None:
            return await self.lab.to_the_end(handler(self.lab, request))
        if method == "POST":
            return await self._rpc(request, json=request.path.startswith("/jsonrpc"))
        if method == "OPTIONS":
            return web.Response(headers={**_headers(request), "Access-Control-Allow-Methods": "PUT"})
        if method in {"GET", "PUT", "CONNECT"}:
            return forbidden()
        return page(501, "Method not implemented", "method not implemented", method)

    async def _rpc(self, http_request: Request, *, json: bool) -> web.StreamResponse:
        length = http_request.content_length
        if length is None:
            return internal_error('Http.Http_parse_failure("content-length")')
        if length > LARGEST_REQUEST:
            return internal_error(f"Http_svr.Client_requested_size_over_limit({length})")
        body = await http_request.content.read(LARGEST_REQUEST) if length else b""
        while len(body) < length and (more := await http_request.content.read(length - len(body))):
            body += more
        host = host_asked(self.lab, http_request)
        wire = jsonrpc if json else xmlrpc
        request = Call("", [], "json2" if json else "xml", 0)
        try:
            request = wire.parse_request(body)
            work = dispatch(self.lab, request.method, request.params, host)
            waits = request.method.startswith("event.")
            answer = self._success(request, await (work if waits else self.lab.to_the_end(work)))
        except MalformedRequest as error:
            return internal_error(str(error))
        except XapiError as error:
            answer = jsonrpc.failure(request, error.description) if json else xmlrpc.failure(error.description)
        except ConnectionCut:
            if http_request.transport is not None:
                http_request.transport.abort()
            raise ConnectionResetError from None
        except RecursionError:
            return internal_error("Stack_overflow")
        return web.Response(body=answer, headers={**_headers(http_request), "Content-Type": wire.CONTENT_TYPE})

    @staticmethod
    def _success(request: Call, value: Any) -> bytes:
        if request.style != "xml":
            return jsonrpc.success(request, value)
        return xmlrpc.bare(value) if request.method == "system.listMethods" else xmlrpc.success(value)


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
