# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""HTTP connections as XAPI reads them: an archive that comes without a length goes on to the end of the connection."""

from __future__ import annotations

import asyncio
import re

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

UNKNOWN_LENGTH = 2**50
"""The Content-Length of a client that does not know it: npm's xen-api sends it, and a connection adds it where none is."""
_LARGEST_HEAD = 2**16
_ARCHIVE = re.compile(rb"PUT /import(_metadata)?/*[? ]")
_BEGINNING = b"PUT /import"
_HAS_LENGTH = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)


class Request(web.BaseRequest):
    """A request whose body can be read after its client has hung up: what has arrived counts."""

    task_ref = ""
    """The task that stands for it, if it has one."""

    def _cancel(self, exc: BaseException) -> None:  # noqa: ARG002
        self.content.feed_eof()


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
    """Where aiohttp would take an archive without a length for a request without a body, this one gives it a length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._head: bytes | None = b""
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            if not self._is_decided(self._head):
                return
            data, self._head = _with_length(self._head), None
        super().data_received(data)

    @staticmethod
    def _is_decided(head: bytes) -> bool:
        """Whether the first request is none that an archive comes with, or has shown all of its headers."""
        if not head.startswith(_BEGINNING):
            return not _BEGINNING.startswith(head)
        return b"\r\n\r\n" in head or len(head) > _LARGEST_HEAD


def _with_length(data: bytes) -> bytes:
    line, ending, rest = data.partition(b"\r\n")
    headers = (ending + rest).partition(b"\r\n\r\n")[0]
    if not _ARCHIVE.match(line) or _HAS_LENGTH.search(headers):
        return data
    return b"%s\r\nContent-Length: %d\r\n%s" % (line, UNKNOWN_LENGTH, rest)


class ConnectionServer(web.Server):
    """Makes such connections."""

    def __call__(self) -> Connection:
        return Connection(self, loop=self._loop, **self._kwargs)
