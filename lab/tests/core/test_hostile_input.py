# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Texts of clients that name files, machines' devices or lines of a shell, and structures that are made to exhaust a reader."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from api_client import MIB, NULL, Api, Failure
from consistency import broken_rules
from xapi_lab import model
from xapi_lab.machines import command_line, vhd
from xapi_lab.machines.accelerator import Accelerator
from xapi_lab.machines.contract import MachineSpec
from xapi_lab.machines.namespace import iso9660
from xapi_lab.machines.namespace.cloud_config import from_drive
from xapi_lab.machines.vif_locking import locking
from xapi_lab.query import compile_expression
from xapi_lab.testing import Lab
from xapi_lab.vm_metadata import document, table_of
from xapi_lab.wire.xmlrpc import decode_value, encode_value
from xapi_lab.xva import END, METADATA, tar_file

LINE_OF_SHELL = "x -j ACCEPT\ntouch /tmp/oops"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab whose disks are files."""
    with Lab(backend="qemu") as running:
        yield running


def refused(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


# --- texts that the database keeps


@pytest.mark.parametrize("bad", ["\0", "\x1b", "\x08"])
def test_a_new_object_keeps_a_text_up_to_what_xml_lacks(api: Api, bad: str) -> None:
    vm = api("VM.clone", api.vm("source", disk=False, nic=False), f"name\t{bad}rest")
    assert api("VM.get_name_label", vm) == "name\t"
    api("VM.add_to_other_config", vm, f"key{bad}x", f"value{bad}y")
    assert api("VM.get_other_config", vm)["key"] == "value"
    api("VM.remove_from_other_config", vm, f"key{bad}z")
    assert "key" not in api("VM.get_other_config", vm)
    assert refused(api, "VM.add_to_other_config", vm, f"{bad}key", "") == ["INTERNAL_ERROR", "Db_exn.Empty_key_in_map"]


@pytest.mark.parametrize(
    ("field", "value"), [("name_label", "a\0b"), ("other_config", {"a\x01": "b"}), ("tags", ["a", "b\x7f\x02"])]
)
def test_a_field_takes_no_text_that_xml_lacks(api: Api, field: str, value: Any) -> None:
    vm = api.vm("strict", disk=False, nic=False)
    before = api(f"VM.get_{field}", vm)
    assert refused(api, f"VM.set_{field}", vm, value) == ["INTERNAL_ERROR", "Db_exn.Invalid_value"]
    assert api(f"VM.get_{field}", vm) == before


# --- names of files


def test_a_vdi_is_introduced_from_its_sr_alone(lab: Lab, api: Api) -> None:
    sr = api.default_sr()
    known = api("VDI.get_location", api.vdi(2 * MIB))
    (lab.state_dir / "sr" / "elsewhere.raw").write_bytes(bytes(MIB))
    for location in ("../elsewhere", str(lab.state_dir / "sr" / "elsewhere"), "a" * 5000, "\0", "", known):
        details = refused(api, "VDI.introduce", known, "n", "", sr, "user", False, False, {}, location, {}, {})
        assert details == ["INTERNAL_ERROR", f"Storage_error ([S(Vdi_does_not_exist);S({location})])"]


def archive_of(lab: Lab, vm: str, **changes: Any) -> bytes:
    """A VM's metadata with other values in its records: CLASS_field=value."""
    text = lab.run(
        lambda inside: document(inside.database, table_of(inside.database, [vm], snapshots=False), snapshots=False)
    )
    content = decode_value(text)
    for item in content["objects"]:
        for name, value in changes.items():
            class_name, _, field = name.partition("_")
            if item["class"] == class_name:
                item["snapshot"][field] = value
    return tar_file(METADATA, encode_value(content).encode()) + END


