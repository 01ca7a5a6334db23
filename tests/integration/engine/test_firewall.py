# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who reaches a published port, with the rules that the role container_host puts in place: a neighbour of the engine's machine, with three addresses."""

from __future__ import annotations

import json
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
GUEST6, OFFICE6, STREET6, INNER6 = "2001:db8::1", "2001:db8::10", "2001:db8:0:1::30", "fd00::2"
# What is dropped gives no sign: two seconds without an answer count as one.
CONNECTS = """
import json, socket, sys
from concurrent.futures import ThreadPoolExecutor

def connect(pair):
    try:
        socket.create_connection((sys.argv[1], pair[1]), timeout=2, source_address=(pair[0], 0)).close()
        return True
    except TimeoutError:
        return False

pairs = json.loads(sys.argv[2])
with ThreadPoolExecutor(6) as pool:
    for pair, through in zip(pairs, pool.map(connect, pairs)):
        if through:
            print(*pair)
"""
LISTENS = """
import socket
with socket.create_server(("::", 80), family=socket.AF_INET6) as server:
    print("ready", flush=True)
    while True:
        server.accept()[0].close()
"""
# Without a second's search for somebody who has the address already, even a link's own.
AT_ONCE = "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"
# A guest without iptables: a file that is not executable is none.
WITHOUT_IPTABLES = "mount --bind /etc/passwd $(realpath $(command -v iptables-restore))"


class Neighbourhood:
    """The engine's network namespace and another one, joined by a cable. ``tool`` is what the guest makes its rules with."""

    def __init__(self, engine: int, neighbour: int, tool: str) -> None:
        self._engine, self._neighbour, self._tool = engine, neighbour, tool

    def join(self) -> None:
        for process in (self._engine, self._neighbour):
            assert self._run(process, AT_ONCE) == 0
        self.on_guest(f"ip link add outside type veth peer name cable netns {self._neighbour}")
        self.on_guest(f"ip address add {GUEST}/24 dev outside && ip address add {GUEST6}/47 dev outside nodad")
        self.on_guest("ip link set outside up")
        for address in (f"{OFFICE}/24", f"{LOBBY}/24", f"{STREET}/24", f"{OFFICE6}/47 nodad", f"{STREET6}/47 nodad"):
            self._run(self._neighbour, f"ip address add dev cable {address}")
        self._run(self._neighbour, "ip link set cable up")

    def _run(self, process: int, command: str) -> int:
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{process}/ns/net", "unshare", "--mount", "sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.returncode

    def on_guest(self, command: str) -> None:
        assert self._run(self._engine, command) == 0

    def firewall(self, *arguments: str) -> bool:
        """Whether the script has ended well."""
        before = f"PATH=$PATH:/usr/sbin; {WITHOUT_IPTABLES} && " if self._tool == "nft" else ""
        return self._run(self._engine, before + " ".join([str(SCRIPT), *arguments])) == 0

    def flush(self) -> None:
        self.on_guest("nft flush table inet hardshell_published" if self._tool == "nft" else "iptables -t mangle -F")

    def reached(self, guest: str = GUEST, pairs: list[tuple[str, int]] = EVERYBODY) -> list[tuple[str, int]]:
        """The addresses of the neighbour that get through, each with the port."""
        enter = ["nsenter", f"--net=/proc/{self._neighbour}/ns/net", sys.executable, "-c", CONNECTS]
        done = subprocess.run([*enter, guest, json.dumps(pairs)], capture_output=True, text=True, check=True)
        return [(source, int(port)) for source, port in (line.split() for line in done.stdout.splitlines())]


@pytest.fixture(params=["iptables", "nft"])
def neighbourhood(daemon: Daemon, request: pytest.FixtureRequest) -> t.Iterator[Neighbourhood]:
    for tool in ("iptables", "nsenter", request.param):
        if not shutil.which(tool) and not shutil.which(tool, path="/usr/sbin:/sbin"):
            pytest.skip(f"needs {tool}")
    with subprocess.Popen(["unshare", "--net", "sh", "-c", "echo ready; exec cat"], stdin=-1, stdout=-1) as neighbour:
        assert neighbour.stdout is not None
        assert neighbour.stdout.readline() == b"ready\n"
        made = Neighbourhood(daemon.pid, neighbour.pid, request.param)
        made.join()
        yield made
        assert made.firewall("clear")
        # At once, and not when the kernel comes to it: the next test's is called so too.
        made.on_guest("ip link delete outside")


