# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The objects of a new pool, and what is put right at each start."""

from __future__ import annotations

import hashlib
import random
from uuid import UUID

from xapi_lab import templates
from xapi_lab.config import Config, HostShape, NetworkShape, SrShape, host_addresses
from xapi_lab.database import Database, new_uuid
from xapi_lab.memory import HYPERVISOR_OVERHEAD
from xapi_lab.model import CLIENT_CERTIFICATE
from xapi_lab.values import NULL, now

XAPI_BUILD = "26.1.4"
SOFTWARE_VERSION = {
    "product_version": "8.3.0",
    "product_version_text": "8.3",
    "product_version_text_short": "8.3",
    "platform_name": "XCP",
    "platform_version": "3.4.0",
    "product_brand": "XCP-ng",
    "build_number": "lab",
    "hostname": "localhost",
    "date": "20260512T00:00:00Z",
    "xapi": "26.1",
    "xapi_build": XAPI_BUILD,
    "xen": "4.17.5",
    "linux": "4.19.0+1",
    "network_backend": "openvswitch",
    "db_schema": "5.793",
}
LICENSE_PARAMS = {
    "sku_type": "free",
    "version": "8.3.0",
    "expiry": "never",
    **{
        f"restrict_{feature}": "false"
        for feature in (
            "vlan", "vswitch_controller", "lab", "stage", "storagelink", "storagelink_site_recovery", "web_selfservice",
            "rbac", "dmc", "checkpoint", "cifs", "ha", "pooling", "vif_locking", "vm_groups", "storage_xen_motion",
            "xen_motion", "export_resource_data", "import_vm", "live_patching", "set_vcpus_number_live", "vtpm",
        )
    },
}  # fmt: skip
ROLES = {
    "pool-admin": "The Pool Administrator role has full access to all features and settings",
    "pool-operator": "The Pool Operator role manages host- and pool-wide resources",
    "vm-power-admin": "The VM Power Administrator role has full access to VM and template management",
    "vm-admin": "The VM Administrator role can manage VMs and templates",
    "vm-operator": "The VM Operator role can use VMs and interact with VM consoles",
    "client-cert": "The Client Certificate role has access to functionality granted to those who authenticate using a client"
    " certificate",
    "read-only": "The Read-Only role can log in with basic read-only access",
}
SR_OPERATIONS = ["vdi_introduce", "unplug", "plug", "pbd_create", "pbd_destroy", "vdi_resize", "vdi_clone", "scan",
                 "vdi_snapshot", "vdi_create", "vdi_destroy", "update", "destroy", "forget"]  # fmt: skip
HOST_OPERATIONS = ["vm_migrate", "provision", "vm_resume", "evacuate", "vm_start"]
SR_TYPES = {
    "ext": "Local EXT3 VHD",
    "file": "File-based VHD",
    "nfs": "NFS VHD",
    "iso": "ISO",
    "dummy": "dummy",
}
_SM_FEATURES = ["SR_PROBE", "SR_UPDATE", "VDI_CREATE", "VDI_DELETE", "VDI_ATTACH", "VDI_DETACH", "VDI_CLONE",
                "VDI_SNAPSHOT", "VDI_RESIZE", "VDI_UPDATE", "VDI_GENERATE_CONFIG", "VDI_MIRROR"]  # fmt: skip
_ISO_FEATURES = ["SR_PROBE", "VDI_CREATE", "VDI_DELETE", "VDI_ATTACH", "VDI_DETACH"]
DOM0_MEMORY = 2**30


