# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The ports that the lab answers on: one TLS port for each host of the pool, the same number on an address of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence

from aiohttp import web

TRIES = 20
"""How many free ports are tried before one is free on the address of every host."""


class Listeners:
    """Each host's port can be closed and opened again, as when a host is lost and comes back."""

    def __init__(self, make_runner: Callable[[], web.BaseRunner], http_port: int) -> None:
        self._make_runner = make_runner
        self._http_port = http_port
        self._runners: dict[str, web.BaseRunner] = {}
        self._context: ssl.SSLContext
        self.port = 0

    async def open_all(self, addresses: Sequence[str], port: int, last_port: int, context: ssl.SSLContext) -> None:
        """Listen on a port of every address: `port` unless it is 0, else the last one if it is free, else any free one."""
        self._context = context
        wanted = [port] if port else [last_port, *([0] * TRIES)]
        for number in wanted:
            try:
                sockets = _bound(addresses, number)
            except OSError:
                if number == wanted[-1]:
                    raise
                continue
            self.port = sockets[0].getsockname()[1]
            for address, listening in zip(addresses, sockets, strict=True):
                await self._serve(address, listening)
            return

    async def open(self, address: str) -> None:
        """Listen on an address again."""
        if address not in self._runners:
            await self._serve(address, _bound([address], self.port)[0])

    async def close(self, address: str) -> None:
        """Stop listening on an address, and end its connections without a word."""
        runner = self._runners.pop(address, None)
        if runner is not None:
            for site in list(runner.sites):
                await site.stop()
            _cut(runner)
            await runner.cleanup()

    def cut(self) -> None:
        """End all connections without a word."""
        for runner in self._runners.values():
            _cut(runner)

    async def close_all(self) -> None:
        """Stop listening; calls under way are answered first."""
        await asyncio.gather(*(runner.cleanup() for runner in self._runners.values()))
        self._runners.clear()

    async def _serve(self, address: str, listening: socket.socket) -> None:
        runner = self._make_runner()
        self._runners[address] = runner
        await runner.setup()
        await web.SockSite(runner, listening, ssl_context=self._context).start()
        if self._http_port:
            await web.TCPSite(runner, address, self._http_port).start()


def _bound(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """A listening socket on each address, all on one port; raises OSError when it is taken on any."""
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
            sockets.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((address, port))
            port = listening.getsockname()[1]
    except OSError:
        for listening in sockets:
            listening.close()
        raise
    return sockets


def _cut(runner: web.BaseRunner) -> None:
    for connection in runner.server.connections if runner.server else ():
        transport = connection.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()
