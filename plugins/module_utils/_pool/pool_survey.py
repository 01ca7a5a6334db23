# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a pool is made of and what of it is left: from XAPI's records to plain facts. Pure. Sizes are bytes."""

from __future__ import annotations

import typing as t

from .bulk_reads import Records
from .network_observe import network_of
from .session import Record
from .times import iso_time

CLASSES = ("pool", "host", "host_metrics", "sr", "pbd", "network", "pif", "certificate")
Facts = dict[str, t.Any]

_VERSIONS = {
    "product_brand": "product",
    "product_version": "version",
    "xapi_build": "xapi",
    "xen": "xen",
    "linux": "linux",
    "db_schema": "db_schema",
    "date": "date",
}


def survey(seen: t.Mapping[str, Records], vms: Records) -> Facts:
    """All of a pool out of the records of ``CLASSES`` and of its VMs, control domains among them."""
    pool_record = next(iter(seen.get("pool", {}).values()))
    hosts = [_host(ref, record, seen, pool_record, vms) for ref, record in seen.get("host", {}).items()]
    storage = [_storage(ref, record, seen, pool_record) for ref, record in seen.get("sr", {}).items()]
    networks = [
        {**network_of(ref, record, seen).facts(), "interfaces": len(record["VIFs"])}
        for ref, record in seen.get("network", {}).items()
    ]
    features = _features(pool_record.get("restrictions", {}))
    return {
        "pool": _pool(pool_record, seen),
        "hosts": _by_name(hosts),
        "storage": _by_name(storage),
        "networks": _by_name(networks),
        "certificates": _certificates(seen),
        "features": features,
        "restrictions": sorted(name for name, allowed in features.items() if not allowed),
        "capacity": _capacity(hosts, storage),
    }


def _pool(record: Record, seen: t.Mapping[str, Records]) -> Facts:
    srs = seen.get("sr", {})
    return {
        "uuid": record["uuid"],
        "name": record["name_label"],
        "description": record["name_description"],
        "coordinator": seen.get("host", {}).get(record["master"], {}).get("name_label"),
        "default_sr": srs.get(record["default_SR"], {}).get("name_label"),
        "suspend_sr": srs.get(record["suspend_image_SR"], {}).get("name_label"),
        "ha": {
            "enabled": record["ha_enabled"],
            "failures_to_tolerate": int(record["ha_host_failures_to_tolerate"]),
            "plan_exists_for": int(record["ha_plan_exists_for"]),
        },
        "tls_verification": bool(record.get("tls_verification_enabled")),
    }


def _host(ref: str, record: Record, seen: t.Mapping[str, Records], pool: Record, vms: Records) -> Facts:
    metrics = seen.get("host_metrics", {}).get(record["metrics"], {})
    here = [vm for vm in vms.values() if ref in (vm["resident_on"], vm["scheduled_to_be_resident_on"])]
    guests = [vm for vm in here if not vm["is_control_domain"]]
    total = int(metrics.get("memory_total", 0))
    # XAPI starts a VM where it fits with the others squeezed to the least that they may have.
    used = int(record["memory_overhead"]) + sum(
        int(vm["memory_dynamic_min"]) + int(vm["memory_overhead"]) for vm in here
    )
    return {
        "uuid": record["uuid"],
        "name": record["name_label"],
        "address": record["address"],
        "coordinator": ref == pool["master"],
        "enabled": record["enabled"],
        "live": bool(metrics.get("live")),
        "cpus": int(record["cpu_info"].get("cpu_count", 0)),
        "vcpus": sum(int(vm["VCPUs_max"]) for vm in guests),
        "vms": len(guests),
        "memory": _space(total, used),
        "versions": {name: record["software_version"].get(key) for key, name in _VERSIONS.items()},
        "https_only": record.get("https_only"),
        "ssl_legacy": bool(record.get("ssl_legacy")),
        "pending_guidances": sorted(record.get("pending_guidances", [])),
    }


def _storage(ref: str, record: Record, seen: t.Mapping[str, Records], pool: Record) -> Facts:
    attached = {pbd["host"] for pbd in seen.get("pbd", {}).values() if pbd["SR"] == ref and pbd["currently_attached"]}
    hosts = seen.get("host", {})
    return {
        "uuid": record["uuid"],
        "name": record["name_label"],
        "type": record["type"],
        "content": record["content_type"],
        "shared": record["shared"],
        "default": ref == pool["default_SR"],
        "hosts": sorted(hosts[host]["name_label"] for host in attached if host in hosts),
        "space": {
            **_space(int(record["physical_size"]), int(record["physical_utilisation"])),
            "allocated": int(record["virtual_allocation"]),
        },
    }


def _certificates(seen: t.Mapping[str, Records]) -> list[Facts]:
    hosts = seen.get("host", {})
    found = [
        {
            "name": record.get("name", ""),
            "type": record.get("type", "host"),
            "host": hosts.get(record["host"], {}).get("name_label"),
            "fingerprint": record.get("fingerprint_sha256") or record.get("fingerprint", ""),
            "not_before": iso_time(record["not_before"]),
            "not_after": iso_time(record["not_after"]),
        }
        for record in seen.get("certificate", {}).values()
    ]
    return sorted(found, key=lambda each: (each["type"], each["name"], each["host"] or ""))


def _features(restrictions: t.Mapping[str, str]) -> dict[str, bool]:
    """What the licence allows, by the name of the restriction that would forbid it."""
    prefix = "restrict_"
    return {
        key.removeprefix(prefix): value != "true"
        for key, value in sorted(restrictions.items())
        if key.startswith(prefix)
    }


def _capacity(hosts: list[Facts], storage: list[Facts]) -> Facts:
    """What VMs can use: hosts that are enabled, and storage for disks that a host is connected to."""
    usable = [host for host in hosts if host["enabled"] and host["live"]]
    disks = [
        each["space"]
        for each in storage
        if each["content"] != "iso" and each["type"] not in ("iso", "udev") and each["hosts"]
    ]
    return {
        "hosts": len(usable),
        "cpus": sum(host["cpus"] for host in usable),
        "vcpus": sum(host["vcpus"] for host in usable),
        "vms": sum(host["vms"] for host in usable),
        "memory": _sum([host["memory"] for host in usable]),
        "disk": _sum(disks),
    }


def _space(total: int, used: int) -> Facts:
    return {"total": total, "used": used, "free": max(0, total - used)}


def _sum(spaces: list[Facts]) -> Facts:
    return {key: sum(space[key] for space in spaces) for key in ("total", "used", "free")}


def _by_name(things: list[Facts]) -> list[Facts]:
    return sorted(things, key=lambda thing: (thing["name"], thing["uuid"]))
