# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy in front of an engine's socket that breaks the way to it at one request, as a network or a dying process does.

It speaks as much HTTP/1.1 as it takes to tell one request from the next: bodies by length, in chunks or up to the end of the connection. The collection takes
over no connection (no exec, no attach), so neither does the proxy.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
import typing as t


class Cut(enum.Enum):
    """Where the connection is cut."""

    BEFORE = "before the engine has the request"
    AFTER = "after the engine has done it, before its answer"
    WITHIN = "in the middle of the answer"


class _Gone(Exception):
    """One of the two sides has closed, or is to be closed."""


class _Stream:
    """The bytes that come from one side."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._pending = b""

    def some(self, limit: int = 65536) -> bytes:
        """What comes next; nothing at the end."""
        found = self._pending[:limit] or self.connection.recv(limit)
        self._pending = self._pending[limit:]
        return found

    def until(self, mark: bytes) -> bytes:
        while mark not in self._pending:
            more = self.connection.recv(65536)
            if not more:
                raise _Gone
            self._pending += more
        found, _mark, self._pending = self._pending.partition(mark)
        return found + mark


class _Message:
    """A request or an answer: its head, and its body piece by piece as it arrives, framing included."""

    def __init__(self, stream: _Stream, *, to: str | None = None) -> None:
        """``to`` is the method of the request that this answers."""
        self._stream = stream
        self.head = stream.until(b"\r\n\r\n")
        self.first, *lines = self.head.decode("latin-1").split("\r\n")
        self._headers = {name.lower(): value.strip() for name, _colon, value in (line.partition(":") for line in lines)}
        self._answers = to

    def body(self) -> t.Iterator[bytes]:
        if self._headers.get("transfer-encoding") == "chunked":
            yield from self._chunks()
        elif "content-length" in self._headers:
            yield from self._exactly(int(self._headers["content-length"]) if self._answers != "HEAD" else 0)
        elif self._answers is not None and self.first.split()[1] not in ("204", "304"):
            while piece := self._stream.some():
                yield piece

    def _chunks(self) -> t.Iterator[bytes]:
        size = -1
        while size != 0:
            line = self._stream.until(b"\r\n")
            size = int(line, 16)
            yield line + b"".join(self._exactly(size)) + self._stream.until(b"\r\n")

    def _exactly(self, size: int) -> t.Iterator[bytes]:
        while size:
            piece = self._stream.some(min(size, 65536))
            if not piece:
                raise _Gone
            size -= len(piece)
            yield piece


class FaultProxy:
    """Listens at ``path`` for the engine at ``engine``; cuts the first request for which ``strikes(number, request)`` holds.

    ``number`` counts from 1 over all connections, ``request`` is as in "POST /v1.41/containers/web/start". With ``for_good`` the engine gets nothing
    after that: what it would see of a process that was killed.
    """

    def __init__(
        self,
        engine: str,
        path: str,
        strikes: t.Callable[[int, str], bool] = lambda _number, _request: False,
        cut: Cut = Cut.BEFORE,
        *,
        for_good: bool = False,
    ) -> None:
        self.path = path
        self.count = 0
        self.struck = ""
        self._engine, self._strikes, self._cut, self._for_good = engine, strikes, cut, for_good
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._down = False

    def __enter__(self) -> FaultProxy:
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen(64)
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._close_all()
        # Shut down, so that accept() returns.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()

    def _accept(self) -> None:
        servants = []
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                break
            servants.append(threading.Thread(target=self._serve, args=(client,)))
            servants[-1].start()
        for servant in servants:
            servant.join()

    def _close_all(self) -> None:
        """Nothing passes any more."""
        with self._lock:
            self._down = True
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as engine:
            with self._lock:
                if self._down:
                    return
                self._open |= {client, engine}
            try:
                engine.connect(self._engine)
                asked, answered = _Stream(client), _Stream(engine)
                while True:
                    self._pass_on(_Message(asked), client, answered)
            except (_Gone, OSError):
                pass
            finally:
                with self._lock:
                    self._open -= {client, engine}

    def _pass_on(self, request: _Message, client: socket.socket, answered: _Stream) -> None:
        strikes = self._is_struck(request)
        if strikes and self._cut is Cut.BEFORE:
            self._break()
        answered.connection.sendall(request.head)
        for piece in request.body():
            answered.connection.sendall(piece)
        answer = _Message(answered, to=request.first.split()[0])
        if strikes and self._cut is Cut.AFTER:
            if not _is_endless(request):
                for _piece in answer.body():
                    pass
            self._break()
        if strikes:
            self._send_half(answer, client, _is_endless(request))
            self._break()
        client.sendall(answer.head)
        for piece in answer.body():
            client.sendall(piece)

    def _is_struck(self, request: _Message) -> bool:
        with self._lock:
            if self._down:
                raise _Gone
            self.count += 1
            line = request.first.rpartition(" ")[0]
            if self.struck or not self._strikes(self.count, line):
                return False
            self.struck = f"{self.count}: {line}"
            return True

    def _break(self) -> t.NoReturn:
        if self._for_good:
            self._close_all()
        raise _Gone

    @staticmethod
    def _send_half(answer: _Message, client: socket.socket, endless: bool) -> None:
        """Half of the answer: so it ends in the head of a short one, and in the body of a long one. Of a stream without end, half of its first piece."""
        if endless:
            client.sendall(answer.head)
            piece = next(answer.body(), b"")
            client.sendall(piece[: len(piece) // 2])
        else:
            content = answer.head + b"".join(answer.body())
            client.sendall(content[: len(content) // 2])


def _is_endless(request: _Message) -> bool:
    return "/events?" in request.first