@pytest.mark.parametrize(
    ("change", "code"),
    [({"VM_uuid": "../../oops"}, "IMPORT_ERROR"), ({"VIF_uuid": LINE_OF_SHELL}, "IMPORT_ERROR"),
     ({"VIF_MAC": LINE_OF_SHELL}, "MAC_INVALID"), ({"VIF_device": "²"}, "INVALID_DEVICE"),
     ({"VIF_device": "0;x"}, "INVALID_DEVICE"), ({"VBD_userdevice": "../x"}, "INVALID_DEVICE"),
     ({"VIF_network": "Ref:77"}, "IMPORT_ERROR_FAILED_TO_FIND_OBJECT")],
)  # fmt: skip
def test_an_archive_names_no_file_and_no_line_of_a_shell(lab: Lab, api: Api, change: dict[str, str], code: str) -> None:
    vm = api.vm("sent", disk=False)
    api.vbd(vm, NULL, "3", type="CD", mode="RO")
    archive = archive_of(lab, vm, **change)
    api("VM.destroy", vm)
    before = {name: set(lab.records(name)) for name in ("VM", "VIF", "VBD")}
    task = api("task.create", "upload", "")
    api.put(f"/import_metadata?restore=true&session_id={api.session}&task_id={task}", archive)
    assert api.task_end(task)["error_info"][0] == code
    assert {name: set(lab.records(name)) for name in before} == before


def test_the_name_that_qemu_is_told_has_a_limit() -> None:
    accelerator = Accelerator("tcg", "tcg", "max")
    spec = MachineSpec(
        "12345678-1234-1234-1234-123456789abc", "a,b" * 100_000, 1, 64 * MIB, "bios", "cd", (), (), "qemu"
    )
    arguments = command_line.build(spec, accelerator, {})
    assert arguments[arguments.index("-name") + 1].startswith("guest=a,,ba,,b")
    assert max(map(len, arguments)) < 1000


# --- devices


def vif_refusal(api: Api, vm: str, device: str, mac: str = "") -> list[str]:
    record = {"VM": vm, "network": api.nat_network(), "device": device, "MAC": mac, "MTU": 1500, "other_config": {},
              "qos_algorithm_type": "", "qos_algorithm_params": {}}  # fmt: skip
    return refused(api, "VIF.create", record)


def test_the_device_of_a_vif_is_a_number(api: Api) -> None:
    vm = api.vm("devices", disk=False, nic=False)
    for device in ("", "x", "-1", "²", "٣", "1.0", "9" * 10, "9" * 5000):
        assert vif_refusal(api, vm, device) == ["INVALID_DEVICE", device]
    api.vif(vm, "1")
    assert vif_refusal(api, vm, "01") == ["DEVICE_ALREADY_EXISTS", "01"]


def test_without_a_seed_there_is_no_mac(api: Api) -> None:
    vm = api.vm("seedless", disk=False, nic=False)
    api("VM.set_other_config", vm, {})
    assert vif_refusal(api, vm, "0") == ["MAC_INVALID", ""]
    assert api("VIF.get_MAC_autogenerated", api.vif(vm, "0", MAC="02:00:00:00:00:01")) is False


def test_what_is_no_address_is_let_through_nowhere() -> None:
    lock = locking("locked", "unlocked", ["10.0.0.1", LINE_OF_SHELL], ["::1", "x"])
    assert (lock.ipv4, lock.ipv6) == (frozenset({b"\x0a\0\0\x01"}), frozenset({bytes(15) + b"\x01"}))


# --- structures


def test_an_expression_may_be_long_and_not_endlessly_deep(api: Api) -> None:
    terms = [f'(field "name__label" = "x{number}")' for number in range(3000)]
    matches = compile_expression(" or ".join([*terms, "true and " * 3000 + "true"]), model.load().classes["VM"])
    assert matches("OpaqueRef:1", {"name_label": "other"})
    for deep in ("(" * 20_000, "not " * 20_000 + "true"):
        assert refused(api, "VM.get_all_records_where", deep) == ["INTERNAL_ERROR", "Stack_overflow"]


@pytest.mark.parametrize(
    "disks",
    ["<provision><disk/></provision>", "<disks/>", '<provision a="b"/>', "<provision><x/></provision>",
     '<provision><disk device="0" size="much" sr="" bootable="true"/></provision>',
     '<provision><disk device="0" size="1" sr="" bootable="true"><disk/></disk></provision>'],
)  # fmt: skip
def test_disks_of_a_template_are_read_as_xapi_reads_them(api: Api, disks: str) -> None:
    vm = api("VM.clone", api("VM.get_by_name_label", "Generic Linux BIOS")[0], "odd")
    api("VM.remove_from_other_config", vm, "disks")
    api("VM.add_to_other_config", vm, "disks", disks)
    assert refused(api, "VM.provision", vm) == ["INTERNAL_ERROR", "Xapi_templates.Parse_failure"]


