# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Envelopes, encodings and HTTP answers."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import xmlrpc.client

import pytest
from api_client import NULL, Api, Failure
from xapi_lab.testing import Lab


def _post(lab: Lab, path: str, body: str, method: str = "POST") -> tuple[int, str, str]:
    connection = http.client.HTTPSConnection(lab.host, lab.port, context=lab.ssl_context)
    connection.request(method, path, body)
    response = connection.getresponse()
    return response.status, response.headers["Content-Type"] or "", response.read().decode()


def _xml(method: str, *params: object) -> str:
    return xmlrpc.client.dumps(params, method)


@pytest.mark.parametrize("path", ["/", "/RPC2", "/xmlrpc", "/anything/else"])
def test_any_post_path_is_xml_rpc(lab: Lab, path: str) -> None:
    status, content_type, body = _post(lab, path, _xml("session.login_with_password", "root", lab.password))
    assert (status, content_type) == (200, "text/xml")
    assert body.startswith(
        '<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status</name>'
        "<value>Success</value></member><member><name>Value</name><value>OpaqueRef:"
    )


def test_xml_values(lab: Lab, api: Api) -> None:
    vm = api.vm("wire<&>")
    body = _post(lab, "/", _xml("VM.get_record", api.session, vm))[2]
    assert "<name>name_label</name><value>wire&lt;&amp;&gt;</value>" in body
    assert "<name>VCPUs_max</name><value>1</value>" in body
    assert "<name>is_a_template</name><value><boolean>0</boolean></value>" in body
    assert "<name>HVM_shadow_multiplier</name><value><double>1</double></value>" in body
    assert "<dateTime.iso8601>19700101T00:00:00Z</dateTime.iso8601>" in body
    assert _post(lab, "/", _xml("VM.set_name_description", api.session, vm, ""))[2].endswith(
        "<name>Value</name><value></value></member></struct></value></param></params></methodResponse>"
    )


def test_xml_failure(lab: Lab, api: Api) -> None:
    body = _post(lab, "/", _xml("VM.get_record", api.session, "OpaqueRef:x"))[2]
    assert (
        "<name>ErrorDescription</name><value><array><data><value>HANDLE_INVALID</value><value>VM</value>"
        "<value>OpaqueRef:x</value></data></array></value>" in body
    )


def test_list_methods_is_bare(lab: Lab) -> None:
    ((methods,), _) = xmlrpc.client.loads(_post(lab, "/", _xml("system.listMethods"))[2])
    assert "VM.start" in methods
    assert "VM.get_all_records_where" in methods


def test_json_rpc_shapes(lab: Lab, api: Api) -> None:
    def ask(request: dict[str, object]) -> dict[str, object]:
        status, content_type, body = _post(lab, "/jsonrpc", json.dumps(request))
        assert (status, content_type) == (200, "application/json")
        answer: dict[str, object] = json.loads(body)
        return answer

    host = api("host.get_all")[0]
    assert ask({"jsonrpc": "2.0", "method": "VM.get_uuid", "params": [api.session, "x"], "id": 0}) == {
        "jsonrpc": "2.0", "error": {"code": 1, "message": "HANDLE_INVALID", "data": ["VM", "x"]}, "id": 0,
    }  # fmt: skip
    assert ask({"method": "VM.get_uuid", "params": [api.session, "x"], "id": "a"}) == {
        "result": None, "error": ["HANDLE_INVALID", "VM", "x"], "id": "a",
    }  # fmt: skip
    assert ask({"method": "host.get_enabled", "params": [api.session, host], "id": 7}) == {
        "result": True, "error": None, "id": 7,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", "<methodCall><foo"),
        ("/", ""),
        ("/jsonrpc", "{bad"),
        ("/jsonrpc", "[]"),
        ("/jsonrpc", '{"method": "x"}'),
        ("/jsonrpc", r'{"method": "VM.get_uuid", "params": ["\ud800"], "id": 0}'),
    ],
)
def test_malformed_requests_are_http_500(lab: Lab, path: str, body: str) -> None:
    status, content_type, answer = _post(lab, path, body)
    assert (status, content_type) == (500, "text/html")
    assert "Additional information" in answer


def test_other_verbs(lab: Lab) -> None:
    assert _post(lab, "/", "", "GET")[0] == 403
    assert _post(lab, "/", "x", "PUT")[0] == 403
    assert _post(lab, "/", "", "PATCH")[0] == 501
    assert _post(lab, "/", "", "OPTIONS")[0] == 200


def test_a_body_over_the_limit_is_refused(lab: Lab) -> None:
    assert _post(lab, "/", " " * (300 * 1024 + 1))[0] == 500


@pytest.mark.parametrize(
    ("method", "params", "error"),
    [
        ("VM.nosuch", [], ["MESSAGE_METHOD_UNKNOWN", "VM.nosuch"]),
        ("VM.get_record", [], ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "1", "0"]),
        ("VM.get_all", ["x"], ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_all", "0", "1"]),
        ("VM.get_record", [5], ["INTERNAL_ERROR", "Failure(\"Expected string, got 'I(5)'\")"]),
        ("VM.get_record", [NULL], ["HANDLE_INVALID", "VM", NULL]),
        ("VM.get_by_uuid", ["zz"], ["UUID_INVALID", "VM", "zz"]),
        ("Async.VM.get_all", [], ["Fault", "No async mode for this operation (rpc: VM.get_all)"]),
        ("VM.set_power_state", ["x", "Running"], ["MESSAGE_METHOD_UNKNOWN", "VM.set_power_state"]),
        ("VDI.resize_online", ["x", 1], ["MESSAGE_REMOVED"]),
    ],
)
def test_errors_before_any_behaviour(api: Api, method: str, params: list[object], error: list[str]) -> None:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    assert failure.value.details == error


def test_wrong_password(lab: Lab, api: Api) -> None:
    with pytest.raises(Failure) as failure:
        api.request("session.login_with_password", "root", "wrong")
    assert failure.value.details == ["SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure"]


def test_logged_out_sessions_are_invalid(lab: Lab) -> None:
    client = Api(lab)
    client("session.logout")
    with pytest.raises(Failure) as failure:
        client("VM.get_all")
    assert failure.value.details == ["SESSION_INVALID", client.session]


def test_the_certificate_is_trusted_through_the_labs_ca_only(lab: Lab) -> None:
    import ssl

    connection = http.client.HTTPSConnection(lab.host, lab.port, context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("POST", "/", "")


def test_the_connection_is_as_xapi_lets_it_be(lab: Lab) -> None:
    """TLS 1.2 with a key of RSA (tls_policy.ml): what Go's SDK asks for, and newer clients have to put up with."""
    context = ssl.create_default_context(cafile=lab.ca_path)
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    with context.wrap_socket(socket.create_connection((lab.host, lab.port)), server_hostname=lab.host) as connection:
        assert (connection.version(), connection.cipher()[0]) == ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with socket.create_connection((lab.host, lab.port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname=lab.host)
