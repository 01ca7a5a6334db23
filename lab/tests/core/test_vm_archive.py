# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""VMs as archives: what is exported comes back, disk by disk, and what is damaged is refused. No VM runs."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import http.client
import io
import socket
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from api_client import MIB, NULL, Api
from hypothesis import given, settings
from hypothesis import strategies as st
from xapi_lab.compression import GZIP, ZSTD, zstd_library
from xapi_lab.errors import XapiError
from xapi_lab.http_handlers import vm_archive
from xapi_lab.testing import Lab
from xapi_lab.wire.xmlrpc import decode_value
from xapi_lab.xva import BLOCK, END, Archive, block_files, blocks_of, tar_file
from xxhash import xxh64_hexdigest

DATA = b"a" * 100 + bytes(4 * MIB - 100) + b"b" * 200_000 + bytes(MIB) + b"c"


# --- the format


async def _chunks(data: bytes, length: int = 70_001) -> AsyncIterator[bytes]:
    for start in range(0, len(data), length):
        yield data[start : start + length]


async def _extents(blocks: dict[int, bytes]) -> AsyncIterator[tuple[int, bytes]]:
    for number, content in sorted(blocks.items()):
        yield number * BLOCK, content


def read(archive: bytes, *, force: bool = False) -> list[tuple[str, int, bytes]]:
    async def work() -> list[tuple[str, int, bytes]]:
        reader = Archive(_chunks(archive))
        await reader.metadata()
        return [block async for block in reader.blocks(force=force)]

    return asyncio.run(work())


def written(blocks: dict[int, bytes], size: int) -> bytes:
    async def work() -> bytes:
        files = [block_files("Ref:3", number, content) async for number, content in blocks_of(_extents(blocks), size)]
        return tar_file("ova.xml", b"<value/>") + b"".join(files) + END

    return asyncio.run(work())


@settings(max_examples=8, deadline=None)
@given(
    length=st.integers(1, 6),
    numbers=st.sets(st.integers(0, 5)),
    pack=st.sampled_from([bytes, zstd_library().compress, lambda data: gzip.compress(data, 1), lambda data: b"".join(
        gzip.compress(part, 1) for part in (data[:700], data[700:])
    )]),
)  # fmt: skip
def test_blocks_of_zeros_are_left_out_but_the_first_and_the_last(
    length: int, numbers: set[int], pack: Callable[[bytes], bytes]
) -> None:
    size = length * BLOCK - 512
    blocks = {number: b"x" * (BLOCK - 512 * (number == length - 1)) for number in numbers if number < length}
    archive = written(blocks, size)
    found = read(pack(archive))
    assert [number for _, number, _ in found] == sorted(blocks.keys() | {0, length - 1})
    assert {number: content for _, number, content in found if content.strip(b"\0")} == blocks
    assert len(found[-1][2]) == BLOCK - 512


def _damaged(archive: bytes, what: str) -> bytes:
    position = archive.index(b"xxxx")
    return {
        "content": archive[:position] + b"y" + archive[position + 1 :],
        "cut off": archive[: position + 100],
        "header": archive.replace(b"Ref:3/00000000", b"Rex:3/00000000", 1),
        "another file first": tar_file("Ref:3/00000000", b"x") + END,
        "no checksum": tar_file("ova.xml", b"") + tar_file("Ref:3/00000000", b"x") + tar_file("other", b"") + END,
        "gzip": gzip.compress(archive, 1)[:30] + b"\xff" * 2000,
        "zstd": zstd_library().compress(archive)[:30] + b"\xff" * 2000,
        "nothing": b"",
    }[what]


@pytest.mark.parametrize(
    ("what", "code"),
    [("content", "IMPORT_ERROR_SOME_CHECKSUMS_FAILED"), ("cut off", "IMPORT_ERROR_PREMATURE_EOF"),
     ("header", "IMPORT_ERROR_UNEXPECTED_FILE"), ("another file first", "IMPORT_ERROR_UNEXPECTED_FILE"),
     ("no checksum", "IMPORT_ERROR_UNEXPECTED_FILE"), ("gzip", "IMPORT_ERROR"), ("zstd", "IMPORT_ERROR"),
     ("nothing", "IMPORT_ERROR_PREMATURE_EOF")],
)  # fmt: skip
def test_a_damaged_archive_is_refused(what: str, code: str) -> None:
    archive = written({0: b"x" * BLOCK}, BLOCK)
    with pytest.raises(XapiError) as error:
        read(_damaged(archive, what))
    assert error.value.code == code


def test_wrong_checksums_are_put_up_with_when_forced() -> None:
    archive = _damaged(written({0: b"x" * BLOCK}, BLOCK), "content")
    assert [number for _, number, _ in read(archive, force=True)] == [0]


