# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Uploads whose clients do not behave: what was sent is taken."""

from __future__ import annotations

import hashlib
import json
import socket

import pytest
from api_client import GIB, Api
from xapi_lab.testing import Lab

HEADERS = "PUT {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n"


@pytest.mark.parametrize("size", [100_000, 3_000_000])
def test_an_upload_counts_though_its_client_hangs_up_after_the_last_byte(lab: Lab, api: Api, size: int) -> None:
    vdi, task, body = api.vdi(GIB), api("task.create", "upload", ""), b"x" * (size - 4) + b"tail"
    path = f"/import_raw_vdi?session_id={api.session}&task_id={task}&vdi={vdi}"
    lab.fault("/import_raw_vdi", latency=0.1)  # the lab reads when the client has gone
    with lab.ssl_context.wrap_socket(
        socket.create_connection((lab.host, lab.port)), server_hostname=lab.host
    ) as connection:
        connection.sendall(HEADERS.format(path=path, length=size).encode() + body)
        connection.shutdown(socket.SHUT_WR)
        record = api.task_end(task)
    assert (record["status"], record["error_info"]) == ("success", [])
    uuid = api("VDI.get_uuid", vdi)
    assert lab.run(lambda running: running.storage.digests[uuid]) == hashlib.sha256(body).hexdigest()


def test_a_call_ends_though_its_client_hangs_up(lab: Lab, api: Api) -> None:
    vm = api.vm("left alone", disk=False, nic=False)
    lab.run(lambda inside: inside.database.put_in_map("VM", vm, "current_operations", "DummyRef:|x|y", "clone"))
    call = json.dumps({"jsonrpc": "2.0", "method": "VM.start", "params": [api.session, vm, False, False], "id": 0})
    with lab.ssl_context.wrap_socket(
        socket.create_connection((lab.host, lab.port)), server_hostname=lab.host
    ) as connection:
        connection.sendall(f"POST /jsonrpc HTTP/1.0\r\nContent-Length: {len(call)}\r\n\r\n{call}".encode())
        api.wait(lambda: "VM.start" in lab.calls())
    lab.run(lambda inside: inside.database.remove_from_map("VM", vm, "current_operations", "DummyRef:|x|y"))
    api.wait(lambda: api("VM.get_power_state", vm) == "Running")


def test_an_upload_that_the_role_forbids_fails_its_task() -> None:
    with Lab(accounts=[{"name": "reader", "password": "p", "role": "read-only"}]) as guarded:
        api = Api(guarded)
        session = api.request("session.login_with_password", "reader", "p", "2.21", "tests")
        task = api("task.create", "upload", "")
        path = f"/import_raw_vdi?session_id={session}&task_id={task}&vdi={api.vdi()}"
        assert api.put(path, b"x")[0] == 403
        assert api("task.get_error_info", task)[0] == "RBAC_PERMISSION_DENIED"


def test_a_disk_that_is_gone_leaves_its_task_pending(api: Api) -> None:
    """What names the disk is looked up before the task is taken up (import_raw_vdi.ml, export_raw_vdi.ml)."""
    vdi, task = api.vdi(), api("task.create", "transfer", "")
    api("VDI.destroy", vdi)
    query = f"session_id={api.session}&task_id={task}&vdi={vdi}&format=unknown"
    assert api.put(f"/import_raw_vdi?{query}", b"x")[0] == 500
    assert api.get(f"/export_raw_vdi?{query}", {}).status == 500
    assert api("task.get_status", task) == "pending"
