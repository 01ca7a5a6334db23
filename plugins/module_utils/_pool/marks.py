# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Marks: the keys in ``other_config`` by which we know our own objects.

A clone, a snapshot and an import carry copies of them, which is why a VM's marks count only with its own uuid in ``hardshell:vm``.

A disk's are on its VDI, by which it is found wherever it is, and the same on its VBD: a storage migration makes another VDI, to which XAPI takes
the name and the description and nothing else (storage_smapiv1.ml: VDI.create), and leaves the VBD. What XAPI copies and clones has the marks too
(xapi_vdi.ml), which is why a VDI's count only with its own uuid in ``hardshell:vdi``, or without one until it is attached.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

PREFIX = "hardshell:"
TENANT = "hardshell:tenant"
HOST = "hardshell:host"
VM = "hardshell:vm"
MAKING = "hardshell:making"
POWER_CYCLE = "hardshell:power-cycle"
DISK = "hardshell:disk"
VDI = "hardshell:vdi"
ORIGIN = "hardshell:origin"
ORIGIN_NAME = "hardshell:origin-name"
NIC = "hardshell:nic"
NETWORK = "hardshell:network"
KEEP = "hardshell:keep"
CONFIG_DRIVE = "hardshell:config-drive"
SSH_HOST_KEY = "hardshell:ssh-host-key"
IMAGE = "hardshell:image"
SNAPSHOT = "hardshell:snapshot"
CHECKSUM = "hardshell:checksum"
IMAGE_VERSION = "hardshell:image-version"
IMAGE_NUMBER = "hardshell:image-number"
TENANT_TAG = "tenant:"

ROOT_DISK = "root"
CONFIG_DRIVE_DISK = "config-drive"

OtherConfig = t.Mapping[str, str]


@dataclass(frozen=True)
class Owner:
    """Whose an object is: a tenant, and the inventory host that its VM is."""

    tenant: str
    host: str

    def marks(self) -> dict[str, str]:
        return {TENANT: self.tenant, HOST: self.host}

    def owns(self, other_config: OtherConfig) -> bool:
        return other_config.get(TENANT) == self.tenant and other_config.get(HOST) == self.host

    def __str__(self) -> str:
        return f"{self.tenant}/{self.host}"


def owner_of_vm(other_config: OtherConfig, uuid: str) -> Owner | None:
    """The owner of a VM, or None where its marks are missing or were copied from another VM."""
    if other_config.get(VM) != uuid or TENANT not in other_config:
        return None
    return Owner(other_config[TENANT], other_config.get(HOST, ""))


def without_marks(other_config: OtherConfig) -> dict[str, str]:
    """What others keep there."""
    return {key: value for key, value in other_config.items() if not key.startswith(PREFIX)}


def marks_in(other_config: OtherConfig) -> dict[str, str]:
    return {key: value for key, value in other_config.items() if key.startswith(PREFIX)}


def remembered(vdi: OtherConfig, vbd: OtherConfig, vm_uuid: str | None) -> dict[str, str]:
    """The ``other_config`` of a VDI, with the marks that its VBD remembers where it has lost its own.

    ``vm_uuid``: the VM whose VBD it is, since a clone has copies of another's; None takes any.
    """
    lost = TENANT not in vdi and VM in vbd and vm_uuid in (None, vbd[VM])
    return {**vdi, **(marks_in(vbd) if lost else {})}


def is_copy(vdi: OtherConfig, uuid: str) -> bool:
    """Whether a VDI carries the marks of another one, of which somebody has made it."""
    return vdi.get(VDI, uuid) != uuid


def tags_of(tenant: str, wanted: t.Iterable[str], present: t.Iterable[str]) -> tuple[str, ...]:
    """The tags that a VM is to carry: those it has, but no other tenant's, and those asked for."""
    kept = [tag for tag in present if not tag.startswith(TENANT_TAG)]
    return tuple(sorted({*kept, *wanted, TENANT_TAG + tenant}))


def making_name(name: str, owner: Owner) -> str:
    """The name of a clone until it carries its marks: a run that is cut off there is known by it."""
    return f"{name} (hardshell.xen is making it for {owner})"
