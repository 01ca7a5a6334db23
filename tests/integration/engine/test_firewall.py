# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who reaches a published port, with the rules that the role container_host puts in place: a neighbour of the engine's machine, with three addresses."""

from __future__ import annotations

import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from .conftest import Daemon, Engine

pytestmark = pytest.mark.engine

SCRIPT = Path(__file__).parents[3] / "roles/container_host/files/hardshell-firewall.sh"
GUEST, OFFICE, LOBBY, STREET = "192.0.2.1", "192.0.2.10", "192.0.2.20", "192.0.2.30"
RULES = f"{OFFICE}/32 any any\n{LOBBY} tcp 8081:8090\n2001:db8::/32 any any\n"
EVERYBODY = [(source, port) for source in (OFFICE, LOBBY, STREET) for port in (8080, 8081)]
# What is dropped gives no sign: two seconds without an answer count as one.
CONNECTS = f"""
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def connect(pair):
    try:
        socket.create_connection((sys.argv[1], pair[1]), timeout=2, source_address=(pair[0], 0)).close()
        return True
    except TimeoutError:
        return False

with ThreadPoolExecutor(6) as pool:
    for pair, through in zip({EVERYBODY}, pool.map(connect, {EVERYBODY})):
        if through:
            print(*pair)
"""


class Neighbourhood:
    """The engine's network namespace and another one, joined by a cable."""

    def __init__(self, engine: int, neighbour: int) -> None:
        self._engine, self._neighbour = engine, neighbour

    def join(self) -> None:
        self._run(self._engine, f"ip link add outside type veth peer name cable netns {self._neighbour}")
        self._run(self._engine, f"ip address add {GUEST}/24 dev outside && ip link set outside up")
        for address in (OFFICE, LOBBY, STREET):
            self._run(self._neighbour, f"ip address add {address}/24 dev cable")
        self._run(self._neighbour, "ip link set cable up")

    def _run(self, process: int, command: str) -> None:
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{process}/ns/net", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def firewall(self, *arguments: str) -> None:
        self._run(self._engine, " ".join([str(SCRIPT), *arguments]))

    def reached(self) -> list[tuple[str, int]]:
        """The addresses of the neighbour that get through, each with the port."""
        enter = ["nsenter", f"--net=/proc/{self._neighbour}/ns/net", sys.executable, "-c", CONNECTS, GUEST]
        done = subprocess.run(enter, capture_output=True, text=True, check=True)
        return [(source, int(port)) for source, port in (line.split() for line in done.stdout.splitlines())]


@pytest.fixture
def neighbourhood(daemon: Daemon) -> t.Iterator[Neighbourhood]:
    if not shutil.which("iptables") or not shutil.which("nsenter"):
        pytest.skip("needs iptables and nsenter")
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=-1, stdout=-1) as neighbour:
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline() == b"ready\n"
        made = Neighbourhood(daemon.pid, neighbour.pid)
        made.join()
        yield made
        made.firewall("clear")


def test_only_the_sources_that_are_named_reach_published_ports(
    engine: Engine, neighbourhood: Neighbourhood, tmp_path: Path
) -> None:
    engine.deploy(
        {"web": {"image": "box:1", "ports": ["8080:80", "8081:80"]}, "api": {"image": "box:1", "links": ["web"]}}
    )
    assert neighbourhood.reached() == EVERYBODY
    (tmp_path / "rules").write_text(RULES)
    for _again in range(2):
        neighbourhood.firewall("apply", str(tmp_path / "rules"))
    # By the port that is published, not by the container's own.
    assert neighbourhood.reached() == [(OFFICE, 8080), (OFFICE, 8081), (LOBBY, 8081)]
    assert engine.daemon.reaches("shop_api", "web")
    (tmp_path / "rules").write_text("\n")
    neighbourhood.firewall("apply", str(tmp_path / "rules"))
    assert neighbourhood.reached() == []
    for _again in range(2):
        neighbourhood.firewall("clear")
    assert neighbourhood.reached() == EVERYBODY
