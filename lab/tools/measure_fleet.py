# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Measure fleets in the `namespace` backend, as root: python tools/measure_fleet.py [numbers of VMs, 1 10 20]."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import XenAPI
from xapi_lab.testing import Lab

GIB = 2**30


def make_template(xapi: Any) -> str:
    """A template with an empty root disk and an interface."""
    template: str = xapi.VM.clone(xapi.VM.get_by_name_label("Debian Bookworm 12")[0], "guest")
    xapi.VM.remove_from_other_config(template, "disks")
    nothing = {"other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}
    disk = xapi.VDI.create(
        {"name_label": "root", "SR": xapi.pool.get_default_SR(xapi.pool.get_all()[0]), "virtual_size": str(GIB),
         "type": "user", "sharable": False, "read_only": False, "other_config": {}}
    )  # fmt: skip
    xapi.VBD.create({"VM": template, "VDI": disk, "userdevice": "0", "bootable": True, "mode": "RW", "type": "Disk",
                     "empty": False, **nothing})  # fmt: skip
    network = next(ref for ref, record in xapi.network.get_all_records().items() if record["PIFs"])
    xapi.VIF.create({"VM": template, "network": network, "device": "0", "MAC": "", "MTU": "1500", **nothing})
    return template


def await_greeting(address: str) -> None:
    """Until the SSH server of a guest greets."""
    while True:
        try:
            with socket.create_connection((address, 22), 10) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        except OSError:
            time.sleep(0.02)


def await_docker(process: int) -> None:
    """Until the Docker Engine of the guest with this process 1 answers; the question starts it."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"/proc/{process}/root/run/docker.sock")
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)


class Fleet:
    def __init__(self, lab: Lab, number: int) -> None:
        self._lab, self._number = lab, number
        session = XenAPI.Session(lab.url, ignore_ssl=True)
        session.xenapi.login_with_password(lab.username, lab.password)
        self._xapi = session.xenapi
        self._pool = ThreadPoolExecutor(number)

    def start(self) -> None:
        template = make_template(self._xapi)
        vms = [self._xapi.VM.clone(template, f"vm-{count}") for count in range(self._number)]
        for vm in vms:
            self._xapi.VM.provision(vm)
        tasks = [self._xapi.Async.VM.start(vm, False, False) for vm in vms]
        while not all(self._address(vm) for vm in vms):
            failed = [record["error_info"] for record in map(self._xapi.task.get_record, tasks) if record["error_info"]]
            if failed:
                sys.exit(f"a VM did not start: {failed[0]}")
            time.sleep(0.1)
        list(self._pool.map(await_greeting, map(self._address, vms)))
        self._uuids = [self._xapi.VM.get_uuid(vm) for vm in vms]

    def _address(self, vm: str) -> str:
        metrics = self._lab.records("VM_guest_metrics").get(self._xapi.VM.get_guest_metrics(vm), {})
        address: str = metrics.get("networks", {}).get("0/ip", "")
        return address

    def ask_docker(self) -> None:
        folder = Path(self._lab.state_dir) / "machines"
        list(self._pool.map(await_docker, [int((folder / uuid / "pid").read_text()) for uuid in self._uuids]))

    def usage(self) -> tuple[float, int]:
        """CPU seconds and bytes of memory of all guests together."""

        async def measure() -> list[Any]:
            return [await self._lab.state.machines.usage(uuid) for uuid in self._uuids]

        used = asyncio.run_coroutine_threadsafe(measure(), self._lab._loop).result()
        return sum(sum(one.cpu_seconds) for one in used), sum(one.memory for one in used)


def measure(number: int) -> None:
    with Lab(backend="namespace", hosts=[{"name": "one", "cpus": 4 * number, "memory": (4 * number + 8) * GIB}]) as lab:
        fleet = Fleet(lab, number)
        steps: list[tuple[str, Callable[[], None]]] = [
            ("from clone to SSH", fleet.start),
            ("then, to an answer of Docker", fleet.ask_docker),
        ]
        for what, step in steps:
            clock = time.perf_counter()
            step()
            elapsed, (seconds, memory) = time.perf_counter() - clock, fleet.usage()
            print(
                f"| {number} VMs, {what} | {elapsed:.1f} s | {seconds:.1f} s | {memory / 2**20:.0f} MiB |", flush=True
            )
        clock = time.perf_counter()
    print(f"| {number} VMs, down | {time.perf_counter() - clock:.1f} s | | |", flush=True)


if __name__ == "__main__":
    print("| what | elapsed | CPU of guests so far | memory of guests |\n|---|---|---|---|")
    for count in map(int, sys.argv[1:] or ("1", "10", "20")):
        measure(count)
