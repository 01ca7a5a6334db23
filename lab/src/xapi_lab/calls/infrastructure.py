# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Pool, hosts, SRs, PBDs and networks."""

from __future__ import annotations

import time
from typing import Any

from xapi_lab import memory
from xapi_lab.bootstrap import SR_TYPES, make_sr
from xapi_lab.calls import generic
from xapi_lab.calls.registry import Context, call
from xapi_lab.calls.vdi import measure, measure_sr
from xapi_lab.config import GIB, SrShape
from xapi_lab.database import Record
from xapi_lab.errors import XapiError
from xapi_lab.values import DateTime, now

_SR_CAPACITY = 100 * GIB


# --- networks


@call("network.create")
async def network_create(context: Context, given: dict[str, Any]) -> str:
    return create_network(context, generic.constructor_record(context.lab.model.classes["network"], given))


def create_network(context: Context, record: Record) -> str:
    """A network from a constructor's record."""
    if len(record["bridge"]) > 15 or record["bridge"].startswith("xapi"):
        raise XapiError("INVALID_VALUE", "bridge", record["bridge"])
    if not record["bridge"]:
        used = {row.record["bridge"] for row in context.db.tables["network"].values()}
        record["bridge"] = next(name for number in range(10_000) if (name := f"xapi{number}") not in used)
    elif any(row.record["bridge"] == record["bridge"] for row in context.db.tables["network"].values()):
        raise XapiError("BRIDGE_NAME_EXISTS", record["bridge"])
    return context.db.create("network", record)


@call("network.destroy")
async def network_destroy(context: Context, network: str) -> None:
    record = context.db.record("network", network)
    attached = [vif for vif in record["VIFs"] if context.db.get("VIF", vif, "currently_attached")]
    if record["VIFs"]:
        raise XapiError("NETWORK_CONTAINS_VIF", *(attached or record["VIFs"]))
    if record["PIFs"]:
        raise XapiError("NETWORK_CONTAINS_PIF", *record["PIFs"])
    if record["other_config"].get("is_host_internal_management_network") == "true":
        raise XapiError("CANNOT_DESTROY_SYSTEM_NETWORK", network)
    context.db.destroy("network", network)


@call("network.set_default_locking_mode")
async def network_set_default_locking_mode(context: Context, network: str, value: str) -> None:
    for vif in context.db.get("network", network, "VIFs"):
        if context.db.get("VIF", vif, "currently_attached"):
            raise XapiError("VIF_IN_USE", network, vif)
    context.db.set("network", network, "default_locking_mode", value)


@call("network.add_purpose")
async def network_add_purpose(context: Context, network: str, value: str) -> None:
    """One pool serves disks with TLS or without, whatever the network (xapi_network.ml)."""
    current = context.db.get("network", network, "purpose")
    if value in current:
        return
    other = {"nbd": "insecure_nbd", "insecure_nbd": "nbd"}[value]
    if any(other in record["purpose"] for _, record in context.db.records("network")):
        raise XapiError("NETWORK_INCOMPATIBLE_PURPOSES", value, other)
    context.db.set("network", network, "purpose", [*current, value])


@call("network.remove_purpose")
async def network_remove_purpose(context: Context, network: str, value: str) -> None:
    current = context.db.get("network", network, "purpose")
    context.db.set("network", network, "purpose", [purpose for purpose in current if purpose != value])


@call("pool.create_VLAN_from_PIF")
async def create_vlan_from_pif(context: Context, pif: str, network: str, tag: int) -> list[str]:
    context.db.row("network", network)
    device = context.db.get("PIF", pif, "device")
    pifs = [ref for ref, record in context.db.records("PIF") if record["device"] == device and record["VLAN"] == -1]
    return [context.db.get("VLAN", _create_vlan(context, ref, tag, network), "untagged_PIF") for ref in pifs]


@call("pool.create_VLAN")
async def create_vlan(context: Context, device: str, network: str, tag: int) -> list[str]:
    for ref, record in context.db.records("PIF"):
        if record["device"] == device and record["VLAN"] == -1:
            return await create_vlan_from_pif(context, ref, network, tag)
    raise XapiError("PIF_DEVICE_NOT_FOUND")


@call("VLAN.create")
async def vlan_create(context: Context, pif: str, tag: int, network: str) -> str:
    context.db.row("network", network)
    return _create_vlan(context, pif, tag, network)


def _create_vlan(context: Context, pif: str, tag: int, network: str) -> str:
    db = context.db
    if not 0 <= tag <= 4094:
        raise XapiError("VLAN_TAG_INVALID", tag)
    tagged = db.record("PIF", pif)
    for _, record in db.records("PIF"):
        if (record["host"], record["device"], record["VLAN"]) == (tagged["host"], tagged["device"], tag):
            raise XapiError("PIF_VLAN_EXISTS", tagged["device"])
    for other in db.get("network", network, "PIFs"):
        if db.get("PIF", other, "host") == tagged["host"]:
            raise XapiError("NETWORK_ALREADY_CONNECTED", tagged["host"], other)
    untagged = db.create(
        "PIF",
        {"device": tagged["device"], "network": network, "host": tagged["host"], "MAC": tagged["MAC"],
         "MTU": tagged["MTU"], "VLAN": tag, "metrics": tagged["metrics"], "physical": False,
         "currently_attached": True, "managed": True},
    )  # fmt: skip
    vlan = db.create("VLAN", {"tagged_PIF": pif, "untagged_PIF": untagged, "tag": tag, "other_config": {}})
    db.set("PIF", untagged, "VLAN_master_of", vlan)
    return vlan


