# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An engine that does not answer, answers without end, or says what no engine says: told plainly, and in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.api import MOST_LOG_BYTES, ConnectionLost, Engine
from ansible_collections.hardshell.xen.plugins.module_utils._engine.refuse import refuse_unkept_limit
from ansible_collections.hardshell.xen.plugins.module_utils._engine.sdk import open_client
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .model import spec_of

Answer = t.Callable[[socket.socket], None]
# Short where the limit is to be passed, and long where a busy machine must not pass it.
SHORT, LONG = 0.2, 60.0
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


@contextlib.contextmanager
def engine_that(answers: Answer, path: Path, seconds: float = LONG) -> t.Iterator[Engine]:
    """The client, which waits so many seconds, of an engine that answers its one request so."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _address = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                answers(connection)
                # Until the client hangs up.
                while connection.recv(65536):
                    pass

        servant = threading.Thread(target=serve)
        servant.start()
        client = open_client(f"unix://{path}", t.cast("int", seconds))
        engine = Engine(client, "unix:///engine")
        yield engine
        engine.close()
        servant.join()


def test_events_that_do_not_begin_are_not_waited_for(tmp_path: Path) -> None:
    with (
        engine_that(lambda _connection: None, tmp_path / "s", SHORT) as engine,
        pytest.raises(ConnectionLost, match="did not answer in time"),
    ):
        engine.events({})


def test_an_event_may_be_long_in_coming(tmp_path: Path) -> None:
    seconds = 2.0

    def answer(connection: socket.socket) -> None:
        connection.sendall(STREAM)
        threading.Event().wait(1.5 * seconds)
        connection.sendall(chunk(b'{"Action": "start"}'))

    with engine_that(answer, tmp_path / "s", seconds) as engine:
        events = engine.events({})
        assert next(iter(events)) == {"Action": "start"}
        events.close()


def test_a_log_without_end_is_cut(tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(STREAM)
        while True:
            connection.sendall(chunk(b"no end in sight " * 4096))

    with engine_that(answer, tmp_path / "s") as engine:
        assert MOST_LOG_BYTES <= len("".join(engine.logs("web", 20))) < 2 * MOST_LOG_BYTES


@pytest.mark.parametrize("ask", [lambda engine: engine.get("/info"), lambda engine: engine.post("/volumes/create")])
def test_what_speaks_as_no_engine_does_is_told(tmp_path: Path, ask: t.Callable[[Engine], t.Any]) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nwelcome")

    with (
        engine_that(answer, tmp_path / "s") as engine,
        pytest.raises(HardshellError, match="docker_host: what answers at unix:///engine .*'welcome'"),
    ):
        ask(engine)


LACK = "Your kernel does not support {} or the cgroup is not mounted. {}"


@pytest.mark.parametrize(
    ("option", "warning"),
    [
        ("memory", LACK.format("memory limit capabilities", "Limitation discarded.")),
        ("memory_reservation", LACK.format("memory soft limit capabilities", "Limitation discarded.")),
        ("memory_swap", LACK.format("swap limit capabilities", "Memory limited without swap.")),
        ("pids_limit", LACK.format("PIDs limit capabilities", "PIDs limit discarded.")),
        ("cpu_shares", LACK.format("CPU shares", "Shares discarded.")),
        ("cpuset", LACK.format("cpuset", "Cpuset discarded.")),
        ("blkio", LACK.format("Block I/O weight", "Weight discarded.")),
    ],
)
def test_a_limit_that_the_engine_would_not_keep_is_refused(option: str, warning: str) -> None:
    limits: dict[str, t.Any] = {
        "memory": "64MiB",
        "memory_reservation": "32MiB",
        "memory_swap": "128MiB",
        "pids_limit": 10,
        "cpu_shares": 512,
        "cpuset": "0",
        "blkio": {"weight": 300},
    }
    with pytest.raises(
        HardshellError, match=rf"^containers\.web\.{option}: the engine cannot limit it so: Your kernel"
    ):
        refuse_unkept_limit(spec_of({"web": {"image": "box:1", **limits}}).members["web"], warning)
    # Nobody asked for it: the engine's word is passed on as a warning.
    refuse_unkept_limit(spec_of({"web": {"image": "box:1"}}).members["web"], warning)
