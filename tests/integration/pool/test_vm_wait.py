# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting for a guest's agent, its address and its SSH server, within one deadline."""

from __future__ import annotations

import socket
import threading
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager

if t.TYPE_CHECKING:
    from conftest import Pool

VM = {
    "name": "shop",
    "tenant": "acme",
    "template": "Debian Bookworm 12",
    "networks": [{"name": "front", "network": "Pool-wide network associated with eth0"}],
    "state": "running",
}


@contextmanager
def server(greeting: bytes) -> Iterator[int]:
    """Something that listens on every address of this machine, which the lab's guests have theirs from. Gives its port."""
    with socket.create_server(("", 0)) as listening:

        def greet() -> None:
            while True:
                try:
                    connection, _peer = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_agent_address_and_ssh_server_are_waited_for(pool: Pool) -> None:
    with server(b"SSH-2.0-test\r\n") as port:
        wait = {"guest_agent": True, "ssh": True, "ssh_port": port, "timeout": 60}
        made = pool.ok("vm", **VM, wait_for=wait)["vm"]
        assert made["address"].startswith("127.")
        again = pool.ok("vm", **VM, wait_for=wait)
    assert not again["changed"]
    assert again["vm"] == made
    (metrics,) = pool.lab.records("VM_guest_metrics").values()
    assert metrics["PV_drivers_version"]


def test_what_is_no_ssh_server_is_told(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("vm", **VM, wait_for={"address": "true"})
    with server(b"220 mail") as port:
        result = pool.run("vm", **VM, wait_for={"ssh": True, "ssh_port": port, "timeout": 1})
    assert "wait_for.ssh" in result["msg"]
    assert "no SSH server" in result["msg"]
    result = pool.run("vm", **VM, wait_for={"ssh": True, "ssh_port": port, "timeout": 1})
    assert "refused" in result["msg"]


def test_an_address_of_a_vm_without_an_interface_is_not_waited_for(controller_pool: Pool) -> None:
    bare = {**VM, "networks": []}
    assert "no interface" in controller_pool.refused("vm", **bare, wait_for={"address": "true"})
    controller_pool.ok("vm", **bare, wait_for={"guest_agent": True})
