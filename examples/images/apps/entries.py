# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The application container of the demo: keeps a list of texts.

With DATABASE (host:port) the list is kept in Redis, reached by the name of the link to it; without, in memory.
GET /entries gives the list, POST /entries adds the body to it and gives the list, GET /health asks the store.
"""

from __future__ import annotations

import json
import os
import socket
from http.server import BaseHTTPRequestHandler

from serve import LONGEST_BODY, serve

KEY = b"entries"
MOST_ENTRIES = 1000


class Memory:
    """A list that is lost with the container."""

    def __init__(self) -> None:
        self._entries: list[str] = []

    def add(self, text: str) -> None:
        self._entries = [*self._entries, text][-MOST_ENTRIES:]

    def all(self) -> list[str]:
        return self._entries


class Redis:
    """A list in Redis; one connection a command, in its own protocol (RESP 2)."""

    def __init__(self, address: str) -> None:
        host, _, port = address.partition(":")
        self._address = (host, int(port or 6379))

    def add(self, text: str) -> None:
        self._command(b"RPUSH", KEY, text.encode())
        self._command(b"LTRIM", KEY, str(-MOST_ENTRIES).encode(), b"-1")

    def all(self) -> list[str]:
        answer = self._command(b"LRANGE", KEY, b"0", b"-1")
        return [item.decode(errors="replace") for item in answer]

    def _command(self, *words: bytes) -> list[bytes]:
        """The items of the answer, of which a simple answer has one."""
        request = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
        with socket.create_connection(self._address, timeout=10) as connection, connection.makefile("rb") as answer:
            connection.sendall(request)
            line = answer.readline().rstrip(b"\r\n")
            kind, value = line[:1], line[1:]
            if kind == b"-":
                raise OSError(f"the database refused: {value.decode(errors='replace')}")
            if kind != b"*":
                return [value]
            items = []
            for _ in range(int(value)):
                length = int(answer.readline()[1:])
                items.append(answer.read(length + 2)[:-2])
            return items


STORE = Redis(os.environ["DATABASE"]) if "DATABASE" in os.environ else Memory()


class Entries(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path in ("/entries", "/health"):
            self._answer_entries()
        else:
            self._answer(404, "not found")

    def do_POST(self) -> None:
        text = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), LONGEST_BODY)).decode(errors="replace")
        self._answer_entries(text.strip())

    def _answer_entries(self, new: str = "") -> None:
        try:
            if new:
                STORE.add(new)
            self._answer(200, STORE.all())
        except (OSError, ValueError) as error:
            self._answer(503, f"the database does not answer: {error}")

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


serve(8000, Entries)