def test_a_provisioned_disk_is_called_by_its_position(api: Api) -> None:
    vm = api("VM.clone", api("VM.get_by_name_label", "Generic Linux BIOS")[0], "provisioned")
    sr = api("SR.get_uuid", api.default_sr())
    api("VM.remove_from_other_config", vm, "disks")
    disk = f'<disk device="2" size="{2 * MIB}" sr="{sr}" bootable="false" type="unheard-of"/>'
    api("VM.add_to_other_config", vm, "disks", f"<provision>{disk}</provision>")
    api("VM.provision", vm)
    vdi = api("VDI.get_record", api("VBD.get_VDI", api("VM.get_VBDs", vm)[0]))
    assert (vdi["name_label"], vdi["type"]) == ("2", "system")


def volume(image: bytearray, first: bytes) -> bytes:
    """An ISO 9660 volume whose root directory, sector 20, holds one record."""
    sector = 2048
    image[16 * sector : 16 * sector + 6] = b"\x01CD001"
    image[16 * sector + 156 : 16 * sector + 190] = record(20, sector, b"\0")
    image[17 * sector : 17 * sector + 6] = b"\xffCD001"
    image[20 * sector : 20 * sector + len(first)] = first
    return bytes(image)


def record(place: int, size: int, name: bytes, *, directory: bool = True) -> bytes:
    fixed = (
        struct.pack("<BxIxxxxIxxxx", 34, place, size)
        + bytes(7)
        + bytes([2 * directory])
        + bytes(6)
        + bytes([len(name)])
    )
    return fixed + name


def test_a_volume_of_directories_inside_themselves_ends() -> None:
    itself = record(20, 2048, b"D") * 60
    with pytest.raises(iso9660.NoVolume, match="times as large"):
        iso9660.files(volume(bytearray(40 * 2048), itself))
    _, files = iso9660.files(volume(bytearray(40 * 2048), record(21, 3, b"F", directory=False)))
    assert files == {"f": b"\0\0\0"}


@pytest.mark.parametrize("text", ["{users: 5}", "{write_files: [1]}", "{ssh_keys: [x]}", "{runcmd: 7}", "[" * 1000])
def test_values_of_wrong_types_on_a_config_drive(text: str) -> None:
    with pytest.raises(ValueError, match="config drive"):
        from_drive({"user-data": f"#cloud-config\n{text}".encode(), "meta-data": b""})


def test_a_vhd_cannot_make_its_reader_take_in_a_table_without_end() -> None:
    footer = bytearray(b"conectix" + bytes(504))
    struct.pack_into(">QQ", footer, 16, 512, 0)
    struct.pack_into(">Q", footer, 48, MIB)
    struct.pack_into(">I", footer, 60, vhd.DYNAMIC)
    struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
    header = bytearray(b"cxsparse" + bytes(1016))
    struct.pack_into(">QIII", header, 16, 1536, 0, 2**32 - 1, 2 * MIB)
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        yield bytes(footer) + bytes(header)
        while True:
            taken += MIB
            assert taken < 100 * MIB
            yield bytes(MIB)

    async def read() -> None:
        async for _ in vhd.VhdReader(endless()).extents():
            pass

    with pytest.raises(vhd.VhdError, match="block table"):
        asyncio.run(read())


# --- a suspended VM without its memory


def test_a_vm_whose_memory_image_was_destroyed() -> None:
    with Lab(backend="none") as small:
        client = Api(small)
        vm = client.running_vm("forgetful")
        client("VM.suspend", vm)
        client("VDI.destroy", client("VM.get_suspend_VDI", vm))
        assert client("VM.get_suspend_VDI", vm) == NULL
        assert refused(client, "VM.resume", vm, False, False) == ["VM_HAS_NO_SUSPEND_VDI", "VM", vm]
        assert client("VM.get_power_state", vm) == "Halted"
        assert broken_rules(small) == []
