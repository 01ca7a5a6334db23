# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Measure a lab with many VMs in the `none` backend: python tools/measure_scale.py [number of VMs, 10000]."""

from __future__ import annotations

import http.client
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xapi_lab.database import Record
from xapi_lab.lab import Lab as RunningLab
from xapi_lab.testing import Lab
from xapi_lab.values import copy_value

GIB = 2**30


def _copy(lab: RunningLab, class_name: str, source: Record, **changes: Any) -> str:
    kept = {name: value for name, value in source.items() if name not in {"uuid", "allowed_operations"}}
    return lab.database.create(class_name, {**copy_value(kept), **changes})


def add_vms(lab: RunningLab, number: int) -> None:
    """VMs with a disk and an interface each, copied from a template."""
    database = lab.database
    template = next(record for _, record in database.records("VM") if record["reference_label"] == "debian-12")
    sr, network = database.refs("SR")[0], database.refs("network")[0]
    for count in range(number):
        metrics = database.create("VM_metrics", {})
        vm = _copy(lab, "VM", template, name_label=f"vm-{count}", is_a_template=False, is_default_template=False,
                   metrics=metrics)  # fmt: skip
        vdi = database.create("VDI", {"name_label": f"disk-{count}", "SR": sr, "virtual_size": GIB, "managed": True})
        database.create("VBD", {"VM": vm, "VDI": vdi, "userdevice": "0", "mode": "RW", "type": "Disk"})
        database.create(
            "VIF",
            {"VM": vm, "network": network, "device": "0", "MAC": f"02:00:00:00:{count >> 8:02x}:{count & 255:02x}"},
        )


class Client:
    def __init__(self, lab: Lab) -> None:
        self._connection = http.client.HTTPSConnection(lab.host, lab.port, context=lab.ssl_context)
        self._session = json.loads(self._post("/jsonrpc", "session.login_with_password", "root", lab.password))[
            "result"
        ]

    def _post(self, path: str, method: str, *params: Any) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 0})
        self._connection.request("POST", path, body)
        return self._connection.getresponse().read()

    def call(self, method: str, *params: Any) -> bytes:
        return self._post("/jsonrpc", method, self._session, *params)


def timed(what: str, work: Callable[[], Any]) -> Any:
    processor, clock = time.process_time(), time.perf_counter()
    result = work()
    size = f", {len(result) / 2**20:.1f} MiB" if isinstance(result, bytes) else ""
    print(f"{what}: {time.perf_counter() - clock:.2f} s ({time.process_time() - processor:.2f} s of one core{size})")
    return result


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(backend="none", state_dir=Path(folder) / "state")
        lab.start()
        timed(f"making {number} VMs", lambda: lab.run(lambda running: add_vms(running, number)))
        lab.stop(keep_machines=True)
        if os.fork():
            os.wait()
            return
        os.execv(sys.executable, [sys.executable, __file__, "--measure", str(lab.state_dir)])


def measure(state_dir: str) -> None:
    lab = Lab(backend="none", state_dir=state_dir)
    timed("start", lab.start)
    print(f"memory: {_resident():.0f} MiB")
    client = Client(lab)
    timed("VM.get_all_records", lambda: client.call("VM.get_all_records"))
    timed("VM.get_by_name_label", lambda: client.call("VM.get_by_name_label", "vm-77"))
    first = timed("event.from, empty token, classes vm", lambda: client.call("event.from", ["vm"], "", 1.0))
    token = json.loads(first)["result"]["token"]
    del first
    vm = json.loads(client.call("VM.get_by_name_label", "vm-77"))["result"][0]
    client.call("VM.set_name_description", vm, "changed")
    timed("event.from after one change", lambda: client.call("event.from", ["vm"], token, 1.0))
    timed("VM.start", lambda: client.call("VM.start", vm, False, False))
    print(f"most memory, client included: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    lab.stop(keep_machines=True)


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2])
    else:
        main()