def make_pool(database: Database, config: Config) -> None:
    """Fill an empty database with the pool that a configuration describes."""
    hosts = [
        _host(database, shape, address) for shape, address in zip(config.hosts, host_addresses(config), strict=True)
    ]
    by_name = {shape.name: host for shape, host in zip(config.hosts, hosts, strict=True)}
    networks = [_network(database, shape) for shape in config.networks]
    pool = database.create(
        "pool",
        {"name_label": config.pool_name, "master": hosts[0], "default_SR": NULL, "suspend_image_SR": NULL,
         "crash_dump_SR": NULL, "other_config": {}, "allowed_operations": ["ha_enable", "designate_new_master"],
         "restrictions": {name: value for name, value in LICENSE_PARAMS.items() if name.startswith("restrict_")},
         "recommendations": {"max-vm-anti-affinity-groups": "5"}, "cpu_info": {}, "ha_cluster_stack": "xhad"},
    )  # fmt: skip
    for kind, label in SR_TYPES.items():
        _storage_manager(database, kind, label)
    srs = [(shape, make_sr(database, shape, [by_name[shape.host]] if shape.host else hosts)) for shape in config.srs]
    default = next((sr for shape, sr in srs if shape.default), srs[0][1])
    database.update("pool", pool, default_SR=default, suspend_image_SR=default, crash_dump_SR=default)
    for host in hosts:
        database.update("host", host, suspend_image_sr=default, crash_dump_sr=default)
        nat = [network for shape, network in zip(config.networks, networks, strict=True) if shape.kind == "nat"]
        for number, network in enumerate(nat):
            _pif(database, host, network, number)
    for template in templates.SHIPPED:
        templates.create(database, template)


def _ensure_roles(database: Database) -> None:
    """XAPI's roles are in no database, so a pool that was loaded from one may lack them."""
    for name, description in ROLES.items():
        uuid = role_uuid(name)
        if not database.exists("role", f"OpaqueRef:{uuid}"):
            database.create(
                "role",
                {"uuid": uuid, "name_label": name, "name_description": description,
                 "is_internal": name == CLIENT_CERTIFICATE},
                f"OpaqueRef:{uuid}",
            )  # fmt: skip


def role_uuid(name: str) -> str:
    """XAPI's roles are the same in every pool: their uuids and references are made of their names (rbac_static.ml)."""
    return str(UUID(bytes=hashlib.md5(name.encode(), usedforsecurity=False).digest()))


def after_start(database: Database) -> None:
    """What a fresh server process says of itself: that nothing is under way."""
    _ensure_roles(database)
    for class_name, class_ in database.model.classes.items():
        if "current_operations" in class_.fields:
            for ref in database.refs(class_name):
                database.set(class_name, ref, "current_operations", {})
    database.recompute_all(("VM", "VBD", "VIF", "VDI"))


def _host(database: Database, shape: HostShape, address: str) -> str:
    metrics = database.create(
        "host_metrics", {"memory_total": shape.memory, "memory_free": 0, "live": True, "last_updated": now()}
    )
    host = database.create(
        "host",
        {
            "name_label": shape.name,
            "name_description": "Host of the lab",
            "memory_overhead": HYPERVISOR_OVERHEAD,
            "allowed_operations": list(HOST_OPERATIONS),
            "API_version_major": 2,
            "API_version_minor": 21,
            "API_version_vendor": "XenSource",
            "enabled": True,
            "software_version": {**SOFTWARE_VERSION, "hostname": shape.name},
            "other_config": {"agent_start_time": "0.", "boot_time": "0.", "iscsi_iqn": ""},
            "capabilities": ["xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_64"],
            "cpu_info": {"cpu_count": str(shape.cpus), "socket_count": "1", "threads_per_core": "1",
                         "vendor": "GenuineIntel", "speed": "2000.000", "modelname": "Lab CPU", "family": "6",
                         "model": "85", "stepping": "4", "flags": "", "features": ""},
            "cpu_configuration": {"nr_nodes": "1", "nr_cpus": str(shape.cpus)},
            "sched_policy": "credit",
            "supported_bootloaders": ["pygrub"],
            "logging": {},
            "hostname": shape.name,
            "address": address,
            "metrics": metrics,
            "license_params": dict(LICENSE_PARAMS),
            "edition": "xcp-ng",
            "editions": ["xcp-ng"],
            "license_server": {"address": "localhost", "port": "27000"},
            "bios_strings": {"bios-vendor": "Lab", "system-manufacturer": "Lab", "system-product-name": "Lab host"},
            "chipset_info": {"iommu": "false"},
            "virtual_hardware_platform_versions": [0, 1, 2],
            "tls_verification_enabled": True,
            "ssl_legacy": False,
        },
    )  # fmt: skip
    for number in range(shape.cpus):
        database.create(
            "host_cpu", {"host": host, "number": number, "vendor": "GenuineIntel", "speed": 2000,
                         "modelname": "Lab CPU", "family": 6, "model": 85}
        )  # fmt: skip
    _control_domain(database, host, shape)
    return host


