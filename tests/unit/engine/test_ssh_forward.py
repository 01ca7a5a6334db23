# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The forward of the engine's socket, with a stand-in for the ssh program: what it does at a bad moment can be chosen."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.ssh_forward import SshForward
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

BINDS_LONG_BEFORE_IT_LISTENS = """\
import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[sys.argv.index("-L") + 1].partition(":")[0])
time.sleep(0.3)
server.listen()
while True:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK")
    connection.close()
"""
HOLDS_ITS_SECOND_CONNECTION = """\
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[sys.argv.index("-L") + 1].partition(":")[0])
server.listen()
ping, _ = server.accept()
ping.recv(4096)
ping.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK")
held = [server.accept()]
server.accept()
"""
OPENS_A_FORWARD = """\
import sys
from ansible_collections.hardshell.xen.plugins.module_utils._engine.ssh_forward import SshForward
with SshForward("root@vm", 22, "/var/run/docker.sock", [], None, None, timeout=5) as opened:
    print(opened.path, flush=True)
    sys.stdin.read()
"""
BINDS_AND_ENDS = """\
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[sys.argv.index("-L") + 1].partition(":")[0])
sys.exit("the gateway went away")
"""


def put_first_in_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    stand_in = tmp_path / "ssh"
    stand_in.write_text(f"#!{sys.executable}\n{program}")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


def forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> SshForward:
    put_first_in_path(tmp_path, monkeypatch, program)
    return SshForward("root@vm", 22, "/var/run/docker.sock", [], None, None, timeout=5)


def test_a_socket_that_is_bound_but_not_listened_on_yet_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with forward(tmp_path, monkeypatch, BINDS_LONG_BEFORE_IT_LISTENS) as opened:
        assert Path(opened.path).is_socket()


def test_an_ssh_that_ends_before_it_listens_is_reported_with_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        pytest.raises(HardshellError, match=r"no connection to root@vm: the gateway went away"),
        forward(tmp_path, monkeypatch, BINDS_AND_ENDS),
    ):
        pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_ssh_ends_when_what_started_it_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_first_in_path(tmp_path, monkeypatch, HOLDS_ITS_SECOND_CONNECTION)
    with (
        subprocess.Popen(
            [sys.executable, "-c", OPENS_A_FORWARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        ) as task,
        socket.socket(socket.AF_UNIX) as connection,
    ):
        assert task.stdout is not None
        path = task.stdout.readline().strip()
        connection.settimeout(10)
        connection.connect(path)
        task.send_signal(signal.SIGKILL)
        # It ends with the ssh that holds it; the kernel calls that a reset when the ssh had not accepted it yet.
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