def test_the_older_checksum_is_known() -> None:
    files = tar_file("Ref:3/00000000", b"x") + tar_file(
        "Ref:3/00000000.checksum", hashlib.sha1(b"x").hexdigest().encode()
    )
    assert read(tar_file("ova.xml", b"") + files + END) == [("Ref:3", 0, b"x")]


# --- a pool


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab whose disks are files."""
    with Lab(backend="qemu") as running:
        yield running


def upload(api: Api, path: str, content: bytes) -> dict[str, Any]:
    """The record of the task of an import."""
    task = api("task.create", "upload", "")
    api.put(f"{path}{'&' if '?' in path else '?'}session_id={api.session}&task_id={task}", content)
    return api.task_end(task)


def download(api: Api, path: str) -> bytes:
    response = api.get(f"{path}&session_id={api.session}", {})
    assert response.status == 200
    assert response.headers["Transfer-Encoding"] is None
    content = response.read()
    assert api.task_end(response.headers["task-id"])["status"] == "success"
    return content


def refs(record: dict[str, Any]) -> list[str]:
    assert (record["status"], record["error_info"]) == ("success", [])
    found: list[str] = decode_value(record["result"].encode())
    return found


def content(lab: Lab, api: Api, vdi: str) -> bytes:
    return download(api, f"/export_raw_vdi?format=raw&vdi={vdi}")


def disks(api: Api, vm: str) -> dict[str, str]:
    """VDIs by userdevice."""
    vbds = [api("VBD.get_record", vbd) for vbd in api("VM.get_VBDs", vm)]
    return {vbd["userdevice"]: vbd["VDI"] for vbd in vbds}


@pytest.fixture
def vm(lab: Lab, api: Api) -> str:
    """A VM with a disk that is a clone, an empty disk, a CD and a NIC."""
    base = api.vdi(8 * MIB, name_label="system")
    upload(api, f"/import_raw_vdi?vdi={base}", DATA)
    iso_sr = next(ref for ref, sr in api("SR.get_all_records").items() if sr["content_type"] == "iso")
    medium = api.vdi(2 * MIB, SR=iso_sr)
    ref = api.vm("traveller", disk=False)
    api.vbd(ref, api("VDI.clone", base, {}), "0")
    api.vbd(ref, api.vdi(3 * MIB), "1")
    api.vbd(ref, medium, "3", type="CD", mode="RO")
    api("VM.add_to_other_config", ref, "mark", "<kept & escaped>")
    return ref


def test_an_export_is_a_tar_of_records_and_checked_blocks(lab: Lab, api: Api, vm: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(download(api, f"/export?ref={vm}"))) as archive:
        names = archive.getnames()
        files = {name: archive.extractfile(name).read() for name in names}  # type: ignore[union-attr]
    assert names[0] == "ova.xml"
    header = decode_value(files["ova.xml"])
    assert header["version"]["export_vsn"] == "2"
    objects = {item["id"]: item for item in header["objects"]}
    (record,) = [item["snapshot"] for item in objects.values() if item["class"] == "VM"]
    assert record["other_config"]["mark"] == "<kept & escaped>"
    assert {objects[vbd]["class"] for vbd in record["VBDs"]} == {"VBD"}
    by_device = {objects[vbd]["snapshot"]["userdevice"]: objects[vbd]["snapshot"]["VDI"] for vbd in record["VBDs"]}
    numbers = {disk: [name.split("/")[1] for name in names if name.startswith(f"{disk}/") and "." not in name]
               for disk in by_device.values()}  # fmt: skip
    assert numbers[by_device["0"]] == ["00000000", "00000004", "00000005", "00000007"]
    assert numbers[by_device["1"]] == ["00000000", "00000003"]
    assert numbers[by_device["3"]] == []
    for name in names[1::2]:
        assert files[f"{name}.xxhash"].decode() == xxh64_hexdigest(files[name]).upper()


@pytest.mark.parametrize(
    ("wanted", "magic"),
    [("", b"ova.xml"), ("&use_compression=true", GZIP.magic), ("&use_compression=zstd", ZSTD.magic)],
)
def test_an_import_is_a_new_vm_with_the_same_content(lab: Lab, api: Api, vm: str, wanted: str, magic: bytes) -> None:
    archive = download(api, f"/export?uuid={api('VM.get_uuid', vm)}{wanted}")
    assert archive.startswith(magic)
    (new,) = refs(upload(api, "/import", archive))
    old, record = api("VM.get_record", vm), api("VM.get_record", new)
    assert (record["name_label"], record["power_state"], record["current_operations"]) == ("traveller", "Halted", {})
    assert record["other_config"]["mark"] == "<kept & escaped>"
    assert record["uuid"] != old["uuid"]
    assert record["memory_static_max"] == old["memory_static_max"]
    made, source = disks(api, new), disks(api, vm)
    assert made["3"] == source["3"]
    assert content(lab, api, made["0"]) == content(lab, api, source["0"]) == DATA.ljust(8 * MIB, b"\0")
    assert api("VDI.get_virtual_size", made["1"]) == api("VDI.get_virtual_size", source["1"])
    assert int(api("VDI.get_physical_utilisation", made["0"])) < 4 * MIB
    (old_vif,), (new_vif,) = old["VIFs"], record["VIFs"]
    assert api("VIF.get_network", new_vif) == api("VIF.get_network", old_vif)
    assert api("VIF.get_MAC", new_vif) != api("VIF.get_MAC", old_vif)


def test_a_restored_vm_is_the_same_vm(lab: Lab, api: Api, vm: str) -> None:
    archive, old = download(api, f"/export?ref={vm}"), api("VM.get_record", vm)
    mac = api("VIF.get_MAC", old["VIFs"][0])
    assert upload(api, "/import?restore=true", archive)["error_info"] == [
        "VM_TO_IMPORT_IS_NOT_NEWER_VERSION", vm, "0", "0",
    ]  # fmt: skip
    api("VM.destroy", vm)
    (new,) = refs(upload(api, "/import?restore=true", archive))
    record = api("VM.get_record", new)
    assert (record["uuid"], record["version"]) == (old["uuid"], 1)
    assert api("VIF.get_MAC", record["VIFs"][0]) == mac
    (again,) = refs(upload(api, "/import?restore=true&force=true", archive))
    assert api("VM.get_by_uuid", old["uuid"]) == again != new


def test_a_restored_vm_may_not_share_its_mac_seed(api: Api, vm: str) -> None:
    archive = download(api, f"/export?ref={vm}")
    seed = api("VM.get_other_config", vm)["mac_seed"]
    api("VM.destroy", vm)
    other = api.vm("same seed", disk=False, nic=False)
    api("VM.remove_from_other_config", other, "mac_seed")
    api("VM.add_to_other_config", other, "mac_seed", seed)
    assert upload(api, "/import?restore=true", archive)["error_info"] == ["DUPLICATE_VM", other]


def test_an_import_goes_to_the_sr_that_is_named(api: Api, vm: str) -> None:
    archive = download(api, f"/export?ref={vm}")
    host = api("host.get_all")[0]
    sr = api("SR.create", host, {}, 2**30, "second", "", "ext", "user", False, {})
    (new,) = refs(upload(api, f"/import?sr_id={sr}", archive))
    assert {api("VDI.get_SR", vdi) for device, vdi in disks(api, new).items() if device != "3"} == {sr}
    iso = next(ref for ref, record in api("SR.get_all_records").items() if record["content_type"] == "iso")
    assert upload(api, f"/import?sr_uuid={api('SR.get_uuid', iso)}", archive)["error_info"] == [
        "SR_OPERATION_NOT_SUPPORTED"
    ]
    assert upload(api, "/import?sr_id=OpaqueRef:none", archive)["error_info"] == [
        "HANDLE_INVALID",
        "SR",
        "OpaqueRef:none",
    ]


def test_an_import_that_fails_leaves_nothing_behind(lab: Lab, api: Api, vm: str) -> None:
    archive = download(api, f"/export?ref={vm}")
    kept = {name: lab.records(name).keys() for name in ("VM", "VDI", "VBD", "VIF", "network")}
    position = archive.index(b"b" * 1000)
    broken = archive[:position] + b"?" + archive[position + 1 :]
    assert upload(api, "/import", broken)["error_info"] == ["IMPORT_ERROR_SOME_CHECKSUMS_FAILED"]
    assert upload(api, "/import", archive[:position])["error_info"] == ["IMPORT_ERROR_PREMATURE_EOF"]
    assert upload(api, "/import", tar_file("ova.xml", b"<value>x</value>") + END)["error_info"][0] == "IMPORT_ERROR"
    assert {name: lab.records(name).keys() for name in kept} == kept


def test_a_network_that_is_missing_is_made(api: Api) -> None:
    network = api("network.create", {"name_label": "far away", "other_config": {}})
    vm = api.vm("abroad", disk=False, nic=False)
    vif = api.vif(vm, "0", network)
    archive = download(api, f"/export?ref={vm}")
    api("VIF.destroy", vif)
    api("network.destroy", network)
    (new,) = refs(upload(api, "/import", archive))
    assert api("network.get_name_label", api("VIF.get_network", api("VM.get_VIFs", new)[0])) == "far away"


def test_metadata_finds_its_disks_again(api: Api, vm: str) -> None:
    snapshot = api("VM.snapshot", vm, "before", [])
    archive, source, uuid = download(api, f"/export_metadata?ref={vm}"), disks(api, vm), api("VM.get_uuid", vm)
    assert refs(upload(api, "/import_metadata?dry_run=true&force=true", archive)) == []
    for ref in (snapshot, vm):
        api("VM.destroy", ref)
    (new,) = refs(upload(api, "/import_metadata?restore=true", archive))
    assert api("VM.get_uuid", new) == uuid
    assert disks(api, new) == source
    (brought,) = api("VM.get_snapshots", new)
    assert api("VM.get_name_label", brought) == "before"
    api("VM.destroy", new)
    api("VDI.destroy", source["1"])
    assert upload(api, "/import_metadata", archive)["error_info"][0] == "VDI_LOCATION_MISSING"


def test_what_cannot_be_exported(lab: Lab, api: Api, vm: str) -> None:
    def page(path: str) -> tuple[int, str]:
        response = api.get(path, {})
        return response.status, response.read().decode()

    session = f"session_id={api.session}"
    status, text = page(f"/export_metadata?uuid=zzz&{session}")
    assert (status, "UUID_INVALID: [ VM; zzz ]" in text) == (500, True)
    response = api.get(f"/export?ref={vm}", {})
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="get_export"')
    lab.run(lambda inside: inside.database.set("VM", vm, "power_state", "Running"))
    task = api("task.create", "export", "")
    assert page(f"/export?ref={vm}&task_id={task}&{session}")[0] == 500
    assert api("task.get_error_info", task)[0] == "VM_BAD_POWER_STATE"
    lab.run(lambda inside: inside.database.set("VM", vm, "power_state", "Halted"))
    assert NULL not in disks(api, vm).values()


def test_an_archive_without_a_length_ends_by_itself(lab: Lab, api: Api, vm: str) -> None:
    archive = download(api, f"/export?ref={vm}")
    with (
        socket.create_connection((lab.host, lab.port)) as plain,
        lab.ssl_context.wrap_socket(plain, server_hostname=lab.host) as connection,
    ):
        head = f"PUT /import?session_id={api.session} HTTP/1.1\r\nHost: lab\r\n\r\n"
        for start in range(0, len(head), 9):
            connection.sendall(head[start : start + 9].encode())
        connection.sendall(archive + b"more")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    status, *headers = answer.decode().splitlines()
    assert status == "HTTP/1.1 200 OK"
    task = next(line.partition(" ")[2] for line in headers if line.lower().startswith("task-id:"))
    (new,) = refs(api.task_end(task))
    assert content(lab, api, disks(api, new)["0"]) == DATA.ljust(8 * MIB, b"\0")
    response = api.put_chunked(f"/import?session_id={api.session}", archive)
    assert response == 403


def test_faults_hit_transfers(lab: Lab, api: Api, vm: str) -> None:
    def outcome(path: str) -> list[str]:
        task = api("task.create", "transfer", "")
        with contextlib.suppress(http.client.HTTPException, OSError):
            api.get(f"{path}&session_id={api.session}&task_id={task}", {}).read()
        error: list[str] = api.task_end(task)["error_info"]
        return error

    paths = [f"/export?ref={vm}", f"/export_raw_vdi?format=raw&vdi={disks(api, vm)['1']}"]
    for path in paths:
        handler = path.partition("?")[0]
        lab.fault(handler, count=1, error=["SR_BACKEND_FAILURE_46", "", "lost", ""])
        assert outcome(path) == ["SR_BACKEND_FAILURE_46", "", "lost", ""]
        lab.fault(handler, count=1, cut="before")
        assert outcome(path) == ["VDI_IO_ERROR", "Connection cut"]
        lab.fault(handler, count=1, cut="after")
        assert outcome(path) == []
        lab.clear_faults()
    archive = download(api, paths[0])
    lab.fault("/import", count=1, error=["SR_FULL", "1", "2"])
    assert upload(api, "/import", archive)["error_info"] == ["SR_FULL", "1", "2"]
    lab.clear_faults()
    assert refs(upload(api, "/import", archive))


def test_a_defect_fails_the_task(lab: Lab, api: Api, vm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(*arguments: object, **options: object) -> bytes:
        raise KeyError("metrics")

    monkeypatch.setattr(vm_archive, "document", defect)
    for path in (f"/export?ref={vm}", f"/export_metadata?ref={vm}"):
        task = api("task.create", "transfer", "")
        api.get(f"{path}&session_id={api.session}&task_id={task}", {}).read()
        assert api.task_end(task)["error_info"][0] == "INTERNAL_ERROR"
    assert api("VM.get_current_operations", vm) == {}
