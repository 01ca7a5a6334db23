# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""SRs, and the PBDs that attach them to hosts (xapi_sr.ml, xapi_pbd.ml)."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

from xapi_lab.bootstrap import SR_OPERATIONS, SR_TYPES, make_sr
from xapi_lab.calls import generic
from xapi_lab.calls.registry import Context, call
from xapi_lab.calls.vdi import forget_record, introduced_vdi, measure, measure_sr
from xapi_lab.config import GIB, SrShape
from xapi_lab.database import is_uuid, new_uuid
from xapi_lab.errors import XapiError

_SR_CAPACITY = 100 * GIB


@call("SR.get_supported_types")
async def sr_get_supported_types(context: Context) -> list[str]:
    return sorted(SR_TYPES)


@call("SR.create")
async def sr_create(
    context: Context, host: str, device_config: dict[str, str], physical_size: int, name_label: str,
    name_description: str, type_: str, content_type: str, shared: bool, sm_config: dict[str, str] | None = None,
) -> str:  # fmt: skip
    if type_ not in SR_TYPES:
        raise XapiError("SR_UNKNOWN_DRIVER", type_)
    shape = SrShape(name_label, type_, content_type or "user", physical_size or _SR_CAPACITY, shared)
    sr = make_sr(context.db, shape, context.db.refs("host") if shared else [host])
    context.db.update("SR", sr, name_description=name_description, sm_config=sm_config or {})
    for pbd in context.db.get("SR", sr, "PBDs"):
        context.db.set("PBD", pbd, "device_config", dict(device_config))
    return sr


def _check_unplugged(context: Context, sr: str) -> None:
    if any(context.db.get("PBD", pbd, "currently_attached") for pbd in context.db.get("SR", sr, "PBDs")):
        raise XapiError("SR_HAS_PBD", sr)


@call("SR.forget")
async def sr_forget(context: Context, sr: str) -> None:
    _check_unplugged(context, sr)
    _remove_sr(context, sr)


@call("SR.destroy")
async def sr_destroy(context: Context, sr: str) -> None:
    _check_unplugged(context, sr)
    if any(context.db.get("VDI", vdi, "managed") for vdi in context.db.get("SR", sr, "VDIs")):
        raise XapiError("SR_NOT_EMPTY")
    _remove_sr(context, sr)


def _remove_sr(context: Context, sr: str) -> None:
    for vdi in list(context.db.get("SR", sr, "VDIs")):
        forget_record(context, vdi)
    for pbd in list(context.db.get("SR", sr, "PBDs")):
        context.db.destroy("PBD", pbd)
    context.db.destroy("SR", sr)


@call("SR.scan", "SR.update")
async def sr_scan(context: Context, sr: str) -> None:
    """Measure the SR's disks, and make records for those that it has and the pool does not know."""
    known = {context.db.get("VDI", vdi, "uuid") for vdi in context.db.get("SR", sr, "VDIs")}
    for uuid, size in context.lab.storage.disks(context.lab.sr_path(sr)).items():
        if uuid not in known and context.db.find_uuid("VDI", uuid) is None:
            introduced_vdi(context, uuid, sr, {"virtual_size": size, "type": "user"})
    for vdi in list(context.db.get("SR", sr, "VDIs")):
        await measure(context, vdi)
    await measure_sr(context, sr)


@call("SR.set_physical_size")
async def sr_set_physical_size(context: Context, sr: str, value: int) -> None:
    raise XapiError("PERMISSION_DENIED", "")


@call("SR.introduce")
async def sr_introduce(
    context: Context, uuid: str, name_label: str, name_description: str, type_: str, content_type: str, shared: bool,
    sm_config: dict[str, str] | None = None,
) -> str:  # fmt: skip
    """A record for an SR that is there; it has no PBDs, and its size is not known before one is plugged."""
    if uuid and not is_uuid(uuid):  # it names the folder of the SR's disks
        raise XapiError("UUID_INVALID", "SR", uuid)
    if uuid and context.db.find_uuid("SR", uuid) is not None:
        raise XapiError("SR_UUID_EXISTS", uuid)
    return context.db.create(
        "SR",
        {"uuid": uuid or new_uuid(), "name_label": name_label, "name_description": name_description,
         "type": type_.lower(), "content_type": content_type, "shared": shared, "sm_config": sm_config or {},
         "physical_size": -1, "physical_utilisation": -1, "allowed_operations": list(SR_OPERATIONS)},
    )  # fmt: skip


@call("SR.probe")
async def sr_probe(
    context: Context, host: str, device_config: dict[str, str], type_: str, sm_config: dict[str, str] | None = None
) -> str:
    """The SRs that the lab has disks of and the pool does not know, as file-based storage managers tell of theirs."""
    if type_ not in SR_TYPES:
        raise XapiError("SR_UNKNOWN_DRIVER", type_)
    folders = sorted(path.name for path in (context.lab.state_dir / "sr").glob("*") if any(path.iterdir()))
    unknown = [uuid for uuid in folders if context.db.find_uuid("SR", uuid) is None]
    found = "".join(f"<SR><UUID>{escape(uuid)}</UUID></SR>" for uuid in unknown)
    return f'<?xml version="1.0" ?><SRlist>{found}</SRlist>'


@call("SR.get_data_sources")
async def sr_get_data_sources(context: Context, ref: str) -> list[dict[str, Any]]:
    return []


# --- PBDs


@call("PBD.create")
async def pbd_create(context: Context, given: dict[str, Any]) -> str:
    record = generic.constructor_record(context.lab.model.classes["PBD"], given)
    context.db.row("host", record["host"])
    for pbd in context.db.get("SR", record["SR"], "PBDs"):
        if context.db.get("PBD", pbd, "host") == record["host"]:
            raise XapiError("PBD_EXISTS", record["SR"], record["host"], pbd)
    return context.db.create("PBD", record)


@call("PBD.plug")
async def pbd_plug(context: Context, pbd: str) -> None:
    context.lab.members.check_reachable(context.db.get("PBD", pbd, "host"))
    context.db.set("PBD", pbd, "currently_attached", True)
    sr = context.db.get("PBD", pbd, "SR")
    if context.db.get("SR", sr, "physical_size") < 0:
        context.db.set("SR", sr, "physical_size", _SR_CAPACITY)
    await measure_sr(context, sr)


@call("PBD.unplug")
async def pbd_unplug(context: Context, pbd: str) -> None:
    sr = context.db.get("PBD", pbd, "SR")
    for vdi in context.db.get("SR", sr, "VDIs"):
        for vbd in context.db.get("VDI", vdi, "VBDs"):
            if context.db.get("VBD", vbd, "currently_attached"):
                raise XapiError("VDI_IN_USE", vdi, "unplug")
    context.db.set("PBD", pbd, "currently_attached", False)


@call("PBD.destroy")
async def pbd_destroy(context: Context, pbd: str) -> None:
    if context.db.get("PBD", pbd, "currently_attached"):
        raise XapiError("OPERATION_NOT_ALLOWED", "PBD is currently attached")
    context.db.destroy("PBD", pbd)
