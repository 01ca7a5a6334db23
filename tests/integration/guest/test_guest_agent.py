# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guest image tells XAPI: its agent in a network namespace with real interfaces, and a folder in the place of xenstore."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
import typing as t
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "roles/guest_image/files/hardshell-guest-agent.sh"
XENSTORE = {
    "xenstore-read": 'cat "{store}/$1"',
    "xenstore-rm": 'rm -r "{store}/$1"',
    "xenstore-write": 'mkdir -p "{store}/$(dirname "$1")" && printf %s "$2" >"{store}/$1" && echo "$1" >"{written}"',
}
# Two interfaces of Xen's and one of Docker's; the machine's own /sys is not looked at.
START = """
set -e
mount --bind {folder}/net /sys/class/net
for interface in enX0 enX1 docker0; do
    ip link add $interface type veth peer name $interface.peer
    for end in $interface $interface.peer; do ip link set $end addrgenmode none up; done
done
ip address add 192.0.2.5/24 dev enX0
ip -6 address add 2001:db8::5/64 dev enX0 nodad
ip address add 172.17.0.1/16 dev docker0
exec bash {script}
"""


SECONDS = 60


class Guest:
    def __init__(self, store: Path, written: int, process: subprocess.Popen[bytes]) -> None:
        self._store = store
        self._written = written
        self._process = process
        self._keys: list[bytes] = []
        self._rest = b""

    def await_update(self) -> None:
        """Wait until XAPI would look again."""
        while b"data/updated" not in self._keys:
            if select.select([self._written], [], [], 1)[0]:
                *keys, self._rest = (self._rest + os.read(self._written, 4096)).split(b"\n")
                self._keys += keys
            else:
                assert self._process.poll() is None, "the agent has ended"
        del self._keys[: self._keys.index(b"data/updated") + 1]

    def await_told(self, below: str, wanted: t.Collection[str] | dict[str, str]) -> None:
        """Wait until XAPI has been told just that, or those keys: an update may be of the free memory alone."""
        end = time.monotonic() + SECONDS
        while True:
            self.await_update()
            told = self.told(below)
            if (told if isinstance(wanted, dict) else told.keys()) == wanted:
                return
            assert time.monotonic() < end, told

    def address(self, *arguments: str) -> None:
        within = ["nsenter", "--target", str(self._process.pid), "--net"]
        subprocess.run([*within, "ip", "address", *arguments], check=True)

    def told(self, below: str) -> dict[str, str]:
        found = self._store / below
        return {str(path.relative_to(found)): path.read_text() for path in found.rglob("*") if path.is_file()}

    def forget(self) -> None:
        shutil.rmtree(self._store / "attr")
        shutil.rmtree(self._store / "data")


@pytest.fixture
def guest(tmp_path: Path) -> t.Iterator[Guest]:
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("a network namespace of one's own needs root and unshare")
    store, written = tmp_path / "store", tmp_path / "written"
    for device, interface in {"0": "enX0", "1": "enX1"}.items():
        (tmp_path / "net" / interface / "device").mkdir(parents=True)
        (tmp_path / "net" / interface / "device" / "nodename").write_text(f"device/vif/{device}\n")
    (tmp_path / "bin").mkdir()
    for name, text in XENSTORE.items():
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n" + text.format(store=store, written=written) + "\n")
        (tmp_path / "bin" / name).chmod(0o755)
    os.mkfifo(written)
    command = ["unshare", "--net", "--mount", "sh", "-c", START.format(folder=tmp_path, script=SCRIPT)]
    environment = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}:/usr/sbin:/sbin"}
    with subprocess.Popen(command, env=environment, start_new_session=True) as process:
        # For reading and writing: a pipe that nobody writes to would end.
        pipe = os.open(written, os.O_RDWR)
        yield Guest(store, pipe, process)
        os.close(pipe)
        os.killpg(process.pid, signal.SIGKILL)


def test_addresses_are_told_as_they_change(guest: Guest) -> None:
    guest.await_told("attr/vif", {"0/ipv4/0": "192.0.2.5", "0/ipv6/0": "2001:db8::5"})

    guest.address("add", "198.51.100.7/24", "dev", "enX1")
    guest.await_told("attr/vif", {"0/ipv4/0": "192.0.2.5", "0/ipv6/0": "2001:db8::5", "1/ipv4/0": "198.51.100.7"})

    guest.address("add", "203.0.113.9/24", "dev", "enX0")
    guest.address("delete", "192.0.2.5/24", "dev", "enX0")
    guest.await_told("attr/vif/0", {"ipv4/0": "203.0.113.9", "ipv6/0": "2001:db8::5"})


def test_a_xenstore_that_knows_nothing_is_told_all_again(guest: Guest) -> None:
    """As after a suspend."""
    guest.await_update()
    before = guest.told("")
    assert {"attr/PVAddons/MajorVersion", "data/os_name", "data/os_distro", "data/meminfo_free"} <= before.keys()
    guest.forget()
    guest.address("add", "198.51.100.7/24", "dev", "enX1")
    guest.await_told("", {*before, "attr/vif/1/ipv4/0"})
