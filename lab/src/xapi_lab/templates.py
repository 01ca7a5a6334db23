# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Templates as XCP-ng ships them (facts from its guest-templates-json package)."""

from __future__ import annotations

from dataclasses import dataclass

from xapi_lab.database import Database, new_uuid
from xapi_lab.memory import overhead

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Template:
    name: str
    reference_label: str
    uuid: str = ""
    firmware: str = "uefi"
    linux: bool = True
    memory: int = 2 * GIB
    """Bytes, static maximum."""
    memory_min: int = GIB
    memory_limit: int = 1536 * GIB
    disk: int = 10 * GIB
    """Bytes; 0: no disk."""


SHIPPED = (
    Template("Other install media", "other-install-media", "552bce37-51b2-445d-84f2-5f33fa112d7e", "bios", False,
             256 * MIB, 128 * MIB, 128 * GIB, 0),
    Template("Debian Bookworm 12", "debian-12"),
    Template("Debian Trixie 13", "debian-13"),
    Template("Debian Bullseye 11", "debian-11", firmware="bios"),
    Template("Ubuntu Jammy Jellyfish 22.04", "ubuntu-22.04"),
    Template("Ubuntu Noble Numbat 24.04", "ubuntu-24.04"),
    Template("Rocky Linux 9", "rocky-9"),
    Template("Generic Linux BIOS", "generic-linux-bios", firmware="bios"),
    Template("Generic Linux UEFI", "generic-linux-uefi"),
)  # fmt: skip
_LINUX_DESCRIPTION = "Install from installation media, or clone and give it a disk image"
_PLATFORM = {"nx": "true", "acpi": "1", "apic": "true", "pae": "true", "hpet": "true"}


def create(database: Database, template: Template) -> str:
    """Add a shipped template to a pool."""
    metrics = database.create("VM_metrics", {"current_domain_type": "unspecified"})
    platform = (
        {"vga": "std", "videoram": "8", "viridian": "false", "device_id": "0001"}
        if template.linux
        else {"viridian": "true"}
    )
    secure_boot = "auto" if template.firmware == "uefi" else "false"
    other_config = {
        "default_template": "true",
        "mac_seed": new_uuid(),
        "install-methods": "cdrom,nfs,http,ftp" if template.linux else "cdrom",
    }
    if template.linux:
        other_config["linux_template"] = "true"
    if template.disk:
        other_config["disks"] = (
            f'<provision><disk size="{template.disk}" sr="" bootable="true" type="system" device="0"/></provision>'
        )
    return database.create(
        "VM",
        {
            "uuid": template.uuid or new_uuid(),
            "name_label": template.name,
            "name_description": _LINUX_DESCRIPTION
            if template.linux
            else "Template which allows VM installation from install media",
            "user_version": 1, "is_a_template": True, "is_default_template": True,
            "memory_overhead": overhead(template.memory, 1),
            "memory_static_max": template.memory, "memory_dynamic_max": template.memory,
            "memory_dynamic_min": template.memory, "memory_static_min": template.memory_min,
            "VCPUs_max": 1, "VCPUs_at_startup": 1, "actions_after_shutdown": "destroy",
            "actions_after_reboot": "restart", "actions_after_crash": "restart",
            "HVM_boot_policy": "BIOS order",
            "HVM_boot_params": {"firmware": template.firmware, "order": "cdn" if template.linux else "cd"},
            "platform": {**platform, "secureboot": secure_boot, **_PLATFORM},
            "other_config": other_config, "domid": -1, "metrics": metrics, "version": 1, "generation_id": "",
            "recommendations": _recommendations(template), "reference_label": template.reference_label,
            "domain_type": "hvm", "has_vendor_device": False,
        },
    )  # fmt: skip


def _recommendations(template: Template) -> str:
    fields = {"memory-static-max": f'max="{template.memory_limit}"', "vcpus-max": 'max="64"',
              "has-vendor-device": 'value="false"', "supports-bios": 'value="yes"', "supports-uefi": 'value="yes"',
              "supports-secure-boot": 'value="yes"'}  # fmt: skip
    restrictions = "".join(f'<restriction field="{name}" {limit}/>' for name, limit in fields.items())
    return (
        f'<restrictions>{restrictions}<restriction property="number-of-vbds" max="255"/>'
        '<restriction property="number-of-vifs" max="7"/></restrictions>'
    )
