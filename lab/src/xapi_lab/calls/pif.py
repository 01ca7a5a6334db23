# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""PIFs: the network interfaces of hosts (xapi_pif.ml)."""

from __future__ import annotations

import ipaddress

from xapi_lab.calls.infrastructure import create_vlan_on, vlan_destroy
from xapi_lab.calls.registry import Context, call
from xapi_lab.database import Record
from xapi_lab.errors import XapiError


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


@call("PIF.create_VLAN")
async def pif_create_vlan(context: Context, device: str, network: str, host: str, tag: int) -> str:
    db = context.db
    db.row("network", network)
    for pif in db.get("host", host, "PIFs"):
        record = db.record("PIF", pif)
        if record["device"] == device and record["VLAN"] == -1:
            return str(db.get("VLAN", create_vlan_on(context, pif, tag, network), "untagged_PIF"))
    raise XapiError("PIF_DEVICE_NOT_FOUND")


@call("PIF.scan")
async def pif_scan(context: Context, host: str) -> None:
    """The devices of the lab's hosts do not change."""
    context.lab.members.check_reachable(host)


def _check_reconfigurable(context: Context, pif: str, *, moves: bool, goes: bool) -> None:
    """Raise why an interface cannot be configured anew; `moves`: to another address, `goes`: to none."""
    db = context.db
    record = db.record("PIF", pif)
    if not record["managed"]:
        raise XapiError("PIF_UNMANAGED", pif)
    if moves and record["currently_attached"] and db.get("pool", context.lab.members.pool, "ha_enabled"):
        raise XapiError("HA_IS_ENABLED")
    if goes and record["management"]:
        raise XapiError("PIF_IS_MANAGEMENT_INTERFACE", pif)


def _check_address(parameter: str, value: str, version: int) -> None:
    try:
        valid = ipaddress.ip_address(value).version == version
    except ValueError:
        valid = False
    if not valid:
        raise XapiError("INVALID_IP_ADDRESS_SPECIFIED", parameter)


def _name_servers(given: str, record: Record, version: int) -> str:
    """The DNS servers of one address family as given, those of the other as they are."""

    def of(text: str, family: int) -> list[str]:
        return [server for server in text.split(",") if server and (":" in server) == (family == 6)]

    return ",".join([*of(given, version), *of(record["DNS"], 10 - version)])


@call("PIF.reconfigure_ip")
async def pif_reconfigure_ip(
    context: Context, pif: str, mode: str, address: str, netmask: str, gateway: str, dns: str
) -> None:
    record = context.db.record("PIF", pif)
    present = (record["ip_configuration_mode"], record["IP"], record["netmask"], record["gateway"])
    _check_reconfigurable(
        context, pif, moves=mode != "Static" or present != (mode, address, netmask, gateway), goes=False
    )
    for parameter, value in (("IP", address), ("netmask", netmask), ("gateway", gateway)):
        if value or (mode == "Static" and parameter != "gateway"):
            _check_address(parameter, value, 4)
    _check_reconfigurable(context, pif, moves=False, goes=mode == "None" and record["primary_address_type"] == "IPv4")
    if record["management"] and address != record["IP"]:
        raise XapiError("NOT_IMPLEMENTED", "PIF.reconfigure_ip: the lab's hosts keep their management addresses")
    context.db.update(
        "PIF", pif, ip_configuration_mode=mode, IP=address, netmask=netmask, gateway=gateway,
        DNS=_name_servers(dns, record, 4),
    )  # fmt: skip


@call("PIF.reconfigure_ipv6")
async def pif_reconfigure_ipv6(context: Context, pif: str, mode: str, address: str, gateway: str, dns: str) -> None:
    record = context.db.record("PIF", pif)
    present = (record["ipv6_configuration_mode"], record["IPv6"], record["ipv6_gateway"])
    _check_reconfigurable(context, pif, moves=mode != "Static" or present != (mode, [address], gateway), goes=False)
    if gateway:
        _check_address("gateway", gateway, 6)
    if address and not _is_cidr(address):
        raise XapiError("INVALID_CIDR_ADDRESS_SPECIFIED", "IPv6")
    _check_reconfigurable(context, pif, moves=False, goes=mode == "None" and record["primary_address_type"] == "IPv6")
    context.db.update(
        "PIF", pif, ipv6_configuration_mode=mode, IPv6=[address], ipv6_gateway=gateway,
        DNS=_name_servers(dns, record, 6),
    )  # fmt: skip


def _is_cidr(address: str) -> bool:
    try:
        return "/" in address and ipaddress.ip_interface(address).version == 6
    except ValueError:
        return False
