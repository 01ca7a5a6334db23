# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A small JSON-RPC client for the tests."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from typing import Any

from xapi_lab.testing import Lab

NULL = "OpaqueRef:NULL"
MIB = 2**20
GIB = 2**30


class Failure(Exception):
    """An error that the lab reported; `details` is code and parameters."""

    def __init__(self, details: list[str]) -> None:
        self.details = details
        super().__init__(" ".join(details))


class Api:
    """One keep-alive connection and one session."""

    def __init__(self, lab: Lab, *, host: str = "", log_in: bool = True) -> None:
        """`host`: the address of the member that is asked; the first host otherwise."""
        self._lab = lab
        self._connection = http.client.HTTPSConnection(host or lab.host, lab.port, context=lab.ssl_context)
        self.session = ""
        if log_in:
            self.log_in(lab)

    def log_in(self, lab: Lab) -> None:
        self.session = self.request("session.login_with_password", "root", lab.password, "2.21", "tests")

    def request(self, method: str, *params: Any) -> Any:
        """A call without the session in front."""
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 0})
        self._connection.request("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        if "error" in answer:
            raise Failure([answer["error"]["message"], *answer["error"]["data"]])
        return answer["result"]

    def __call__(self, method: str, *params: Any) -> Any:
        return self.request(method, self.session, *params)

    def put(
        self, path: str, body: bytes, length: int | None = None, host: str = ""
    ) -> tuple[int, http.client.HTTPMessage]:
        """PUT a body; `length` is the Content-Length that it claims to have."""
        connection = http.client.HTTPSConnection(host or self._lab.host, self._lab.port, context=self._lab.ssl_context)
        connection.putrequest("PUT", path)
        connection.putheader("Content-Length", str(len(body) if length is None else length))
        connection.endheaders()
        connection.send(body)
        if length is not None and length > len(body):
            connection.sock.close()
            return 0, http.client.HTTPMessage()
        response = connection.getresponse()
        response.read()
        return response.status, response.headers

    def put_chunked(self, path: str, body: bytes) -> int:
        """The status of a PUT whose body is sent in HTTP's chunks."""
        connection = http.client.HTTPSConnection(self._lab.host, self._lab.port, context=self._lab.ssl_context)
        connection.request("PUT", path, iter([body]), encode_chunked=True)
        return connection.getresponse().status

    def get(self, path: str, headers: dict[str, str], host: str = "") -> http.client.HTTPResponse:
        """GET a path, over a connection of its own."""
        connection = http.client.HTTPSConnection(host or self._lab.host, self._lab.port, context=self._lab.ssl_context)
        connection.request("GET", path, headers=headers)
        return connection.getresponse()

    def wait(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """What a condition gives once it is true; looks again at each event."""
        deadline, token = time.monotonic() + seconds, ""
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            token = self("event.from", ["*"], token, 1.0)["token"]
        raise AssertionError(f"not true within {seconds} seconds")

    def task_end(self, task: str) -> dict[str, Any]:
        """The record of a task once it has ended."""
        self.wait(lambda: self("task.get_status", task) not in {"pending", "cancelling"})
        record: dict[str, Any] = self("task.get_record", task)
        return record

    # --- objects that many tests need

    def default_sr(self) -> str:
        sr: str = self("pool.get_default_SR", self("pool.get_all")[0])
        return sr

    def nat_network(self) -> str:
        networks: dict[str, Any] = self("network.get_all_records")
        return next(ref for ref, network in networks.items() if network["PIFs"])

    def vdi(self, size: int = GIB, **fields: Any) -> str:
        ref: str = self(
            "VDI.create",
            {"name_label": "disk", "SR": self.default_sr(), "virtual_size": size, "type": "user", "sharable": False,
             "read_only": False, "other_config": {}, **fields},
        )  # fmt: skip
        return ref

    def vbd(self, vm: str, vdi: str, device: str = "0", **fields: Any) -> str:
        ref: str = self(
            "VBD.create",
            {"VM": vm, "VDI": vdi, "userdevice": device, "bootable": device == "0", "mode": "RW", "type": "Disk",
             "empty": vdi == NULL, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}, **fields},
        )  # fmt: skip
        return ref

    def vif(self, vm: str, device: str = "0", network: str = "", **fields: Any) -> str:
        ref: str = self(
            "VIF.create",
            {"VM": vm, "network": network or self.nat_network(), "device": device, "MAC": "", "MTU": 1500,
             "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}, **fields},
        )  # fmt: skip
        return ref

    def vm(self, name: str, template: str = "Generic Linux BIOS", *, disk: bool = True, nic: bool = True) -> str:
        """A halted VM from a shipped template."""
        ref: str = self("VM.clone", self("VM.get_by_name_label", template)[0], name)
        self("VM.remove_from_other_config", ref, "disks")
        self("VM.provision", ref)
        if disk:
            self.vbd(ref, self.vdi())
        if nic:
            self.vif(ref)
        return ref

    def running_vm(self, name: str) -> str:
        """A running VM whose guest has reported its address."""
        vm = self.vm(name)
        self("VM.start", vm, False, False)
        self.wait(lambda: self.addresses(vm))
        return vm

    def addresses(self, vm: str) -> dict[str, str]:
        metrics = self("VM.get_guest_metrics", vm)
        networks: dict[str, str] = self("VM_guest_metrics.get_networks", metrics) if metrics != NULL else {}
        return networks