def test_only_the_sources_that_are_named_reach_published_ports(
    engine: Engine, neighbourhood: Neighbourhood, tmp_path: Path
) -> None:
    engine.deploy(
        {"web": {"image": "box:1", "ports": ["8080:80", "8081:80"]}, "api": {"image": "box:1", "links": ["web"]}}
    )
    assert neighbourhood.reached() == EVERYBODY
    rules = tmp_path / "rules"
    rules.write_text(RULES)
    assert not neighbourhood.firewall("check", str(rules))
    for _again in range(2):
        assert neighbourhood.firewall("apply", str(rules))
        assert neighbourhood.firewall("check", str(rules))
    # By the port that is published, not by the container's own.
    assert neighbourhood.reached() == [(OFFICE, 8080), (OFFICE, 8081), (LOBBY, 8081)]
    assert engine.daemon.reaches("shop_api", "web")
    rules.write_text("\n")
    assert not neighbourhood.firewall("check", str(rules))
    assert neighbourhood.firewall("apply", str(rules))
    assert neighbourhood.reached() == []
    for _again in range(2):
        assert neighbourhood.firewall("clear")
    assert neighbourhood.reached() == EVERYBODY


def test_the_rules_hold_for_ipv6_and_a_flush_is_noticed(neighbourhood: Neighbourhood, tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text(f"{OFFICE6}/64 tcp 8080\n")
    ways = [(source, port) for source in (OFFICE6, STREET6) for port in (8080, 8081)]
    inner = [
        "unshare",
        "--net",
        "sh",
        "-c",
        f'{AT_ONCE}; echo ready; read _; exec "$0" -c "$1"',
        sys.executable,
        LISTENS,
    ]
    with subprocess.Popen(inner, stdin=-1, stdout=-1, text=True) as container:
        assert container.stdin is not None
        assert container.stdout is not None
        assert container.stdout.readline() == "ready\n"
        lead = f"PREROUTING -d {GUEST6} -p tcp -m multiport --dports 8080,8081 -j DNAT --to-destination [{INNER6}]:80"
        neighbourhood.on_guest(
            f"ip link add inside type veth peer name eth0 netns {container.pid} && ip address add fd00::1/64 dev inside nodad && "
            f"ip link set inside up && echo 1 >/proc/sys/net/ipv6/conf/all/forwarding && ip6tables -t nat -A {lead} && "
            # Since 27 an engine forwards nothing over IPv6 but to its own containers.
            "ip6tables -I FORWARD -o inside -j ACCEPT && ip6tables -I FORWARD -i inside -j ACCEPT"
        )
        up = f"ip address add {INNER6}/64 dev eth0 nodad && ip link set eth0 up && ip route add default via fd00::1"
        subprocess.run(["nsenter", f"--net=/proc/{container.pid}/ns/net", "sh", "-c", up], check=True)
        container.stdin.write("\n")
        container.stdin.flush()
        assert container.stdout.readline() == "ready\n"
        try:
            assert neighbourhood.reached(GUEST6, ways) == ways
            assert neighbourhood.firewall("apply", str(rules))
            assert neighbourhood.reached(GUEST6, ways) == [(OFFICE6, 8080)]
            assert neighbourhood.firewall("check", str(rules))
            neighbourhood.flush()
            assert not neighbourhood.firewall("check", str(rules))
        finally:
            neighbourhood.on_guest(
                f"ip link delete inside && ip6tables -t nat -D {lead} && "
                "ip6tables -D FORWARD -o inside -j ACCEPT && ip6tables -D FORWARD -i inside -j ACCEPT"
            )
            container.kill()
