# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Disks over HTTP: content, sparseness, credentials and what is refused. No VM runs."""

from __future__ import annotations

import base64
import http.client
import socket
from collections.abc import Iterator

import pytest
from api_client import GIB, MIB, Api, Failure
from xapi_lab.testing import Lab

DATA = b"a" * MIB + bytes(14 * MIB) + b"b" * MIB


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab whose disks are files."""
    with Lab(backend="qemu") as running:
        yield running


def put(api: Api, query: str, body: bytes) -> dict[str, object]:
    task = api("task.create", "upload", "")
    api.put(f"/import_raw_vdi?session_id={api.session}&task_id={task}&{query}", body)
    return api.task_end(task)


def get(api: Api, query: str) -> bytes:
    response = api.get(f"/export_raw_vdi/?session_id={api.session}&{query}", {})
    assert (response.status, response.headers["Transfer-Encoding"]) == (200, None)
    content = response.read()
    assert api.task_end(response.headers["task-id"])["status"] == "success"
    return content


def test_zeros_neither_travel_as_vhd_nor_take_room(api: Api) -> None:
    raw, copy = api.vdi(24 * MIB), api.vdi(24 * MIB)
    assert put(api, f"vdi={raw}", DATA)["status"] == "success"
    assert int(api("VDI.get_physical_utilisation", raw)) < 4 * MIB
    vhd = get(api, f"vdi={raw}&format=vhd")
    assert len(vhd) < 6 * MIB
    assert put(api, f"vdi={copy}&format=vhd", vhd)["result"] == f"<value>{copy}</value>"
    assert int(api("VDI.get_physical_utilisation", copy)) < 4 * MIB
    assert get(api, f"vdi={api('VDI.get_uuid', copy)}") == DATA.ljust(24 * MIB, b"\0")


def test_an_upload_into_an_sr_makes_a_disk(api: Api) -> None:
    result = str(put(api, f"sr_id={api.default_sr()}", b"x" * MIB)["result"])
    vdi = result.removeprefix("<value>").removesuffix("</value>")
    assert api("VDI.get_name_label", vdi) == "Imported VDI"
    assert get(api, f"vdi={vdi}")[:MIB] == b"x" * MIB
    refused = put(api, f"sr_id={api.default_sr()}&format=vhd", b"x")
    assert refused["error_info"] == ["INTERNAL_ERROR", "Importing a VHD directly into an SR not yet supported"]
    assert put(api, "format=raw", b"x")["error_info"] == ["VDI_MISSING"]


def test_a_backup_client_gets_the_difference_to_a_snapshot_and_lays_it_over_a_copy(api: Api) -> None:
    vdi = api.vdi(24 * MIB)
    put(api, f"vdi={vdi}", DATA)
    snapshot = api("VDI.snapshot", vdi, {})
    put(api, f"vdi={vdi}", DATA[: 5 * MIB] + b"c" * MIB + DATA[6 * MIB :])
    whole, difference = get(api, f"vdi={snapshot}&format=VHD"), get(api, f"vdi={vdi}&format=vhd&base={snapshot}")
    assert 2 * MIB < len(difference) < 3 * MIB < len(whole)
    restored = api.vdi(24 * MIB)
    assert put(api, f"vdi={restored}&format=vhd", whole)["status"] == "success"
    assert get(api, f"vdi={restored}") == get(api, f"vdi={snapshot}")
    assert put(api, f"vdi={restored}&format=vhd", difference)["status"] == "success"
    assert get(api, f"vdi={restored}") == get(api, f"vdi={vdi}")
    bare = get(api, f"vdi={vdi}&base={api('VDI.get_uuid', snapshot)}")
    assert (bare[: 4 * MIB], bare[4 * MIB : 6 * MIB], bare[6 * MIB :]) == (
        bytes(4 * MIB), bytes(MIB) + b"c" * MIB, bytes(18 * MIB),
    )  # fmt: skip


def test_changed_blocks_are_not_tracked(api: Api) -> None:
    vdi = api.vdi(2 * MIB)
    for call, arguments in (("VDI.enable_cbt", (vdi,)), ("VDI.list_changed_blocks", (vdi, vdi))):
        with pytest.raises(Failure) as failure:
            api(call, *arguments)
        assert failure.value.details == ["SR_OPERATION_NOT_SUPPORTED", api.default_sr()]


def test_what_goes_wrong_after_the_answer_has_begun_is_a_page_in_it(api: Api) -> None:
    task = api("task.create", "export", "")
    query = f"session_id={api.session}&task_id={task}&vdi={api.vdi(2 * MIB)}&format=vhd&base=nowhere"
    response = api.get(f"/export_raw_vdi/?{query}", {})
    assert response.status == 200
    assert response.read().startswith(b"HTTP/1.1 500 Internal Error\r\n")
    assert api.task_end(task)["error_info"] == ["UUID_INVALID", "VDI", "nowhere"]


def test_a_forgotten_disk_is_introduced_again(api: Api) -> None:
    vdi = api.vdi(4 * MIB)
    put(api, f"vdi={vdi}", b"kept")
    uuid, sr = api("VDI.get_uuid", vdi), api.default_sr()
    api("VDI.forget", vdi)
    again = api("VDI.introduce", uuid, "back", "", sr, "user", False, False, {}, uuid, {}, {})
    assert get(api, f"vdi={again}") == b"kept".ljust(4 * MIB, b"\0")


@pytest.mark.parametrize(
    ("format_", "cut", "error"),
    [("raw", 0, []), ("vhd", 0, []), ("raw", 1, ["VDI_IO_ERROR"]), ("vhd", MIB, ["VDI_IO_ERROR"])],
)
def test_an_upload_without_a_length_ends_when_the_disk_is_full(
    lab: Lab, api: Api, format_: str, cut: int, error: list[str]
) -> None:
    source, vdi, task = api.vdi(4 * MIB), api.vdi(4 * MIB), api("task.create", "upload", "")
    put(api, f"vdi={source}", b"q" * 3 * MIB)
    image = get(api, f"vdi={source}&format={format_}")
    path = f"/import_raw_vdi?session_id={api.session}&vdi={vdi}&task_id={task}&format={format_}"
    with (
        socket.create_connection((lab.host, lab.port), 60) as plain,
        lab.ssl_context.wrap_socket(plain, server_hostname=lab.host) as connection,
    ):
        connection.sendall(f"PUT {path} HTTP/1.0\r\nConnection:close\r\n\r\n".encode())
        assert connection.recv(12).endswith(b" 200")
        connection.sendall(image[: len(image) - cut])
        if not cut:
            while connection.recv(65536):
                pass
    assert api.task_end(task)["error_info"][:1] == error
    if not cut:
        assert get(api, f"vdi={vdi}") == get(api, f"vdi={source}")


def test_an_empty_probe_changes_nothing(api: Api) -> None:
    vdi = api.vdi(2 * MIB)
    status, headers = api.put(f"/import_raw_vdi/?session_id={api.session}&vdi={vdi}", b"")
    assert (status, api.task_end(headers["task-id"] or "")["status"]) == (200, "success")
    assert int(api("VDI.get_physical_utilisation", vdi)) == 0


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [("format=tape", {}, 404), ("", {"Authorization": "Basic !!!"}, 401)],
)
def test_exports_that_are_refused(api: Api, query: str, headers: dict[str, str], status: int) -> None:
    session = "" if headers else f"&session_id={api.session}"
    assert api.get(f"/export_raw_vdi?vdi={api.vdi(2 * MIB)}&{query}{session}", headers).status == status


def test_name_and_password_do_instead_of_a_session(lab: Lab, api: Api) -> None:
    sessions = len(lab.records("session"))
    authorization = base64.b64encode(f"root:{lab.password}".encode()).decode()
    response = api.get(f"/export_raw_vdi?vdi={api.vdi(2 * MIB)}", {"Authorization": f"Basic {authorization}"})
    assert (response.status, len(response.read())) == (200, 2 * MIB)
    assert len(lab.records("session")) == sessions


def test_chunks_are_refused(lab: Lab, api: Api) -> None:
    vdi, task = api.vdi(GIB), api("task.create", "upload", "")
    connection = http.client.HTTPSConnection(lab.host, lab.port, context=lab.ssl_context)
    path = f"/import_raw_vdi?session_id={api.session}&task_id={task}&vdi={vdi}"
    connection.request("PUT", path, iter([b"x" * 1000]), encode_chunked=True)
    assert connection.getresponse().status == 404
    assert api.task_end(task)["error_info"] == ["INTERNAL_ERROR", "Cannot handle encoding: chunked"]
