# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The screen of a machine without an operating system, through the lab's own port."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from api_client import MIB, Api
from conftest import IDLE
from xapi_lab.testing import Lab

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None, reason="qemu-system-x86_64 is not installed"
)
SECONDS = 60


@contextmanager
def connected(lab: Lab, query: str) -> Iterator[ssl.SSLSocket]:
    """A connection that has asked for a console as clients of XAPI do."""
    with (
        socket.create_connection((lab.host, lab.port), SECONDS) as plain,
        lab.ssl_context.wrap_socket(plain, server_hostname=lab.host) as connection,
    ):
        connection.sendall(f"CONNECT /console?{query} HTTP/1.0\r\n\r\n".encode())
        yield connection


def head(connection: ssl.SSLSocket) -> str:
    read = b""
    while not read.endswith(b"\r\n\r\n"):
        read += connection.recv(1)
    return read.decode()


def exactly(connection: ssl.SSLSocket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        more = connection.recv(length - len(read))
        assert more, "the connection was closed"
        read += more
    return read


def whole(lab: Lab, query: str) -> str:
    with connected(lab, query) as connection:
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_a_console_is_a_screen(tmp_path: Path) -> None:
    with Lab(backend="qemu", state_dir=tmp_path / "s") as lab:
        api = Api(lab)
        vm = api.vm("screen", disk=False, nic=False)
        vdi = api.vdi(2 * MIB)
        api.put(f"/import_raw_vdi?session_id={api.session}&vdi={vdi}", IDLE)
        api.wait(lambda: int(api("VDI.get_physical_utilisation", vdi)) > 0)
        api.vbd(vm, vdi)
        session, name = f"session_id={api.session}", f"uuid={api('VM.get_uuid', vm)}"
        assert "Console.Failure" in whole(lab, f"{name}&{session}"), "the VM does not run"
        api("VM.start", vm, False, False)
        (console,) = api("VM.get_consoles", vm)
        assert api("console.get_location", console).endswith(f"/console?uuid={api('console.get_uuid', console)}")
        for query in (f"uuid={api('console.get_uuid', console)}", f"ref={console}", name):
            with connected(lab, f"{query}&{session}") as connection:
                assert head(connection).startswith("HTTP/1.1 200 OK")
                assert exactly(connection, 12) == b"RFB 003.008\n"
                connection.sendall(b"RFB 003.008\n")
                assert exactly(connection, 2) == b"\x01\x01", "one security type: none"
                connection.sendall(b"\x01")
                assert exactly(connection, 4) == bytes(4)
                connection.sendall(b"\x01")
                assert int.from_bytes(exactly(connection, 2), "big") >= 640, "the width of the screen"
        assert whole(lab, name).startswith("HTTP/1.1 401")
        assert whole(lab, f"ref=x&{session}").startswith("HTTP/1.1 500")
        with connected(lab, f"{name}&{session}") as connection:
            assert exactly(connection, 12).startswith(b"HTTP")
            api("VM.hard_shutdown", vm)
            while connection.recv(65536):
                pass
        api("VM.start", vm, False, False)
        with connected(lab, f"{name}&{session}") as connection:
            head(connection)
            lab.stop(keep_machines=True)
            while connection.recv(65536):
                pass
    with Lab(backend="qemu", state_dir=tmp_path / "s") as lab:
        Api(lab)("VM.hard_shutdown", vm)
