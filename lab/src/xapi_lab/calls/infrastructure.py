# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Pool, hosts and networks."""

from __future__ import annotations

import re
import time
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from xapi_lab import memory
from xapi_lab.calls import generic
from xapi_lab.calls.registry import Context, call
from xapi_lab.database import Record
from xapi_lab.errors import XapiError
from xapi_lab.tls import server_certificate
from xapi_lab.values import DateTime, now

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
    return [context.db.get("VLAN", create_vlan_on(context, ref, tag, network), "untagged_PIF") for ref in pifs]


@call("pool.create_VLAN")
async def create_vlan(context: Context, device: str, network: str, tag: int) -> list[str]:
    for ref, record in context.db.records("PIF"):
        if record["device"] == device and record["VLAN"] == -1:
            return await create_vlan_from_pif(context, ref, network, tag)
    raise XapiError("PIF_DEVICE_NOT_FOUND")


@call("VLAN.create")
async def vlan_create(context: Context, pif: str, tag: int, network: str) -> str:
    context.db.row("network", network)
    return create_vlan_on(context, pif, tag, network)


def create_vlan_on(context: Context, pif: str, tag: int, network: str) -> str:
    """A VLAN on a PIF."""
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


@call("host.get_server_certificate")
async def host_get_server_certificate(context: Context, host: str) -> str:
    return server_certificate(context.lab.state_dir).public_bytes(Encoding.PEM).decode()


@call("host.set_address")
async def host_set_address(context: Context, host: str, address: str) -> None:
    """An address that is set is where XAPI looks for a host; a lab that starts again listens there."""
    if address != context.db.get("host", host, "address"):
        raise XapiError("NOT_IMPLEMENTED", "host.set_address: the lab's hosts keep their addresses")


@call("host.set_hostname_live")
async def host_set_hostname_live(context: Context, host: str, hostname: str) -> None:
    problem = _hostname_problem(hostname)
    if problem:
        raise XapiError("HOST_NAME_INVALID", problem)
    db = context.db
    db.set("host", host, "hostname", hostname)
    if db.exists("VM", db.get("host", host, "control_domain")):
        db.set("VM", db.get("host", host, "control_domain"), "name_label", f"Control domain on host: {hostname}")


def _hostname_problem(hostname: str) -> str:
    if not hostname:
        return "hostname empty"
    if len(hostname) > 255:
        return "hostname is too long"
    if not re.fullmatch(r"(?!-)[A-Za-z0-9.-]+(?<!-)", hostname):
        return "hostname contains invalid characters"
    return ""


@call("host.syslog_reconfigure", "host.sync_data", "host.refresh_pack_info")
async def host_needs_nothing(context: Context, host: str, *arguments: Any) -> None:
    """What concerns files of a host's own, which the lab's hosts have none of."""
    context.lab.members.check_reachable(host)


@call("host.backup_rrds")
async def host_backup_rrds(context: Context, host: str, delay: float) -> None:
    context.lab.members.check_reachable(host)
    context.lab.measurements.save()


@call("pool.get_license_state")
async def pool_get_license_state(context: Context, pool: str) -> dict[str, str]:
    return {"edition": "xcp-ng", "expiry": "never"}


@call("pool.sync_database")
async def pool_sync_database(context: Context) -> None:
    context.lab.save()
