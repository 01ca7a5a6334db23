# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An sshd of our own on loopback, that lets root in by one key."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest

START_SECONDS = 20


@dataclass(frozen=True)
class Server:
    """A running sshd. ``directory`` holds its keys (``host``, ``client``, ``stranger``) and its ``log``."""

    directory: Path
    port: int
    process: int

    @property
    def host_key(self) -> str:
        return " ".join((self.directory / "host.pub").read_text().split()[:2])

    @property
    def key(self) -> str:
        return str(self.directory / "client")

    def host(self, path: str) -> str:
        return f"ssh://root@127.0.0.1:{self.port}{path}"


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


@contextlib.contextmanager
def run_sshd(directory: Path, *, within: t.Sequence[str] = (), **settings: str) -> t.Iterator[Server]:
    """Started by the command line ``within``, if there is one; skips the test where there is no sshd. ``settings`` are of sshd_config."""
    sshd = shutil.which("sshd", path="/usr/sbin:/sbin:/usr/bin")
    if os.geteuid() != 0 or not sshd or not shutil.which("ssh"):
        pytest.skip("needs root, sshd and ssh")
    for name in ("host", "client", "stranger"):
        make_key(directory / name)
    shutil.copy(directory / "client.pub", directory / "authorized_keys")
    Path("/run/sshd").mkdir(exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    written = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": directory / "host",
        "AuthorizedKeysFile": directory / "authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "yes",
        "PasswordAuthentication": "no",
        **settings,
    }
    (directory / "config").write_text("".join(f"{key} {value}\n" for key, value in written.items()))
    log = directory / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([*within, sshd, "-D", "-e", "-f", str(directory / "config")], stderr=file)
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Server listening" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"sshd does not run here: {log.read_text()[-300:]}")
            time.sleep(0.05)
        yield Server(directory, port, process.pid)
    finally:
        process.terminate()
        process.wait(10)
