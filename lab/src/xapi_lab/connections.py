# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""HTTP connections as XAPI reads them: disks and archives that come without a length, and CONNECT with a path."""

from __future__ import annotations

import asyncio
import re

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE
from aiohttp.http_parser import RawRequestMessage

UNKNOWN_LENGTH = 2**50
"""The Content-Length of a client that does not know it: npm's xen-api sends it, and a connection adds it where none is."""
_LARGEST_HEAD = 2**16
_UPLOAD = re.compile(rb"PUT /import(_metadata|_raw_vdi)?/*[? ]")
_BEGINNINGS = (b"PUT /import", b"CONNECT /")
_HAS_HOST = re.compile(rb"\r\nhost[ \t]*:", re.IGNORECASE)
_HAS_LENGTH = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)


class Request(web.BaseRequest):
    """A request whose body can be read after its client has hung up: what has arrived counts."""

    task_ref = ""
    """The task that stands for it, if it has one."""

    @property
    def is_tunnel(self) -> bool:
        """Whether its method is CONNECT."""
        return isinstance(self.protocol, Connection) and self.protocol.is_tunnel

    @property
    def body_length(self) -> int | None:
        """Bytes that its Content-Length announces; None where it has none, and its body goes on until there is enough."""
        without = isinstance(self.protocol, Connection) and self.protocol.without_length
        return None if without else self.content_length

    def _cancel(self, exc: BaseException) -> None:  # noqa: ARG002
        self.content.feed_eof()

    async def _prepare_hook(self, resp: web.StreamResponse) -> None:
        """Leave out what aiohttp adds to every answer and XAPI to none."""
        resp.headers.popall("Date", None)
        if resp.headers.get("Server") == SERVER_SOFTWARE:
            del resp.headers["Server"]


def make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: web.RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> Request:
    """aiohttp's factory of requests."""
    return Request(message, payload, protocol, writer, task, asyncio.get_running_loop())


class Connection(web.RequestHandler):
    """Changes the head of the first request where aiohttp knows HTTP better than XAPI and its clients.

    An upload without a length gets one, since it would be taken for a request without a body; `without_length` tells.
    CONNECT, of which aiohttp expects the name of a host, becomes a GET that changes the protocol; `is_tunnel` tells.
    """

    is_tunnel = False
    without_length = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._head: bytes | None = b""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if not self._is_decided(self._head):
                return
            self.is_tunnel = self._head.startswith(b"CONNECT /")
            self.without_length = not self.is_tunnel and _is_without_length(self._head)
            data, self._head = self._head, None
            if self.is_tunnel:
                data = _as_upgrade(data)
            elif self.without_length:
                data = _with_length(data)
        super().data_received(data)

    @staticmethod
    def _is_decided(head: bytes) -> bool:
        """Whether the first request is none that an archive comes with, or has shown all of its headers."""
        if not head.startswith(_BEGINNINGS):
            return not any(beginning.startswith(head) for beginning in _BEGINNINGS)
        return b"\r\n\r\n" in head or len(head) > _LARGEST_HEAD


def _is_without_length(data: bytes) -> bool:
    """Whether this is the head of an upload that says nothing of its body's length."""
    line, ending, rest = data.partition(b"\r\n")
    return bool(_UPLOAD.match(line)) and not _HAS_LENGTH.search((ending + rest).partition(b"\r\n\r\n")[0])


def _with_length(data: bytes) -> bytes:
    line, _, rest = data.partition(b"\r\n")
    return b"%s\r\nContent-Length: %d\r\n%s" % (line, UNKNOWN_LENGTH, rest)


def _as_upgrade(data: bytes) -> bytes:
    line, ending, rest = data.partition(b"\r\n")
    line = line.removeprefix(b"CONNECT").replace(b" HTTP/1.0", b" HTTP/1.1")  # XAPI answers 1.1 to either
    host = b"" if _HAS_HOST.search(ending + rest) else b"Host: lab\r\n"
    return b"GET%s\r\n%sUpgrade: websocket\r\nConnection: upgrade\r\n%s" % (line, host, rest)


class ConnectionServer(web.Server):
    """Makes such connections."""

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)