@call("VLAN.destroy")
async def vlan_destroy(context: Context, vlan: str) -> None:
    untagged = context.db.get("VLAN", vlan, "untagged_PIF")
    if context.db.exists("PIF", untagged):
        context.db.destroy("PIF", untagged)
    context.db.destroy("VLAN", vlan)


@call("PIF.destroy")
async def pif_destroy(context: Context, pif: str) -> None:
    if context.db.get("PIF", pif, "VLAN") < 0:
        raise XapiError("PIF_IS_PHYSICAL")
    await vlan_destroy(context, context.db.get("PIF", pif, "VLAN_master_of"))


@call("PIF.forget")
async def pif_forget(context: Context, pif: str) -> None:
    if context.db.get("PIF", pif, "management"):
        raise XapiError("PIF_IS_MANAGEMENT_INTERFACE", pif)
    context.db.destroy("PIF", pif)


@call("PIF.plug")
async def pif_plug(context: Context, pif: str) -> None:
    context.db.set("PIF", pif, "currently_attached", True)


@call("PIF.unplug")
async def pif_unplug(context: Context, pif: str) -> None:
    if context.db.get("PIF", pif, "management"):
        raise XapiError("PIF_IS_MANAGEMENT_INTERFACE", pif)
    context.db.set("PIF", pif, "currently_attached", False)


# --- SRs


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
        for vbd in list(context.db.get("VDI", vdi, "VBDs")):
            context.db.destroy("VBD", vbd)
        context.db.destroy("VDI", vdi)
    for pbd in list(context.db.get("SR", sr, "PBDs")):
        context.db.destroy("PBD", pbd)
    context.db.destroy("SR", sr)


@call("SR.scan", "SR.update")
async def sr_scan(context: Context, sr: str) -> None:
    for vdi in list(context.db.get("SR", sr, "VDIs")):
        await measure(context, vdi)
    await measure_sr(context, sr)


@call("SR.set_physical_size")
async def sr_set_physical_size(context: Context, sr: str, value: int) -> None:
    raise XapiError("PERMISSION_DENIED", "")


@call("PBD.plug")
async def pbd_plug(context: Context, pbd: str) -> None:
    context.db.set("PBD", pbd, "currently_attached", True)


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


# --- hosts


@call("host.compute_free_memory")
async def host_compute_free_memory(context: Context, host: str) -> int:
    return memory.free(context.db, host)


@call("host.compute_memory_overhead")
async def host_compute_memory_overhead(context: Context, host: str) -> int:
    return memory.HYPERVISOR_OVERHEAD


@call("host.get_servertime")
async def host_get_servertime(context: Context, host: str) -> DateTime:
    return now()


@call("host.get_server_localtime")
async def host_get_server_localtime(context: Context, host: str) -> DateTime:
    return DateTime(time.strftime("%Y%m%dT%H:%M:%S"))


@call("host.dmesg")
async def host_dmesg(context: Context, host: str) -> str:
    return f"Linux version 4.19.0+1 ({context.db.get('host', host, 'hostname')})"


@call("host.call_extension")
async def host_call_extension(context: Context, host: str, extension: str) -> str:
    why = f"Line 1, bytes 0-{len(extension)}:\\nInvalid token '{extension}'"
    raise XapiError("INTERNAL_ERROR", f'Yojson__Common.Json_error("{why}")')


@call("host.list_methods")
async def host_list_methods(context: Context) -> list[str]:
    raise XapiError("NOT_IMPLEMENTED", "list_method")


@call("host.call_plugin")
async def host_call_plugin(context: Context, host: str, plugin: str, fn: str, args: dict[str, str]) -> str:
    raise XapiError("XENAPI_MISSING_PLUGIN", plugin)


@call("host.get_management_interface")
async def host_get_management_interface(context: Context, host: str) -> str:
    for pif in context.db.get("host", host, "PIFs"):
        if context.db.get("PIF", pif, "management"):
            return str(pif)
    raise XapiError("HOST_HAS_NO_MANAGEMENT_IP")


@call("SR.get_data_sources")
async def no_data_sources(context: Context, ref: str) -> list[dict[str, Any]]:
    return []


@call("pool.get_license_state")
async def pool_get_license_state(context: Context, pool: str) -> dict[str, str]:
    return {"edition": "xcp-ng", "expiry": "never"}


@call("pool.sync_database")
async def pool_sync_database(context: Context) -> None:
    context.lab.save()