def _control_domain(database: Database, host: str, shape: HostShape) -> None:
    metrics = database.create(
        "VM_metrics", {"memory_actual": DOM0_MEMORY, "VCPUs_number": min(2, shape.cpus), "current_domain_type": "pv"}
    )
    vm = database.create(
        "VM",
        {
            "name_label": f"Control domain on host: {shape.name}",
            "name_description": "The domain which manages physical devices and manages other domains",
            "power_state": "Running", "user_version": 1, "is_control_domain": True, "resident_on": host,
            "affinity": host, "memory_overhead": 12 * 2**20, "memory_target": DOM0_MEMORY,
            "memory_static_max": DOM0_MEMORY, "memory_dynamic_max": DOM0_MEMORY, "memory_dynamic_min": DOM0_MEMORY,
            "memory_static_min": DOM0_MEMORY, "VCPUs_max": min(2, shape.cpus), "VCPUs_at_startup": min(2, shape.cpus),
            "actions_after_reboot": "destroy", "domid": 0, "domarch": "x64", "domain_type": "pv", "metrics": metrics,
            "generation_id": "",
        },
    )  # fmt: skip
    database.update("host", host, control_domain=vm)


def _network(database: Database, shape: NetworkShape) -> str:
    internal = shape.bridge == "xenapi"
    other_config = (
        {"is_guest_installer_network": "true", "is_host_internal_management_network": "true",
         "ip_begin": "169.254.0.1", "ip_end": "169.254.255.254", "netmask": "255.255.0.0"}
        if internal
        else {}
    )  # fmt: skip
    bridge = shape.bridge or f"xapi{len(database.tables['network'])}"
    return database.create("network", {"name_label": shape.name, "bridge": bridge, "other_config": other_config})


def _pif(database: Database, host: str, network: str, number: int) -> None:
    metrics = database.create(
        "PIF_metrics", {"carrier": True, "speed": 10000, "duplex": True, "vendor_name": "Lab", "device_name": "Lab NIC",
                        "last_updated": now()}
    )  # fmt: skip
    mac = ":".join(["02", *(f"{random.randrange(256):02x}" for _ in range(5))])
    database.create(
        "PIF",
        {"device": f"eth{number}", "network": network, "host": host, "MAC": mac, "MTU": 1500, "VLAN": -1,
         "metrics": metrics, "physical": True, "currently_attached": True,
         "ip_configuration_mode": "Static" if number == 0 else "None",
         "IP": database.get("host", host, "address") if number == 0 else "",
         "netmask": "255.0.0.0" if number == 0 else "", "management": number == 0, "managed": True,
         "capabilities": []},
    )  # fmt: skip


def _storage_manager(database: Database, kind: str, label: str) -> None:
    features = _ISO_FEATURES if kind == "iso" else _SM_FEATURES
    database.create(
        "SM",
        {"name_label": label, "name_description": f"SR plugin which stores disks as files ({kind})", "type": kind,
         "vendor": "xapi-lab", "version": "3.0", "required_api_version": "1.0", "capabilities": list(features),
         "features": dict.fromkeys(features, 1), "driver_filename": f"/opt/xensource/sm/{kind.upper()}SR"},
    )  # fmt: skip


def make_sr(database: Database, shape: SrShape, hosts: list[str], uuid: str | None = None) -> str:
    """An SR, attached to all hosts when it is shared and to the first otherwise."""
    sr = database.create(
        "SR",
        {"uuid": uuid or new_uuid(), "name_label": shape.name, "type": shape.type, "content_type": shape.content_type,
         "physical_size": shape.capacity, "shared": shape.shared, "allowed_operations": list(SR_OPERATIONS),
         "other_config": {}},
    )  # fmt: skip
    for host in hosts if shape.shared else hosts[:1]:
        database.create("PBD", {"host": host, "SR": sr, "device_config": {}, "currently_attached": True})
    return sr
