# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Small things by which a client could tell a pool from a real one, and that no other test is about."""

from __future__ import annotations

import http.client
import json
import xmlrpc.client
from typing import Any

import pytest
from api_client import MIB, NULL, Api, Failure
from xapi_lab.testing import Lab


class Wire:
    """One keep-alive connection; XML-RPC or JSON-RPC by path."""

    def __init__(self, lab: Lab) -> None:
        self.connection = http.client.HTTPSConnection(lab.host, lab.port, context=lab.ssl_context)

    def answer(self, verb: str, path: str, body: str | bytes = b"") -> tuple[http.client.HTTPResponse, bytes]:
        self.connection.request(verb, path, body)
        response = self.connection.getresponse()
        return response, response.read()

    def xml(self, method: str, *params: Any, path: str = "/") -> Any:
        value: Any = xmlrpc.client.loads(self.answer("POST", path, xmlrpc.client.dumps(params, method))[1].decode())[0][
            0
        ]
        return value

    def json(self, method: str, *params: Any, path: str = "/jsonrpc") -> Any:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 0})
        return json.loads(self.answer("POST", path, body)[1])


@pytest.fixture
def wire(lab: Lab) -> Wire:
    return Wire(lab)


def refused(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api.request(method, *params)
    return failure.value.details


def test_the_headers_of_an_answer_are_xapis_alone(wire: Wire) -> None:
    common = {"connection", "cache-control", "content-type", "content-length"}
    call, body = wire.answer("POST", "/", xmlrpc.client.dumps((), "system.listMethods"))
    socket = wire.connection.sock
    assert {name.lower() for name in call.headers} == common | {
        "access-control-allow-origin", "access-control-allow-headers",
    }  # fmt: skip
    assert (call.headers["Content-Length"], call.headers["Connection"]) == (str(len(body)), "keep-alive")
    wire.answer("POST", "/jsonrpc", json.dumps({"method": "system.listMethods", "params": [], "id": 0}))
    assert wire.connection.sock is socket
    for verb, path, sent, status in (
        ("POST", "/", b"no call", 500), ("GET", "/nothing", b"", 403), ("DELETE", "/", b"", 501),
    ):  # fmt: skip
        page, text = wire.answer(verb, path, sent)
        assert (page.status, {name.lower() for name in page.headers}) == (status, common)
        assert (page.headers["Content-Length"], page.headers["Connection"]) == (str(len(text)), "close")


def test_an_archive_names_its_server(lab: Lab, api: Api) -> None:
    vm = api.vm("named", disk=False, nic=False)
    for handler in ("export", "export_metadata"):
        headers = api.get(f"/{handler}?session_id={api.session}&ref={vm}", {}).headers
        assert headers["Server"].startswith("xapi/")
        assert headers["Date"] is None


def test_the_longest_beginning_of_a_path_counts(lab: Lab, wire: Wire, api: Api) -> None:
    assert wire.json("pool.get_all", api.session, path="/jsonrpc/more")["result"]
    assert wire.xml("pool.get_all", api.session, path="/json")["Status"] == "Success"
    assert wire.answer("GET", "/exported")[0].headers["WWW-Authenticate"]
    assert wire.answer("PUT", "/import_raw_vdi/more")[0].status == 401


@pytest.mark.parametrize("number", [7, "7"])
def test_an_int_may_come_as_a_text(wire: Wire, api: Api, number: Any) -> None:
    vm = api.vm("counted", disk=False, nic=False)
    assert wire.xml("VM.set_user_version", api.session, vm, number)["Value"] == ""
    assert wire.xml("VM.get_user_version", api.session, vm)["Value"] == "7"
    assert wire.json("VM.set_user_version", api.session, vm, number)["result"] == ""
    assert wire.json("VM.get_user_version", api.session, vm)["result"] == 7


def test_every_class_that_is_listed_can_be_read(wire: Wire, api: Api) -> None:
    answers = {
        method: wire.json(method, api.session)
        for method in wire.xml("system.listMethods")
        if method.endswith(".get_all_records")
    }
    errors = {method: answer["error"]["message"] for method, answer in answers.items() if "error" in answer}
    assert errors == dict.fromkeys(
        ("VBD_metrics.get_all_records", "VIF_metrics.get_all_records", "VMPP.get_all_records"), "MESSAGE_REMOVED"
    )


def test_a_login_takes_two_to_four_values(lab: Lab, api: Api) -> None:
    given = ["root", lab.password, "2.21", "somebody", "surplus"]
    for count in (2, 3, 4, 5):
        session = api.request("session.login_with_password", *given[:count])
        assert api("session.get_originator", session) == ("somebody" if count > 3 else "")
    method = "session.login_with_password"
    assert refused(api, method, "root") == ["MESSAGE_PARAMETER_COUNT_MISMATCH", method, "2", "1"]
    assert refused(api, "VM.start") == ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.start", "3", "-1"]


def test_tasks_are_counted_as_long_as_they_are_there(api: Api) -> None:
    def tasks() -> int:
        return int(api("event.from", ["task"], "", 1.0)["valid_ref_counts"]["task"])

    before = tasks()
    task = api("Async.VM.clone", api("VM.get_by_name_label", "Generic Linux BIOS")[0], "counted")
    assert api.task_end(task)["result"].startswith("<value>OpaqueRef:")
    assert tasks() == before + 1
    api("task.destroy", task)
    assert tasks() == before


def test_a_client_that_does_not_know_the_length_says_a_pebibyte(lab: Lab, api: Api) -> None:
    vdi, task = api.vdi(4 * MIB), api("task.create", "upload", "")
    path = f"/import_raw_vdi?session_id={api.session}&task_id={task}&vdi={vdi}"
    connection = http.client.HTTPSConnection(lab.host, lab.port, context=lab.ssl_context)
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", str(2**50))
    connection.endheaders()
    response = connection.getresponse()  # before a byte of the disk was sent
    assert (response.status, response.headers["task-id"]) == (200, task)
    assert response.headers["content-type"] == "application/octet-stream"
    response.close()
    connection.close()
    api.task_end(task)
    assert api("VDI.get_current_operations", vdi) == {}


def test_a_disk_of_a_machine_with_firmware_is_writable(api: Api) -> None:
    vm = api.vm("strict")
    vbd = api.vbd(vm, api.vdi(MIB), "7", mode="RO")
    assert refused(api, "VM.start", api.session, vm, False, False) == ["DISK_VBD_MUST_BE_READWRITE_FOR_HVM", vbd]


def test_what_every_pool_has(lab: Lab) -> None:
    hosts, pools = lab.records("host"), lab.records("pool")
    ((pool,), (host,)) = pools.values(), hosts.values()
    assert pool["master"] in hosts
    assert NULL not in (pool["default_SR"], pool["suspend_image_SR"], pool["crash_dump_SR"])
    assert host["metrics"] in lab.records("host_metrics")
    domain = lab.records("VM")[host["control_domain"]]
    assert (domain["is_control_domain"], domain["power_state"], domain["resident_on"]) == (True, "Running", *hosts)
    assert domain["name_label"] == f"Control domain on host: {host['hostname']}"
    restrictions = {name: value for name, value in host["license_params"].items() if name.startswith("restrict_")}
    assert set(restrictions.values()) == {"false"}
    templates = [vm for vm in lab.records("VM").values() if vm["is_default_template"]]
    assert templates
    assert all(vm["is_a_template"] and vm["reference_label"] for vm in templates)
    assert {"pool-admin", "read-only"} <= {role["name_label"] for role in lab.records("role").values()}
    assert {sm["type"] for sm in lab.records("SM").values()} >= {"ext", "iso", "nfs"}
    management = [pif for pif in lab.records("PIF").values() if pif["management"]]
    assert [pif["network"] in lab.records("network") for pif in management] == [True]
