# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""VDIs: disks on SRs."""

from __future__ import annotations

from typing import Any

from xapi_lab.calls import generic
from xapi_lab.calls.registry import Context, call
from xapi_lab.database import Record, new_uuid
from xapi_lab.errors import XapiError
from xapi_lab.machines.contract import StorageError
from xapi_lab.values import EPOCH, NULL, now

MIB = 2**20
SIZE_STEP = 2 * MIB
LARGEST = 2088960 * MIB
ISO_STEP = 512


def storage_failure(error: StorageError) -> XapiError:
    return XapiError("SR_BACKEND_FAILURE_78", "", f"VDI operation failed [opterr={error}]", "")


def rounded(size: int, step: int = SIZE_STEP) -> int:
    """A virtual size as storage managers round it: up to whole steps, one step at least."""
    return max(step, -(-size // step) * step)


def _check_size(size: int) -> None:
    if not 0 <= size <= LARGEST:
        reason = f"VDI Invalid size [opterr=VDI size must be between 1 MB and {LARGEST // MIB} MB]"
        raise XapiError("SR_BACKEND_FAILURE_79", "", reason, "")


def check_attached(context: Context, sr: str) -> None:
    pbds = context.db.get("SR", sr, "PBDs")
    if not any(context.db.get("PBD", pbd, "currently_attached") for pbd in pbds):
        raise XapiError("SR_HAS_NO_PBDS", sr)


def check_space(context: Context, sr: str, wanted: int) -> None:
    """Refuse what an SR could not hold even if nothing else grew."""
    record = context.db.record("SR", sr)
    full = context.lab.faults.is_full(record["name_label"], record["uuid"])
    available = 0 if full else record["physical_size"] - record["physical_utilisation"]
    if wanted > available:
        raise XapiError("SR_FULL", wanted, max(0, available))


async def measure(context: Context, vdi: str) -> None:
    """Bring a VDI's and its SR's utilisation up to date."""
    if not context.db.exists("VDI", vdi):
        return
    record = context.db.record("VDI", vdi)
    if record["type"] != "suspend":
        physical = await context.lab.storage.physical(record["uuid"], context.lab.sr_path(record["SR"]))
        if context.db.exists("VDI", vdi):
            context.db.set("VDI", vdi, "physical_utilisation", physical)
    await measure_sr(context, record["SR"])


async def measure_sr(context: Context, sr: str) -> None:
    if not context.db.exists("SR", sr):
        return
    used = await context.lab.storage.used(context.lab.sr_path(sr))
    vdis = [context.db.record("VDI", vdi) for vdi in context.db.get("SR", sr, "VDIs")]
    context.db.update(
        "SR", sr,
        virtual_allocation=sum(vdi["virtual_size"] for vdi in vdis),
        physical_utilisation=used,
    )  # fmt: skip


async def create_vdi(context: Context, record: Record) -> str:
    """A VDI with its file, from a constructor's record."""
    sr = record["SR"]
    context.db.row("SR", sr)
    check_attached(context, sr)
    _check_size(record["virtual_size"])
    iso = context.db.get("SR", sr, "type") == "iso"
    size = rounded(record["virtual_size"], ISO_STEP if iso else SIZE_STEP)
    check_space(context, sr, size)
    uuid = new_uuid()
    try:
        await context.lab.storage.create(uuid, context.lab.sr_path(sr), size)
    except StorageError as error:
        raise storage_failure(error) from error
    location = record["sm_config"].get("path", uuid) if iso else uuid
    sm_config = record["sm_config"] if iso else {"vdi_type": "vhd", **record["sm_config"]}
    vdi = context.db.create(
        "VDI", {**record, "uuid": uuid, "virtual_size": size, "location": location, "managed": True,
                "sm_config": sm_config}
    )  # fmt: skip
    await measure(context, vdi)
    return vdi


@call("VDI.create")
async def create(context: Context, given: dict[str, Any]) -> str:
    return await create_vdi(context, generic.constructor_record(context.lab.model.classes["VDI"], given))


@call("VDI.destroy")
async def destroy(context: Context, vdi: str) -> None:
    async with context.operation("VDI", vdi, "destroy"):
        await destroy_vdi(context, vdi)


async def destroy_vdi(context: Context, vdi: str) -> None:
    """Remove a VDI, its file and the VBDs that point to it."""
    record = context.db.record("VDI", vdi)
    try:
        await context.lab.storage.destroy(record["uuid"], context.lab.sr_path(record["SR"]))
    except StorageError as error:
        raise storage_failure(error) from error
    for vbd in list(record["VBDs"]):
        context.db.destroy("VBD", vbd)
    context.db.destroy("VDI", vdi)
    if record["type"] == "suspend":
        for vm, its_record in context.db.records("VM"):
            if its_record["suspend_VDI"] == vdi:
                context.db.set("VM", vm, "suspend_VDI", NULL)
    await measure_sr(context, record["SR"])


@call("VDI.forget")
async def forget(context: Context, vdi: str) -> None:
    async with context.operation("VDI", vdi, "forget"):
        sr = context.db.get("VDI", vdi, "SR")
        forget_record(context, vdi)
        await measure_sr(context, sr)


def forget_record(context: Context, vdi: str) -> None:
    """Remove a VDI's record: drives lose the medium, other VBDs go with it (db_gc_util.ml, gc_VBDs)."""
    for vbd in list(context.db.get("VDI", vdi, "VBDs")):
        if context.db.get("VBD", vbd, "type") == "CD":
            context.db.update("VBD", vbd, VDI=NULL, empty=True)
        else:
            context.db.destroy("VBD", vbd)
    context.db.destroy("VDI", vdi)


@call("VDI.introduce")
async def introduce(
    context: Context, uuid: str, name_label: str, name_description: str, sr: str, type_: str, sharable: bool,
    read_only: bool, other_config: dict[str, str], location: str, xenstore_data: dict[str, str] | None = None,
    sm_config: dict[str, str] | None = None, *further: Any,
) -> str:  # fmt: skip
    """A record for a disk that the SR has and the pool does not know, such as one that was forgotten."""
    context.db.row("SR", sr)
    check_attached(context, sr)
    disks = context.lab.storage.disks(context.lab.sr_path(sr))
    if context.db.find_uuid("VDI", location) is not None or location not in disks:
        raise XapiError("INTERNAL_ERROR", f"Storage_error ([S(Vdi_does_not_exist);S({location})])")
    vdi = introduced_vdi(
        context, location, sr,
        {"name_label": name_label, "name_description": name_description, "type": type_, "sharable": sharable,
         "read_only": read_only, "other_config": other_config, "xenstore_data": xenstore_data or {},
         "sm_config": sm_config or {}, "virtual_size": disks[location]},
    )  # fmt: skip
    await measure(context, vdi)
    return vdi


def introduced_vdi(context: Context, uuid: str, sr: str, record: Record) -> str:
    """A record for a disk that an SR has."""
    sm_config = {"vdi_type": "vhd", **record.get("sm_config", {})}
    return context.db.create(
        "VDI", {**record, "uuid": uuid, "SR": sr, "location": uuid, "managed": True, "sm_config": sm_config}
    )


@call("VDI.resize")
async def resize(context: Context, vdi: str, size: int) -> None:
    async with context.operation("VDI", vdi, "resize"):
        record = context.db.record("VDI", vdi)
        _check_size(size)
        size = rounded(size)
        if size < record["virtual_size"]:
            raise XapiError("SR_BACKEND_FAILURE_79", "", "VDI Invalid size [opterr=shrinking not allowed]", "")
        check_space(context, record["SR"], size - record["virtual_size"])
        try:
            await context.lab.storage.resize(record["uuid"], context.lab.sr_path(record["SR"]), size)
        except StorageError as error:
            raise storage_failure(error) from error
        context.db.set("VDI", vdi, "virtual_size", size)
        await measure(context, vdi)


async def clone_vdi(context: Context, vdi: str, *, snapshot: bool) -> str:
    """A copy-on-write copy of a VDI on its SR."""
    record = context.db.record("VDI", vdi)
    check_attached(context, record["SR"])
    uuid = new_uuid()
    try:
        await context.lab.storage.clone(record["uuid"], context.lab.sr_path(record["SR"]), uuid)
    except StorageError as error:
        raise storage_failure(error) from error
    new = derived_vdi(context, record, uuid, record["SR"])
    if snapshot:
        context.db.update("VDI", new, is_a_snapshot=True, snapshot_of=vdi, snapshot_time=now(), read_only=True)
    await measure(context, new)
    return new


def derived_vdi(context: Context, record: Record, uuid: str, sr: str) -> str:
    """A VDI for a disk whose content is that of another one."""
    kept = ("name_label", "name_description", "virtual_size", "type", "sharable", "other_config", "xenstore_data",
            "tags", "on_boot", "allow_caching")  # fmt: skip
    return context.db.create(
        "VDI",
        {**{name: record[name] for name in kept}, "uuid": uuid, "SR": sr, "location": uuid, "managed": True,
         "sm_config": {"vdi_type": "vhd"}, "read_only": False, "is_a_snapshot": False, "snapshot_of": NULL,
         "snapshot_time": EPOCH},
    )  # fmt: skip


@call("VDI.clone")
async def clone(context: Context, vdi: str, driver_params: dict[str, str] | None = None) -> str:
    async with context.operation("VDI", vdi, "clone"):
        return await clone_vdi(context, vdi, snapshot=False)


@call("VDI.snapshot")
async def snapshot(context: Context, vdi: str, driver_params: dict[str, str] | None = None) -> str:
    async with context.operation("VDI", vdi, "snapshot"):
        return await clone_vdi(context, vdi, snapshot=True)


async def copy_vdi(context: Context, vdi: str, sr: str) -> str:
    """A full copy of a VDI on an SR."""
    record = context.db.record("VDI", vdi)
    context.db.row("SR", sr)
    check_attached(context, sr)
    check_space(context, sr, record["physical_utilisation"])
    uuid = new_uuid()
    try:
        await context.lab.storage.copy(record["uuid"], context.lab.sr_path(record["SR"]), uuid, context.lab.sr_path(sr))
    except StorageError as error:
        raise storage_failure(error) from error
    new = derived_vdi(context, record, uuid, sr)
    await measure(context, new)
    return new


@call("VDI.copy")
async def copy(context: Context, vdi: str, sr: str = NULL, base_vdi: str = NULL, into_vdi: str = NULL) -> str:
    context.db.row("SR", sr)
    if base_vdi != NULL or into_vdi != NULL:
        raise XapiError("NOT_IMPLEMENTED", "VDI.copy into an existing VDI")
    async with context.operation("VDI", vdi, "copy"):
        return await copy_vdi(context, vdi, sr)


@call("VDI.get_nbd_info")
async def get_nbd_info(context: Context, vdi: str) -> list[dict[str, Any]]:
    """Nothing, as where no network has the purpose: the lab serves no disks over NBD."""
    if context.db.get("VDI", vdi, "type") == "cbt_metadata":
        raise XapiError("VDI_INCOMPATIBLE_TYPE", vdi, "cbt_metadata")
    return []


@call("VDI.update")
async def update(context: Context, vdi: str) -> None:
    await measure(context, vdi)


@call("VDI.set_read_only", "VDI.set_sharable")
async def denied(context: Context, vdi: str, value: bool) -> None:
    raise XapiError("PERMISSION_DENIED", "")


@call("VDI.set_on_boot")
async def set_on_boot(context: Context, vdi: str, value: str) -> None:
    if value != "persist":
        raise XapiError("SR_OPERATION_NOT_SUPPORTED", context.db.get("VDI", vdi, "SR"))
    context.db.set("VDI", vdi, "on_boot", value)


@call("VDI.enable_cbt", "VDI.disable_cbt", "VDI.data_destroy")
async def not_supported(context: Context, vdi: str) -> None:
    raise XapiError("SR_OPERATION_NOT_SUPPORTED", context.db.get("VDI", vdi, "SR"))


@call("VDI.list_changed_blocks")
async def list_changed_blocks(context: Context, vdi_from: str, vdi_to: str) -> str:
    raise XapiError("SR_OPERATION_NOT_SUPPORTED", context.db.get("VDI", vdi_to, "SR"))
