# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""One VM as a pool holds it: the snapshot that plans are made from. Sizes are bytes. References are None for what is not made yet."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass, field

from . import marks
from .disk_spec import NO_QOS, DiskQos
from .pool_facts import Pool
from .vm_settings import Settings

# Stands in a plan for the public key that nobody knows before it is made.
KEY_TO_BE_MADE = "to be made"


@dataclass(frozen=True)
class Origin:
    """The template that a system disk is a clone of: the checksum of an image, or else the template's UUID; and its name then."""

    id: str
    name: str

    def marks(self) -> dict[str, str]:
        return {marks.ORIGIN: self.id, marks.ORIGIN_NAME: self.name}


@dataclass(frozen=True)
class Disk:
    """A disk of a VM, or one that no VM holds (``vbd`` is None).

    ``ours``: it carries our marks of this VM's owner. ``shared``: another VM holds it too. ``keep``: it outlives its VM. ``label``: its VDI's name.
    ``origin``: what it is a clone of, where that is known. ``marked``: its VDI and its VBD carry the same marks.
    ``copied``: somebody made it of a disk of ours, whose marks it has; it is nobody's.
    """

    name: str | None
    size: int
    sr: str
    description: str = ""
    device: int | None = None
    uuid: str | None = None
    vdi: str | None = None
    vbd: str | None = None
    plugged: bool = False
    bootable: bool = False
    ours: bool = False
    keep: bool = False
    shared: bool = False
    of_vm: str | None = None
    checksum: str | None = None
    label: str = ""
    qos: DiskQos = NO_QOS
    origin: Origin | None = None
    marked: bool = True
    copied: bool = False

    def is_drive_for_another(self, vm_uuid: str | None) -> bool:
        """Whether it is the clone of a config drive, which holds the secrets of the VM that it was made for."""
        return self.checksum is not None and self.of_vm != vm_uuid

    def facts(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "size": self.size,
            "sr": self.sr,
            "description": self.description,
            "keep": self.keep,
            "qos": None if self.qos == NO_QOS else self.qos.facts(),
            "device": self.device,
            "uuid": self.uuid,
        }


def vdi_name(vm_name: str, disk_name: str) -> str:
    """How a disk's VDI is named in the pool, by which a run finds what an earlier one left unattached."""
    return f"{vm_name} {disk_name}"


@dataclass(frozen=True)
class Existing:
    """A VDI that the task names: a disk to attach, or an ISO. ``tenant`` is who marked it; ``sharable``: several VMs may hold it.

    ``read_only``: none may write to it.
    """

    name: str
    uuid: str
    disk: Disk
    tenant: str | None = None
    sharable: bool = False
    read_only: bool = False


@dataclass(frozen=True)
class Cd:
    """The CD drive, and the ISO in it: None where it is empty."""

    device: int | None
    iso: Existing | None = None
    vbd: str | None = None

    def facts(self) -> dict[str, t.Any] | None:
        return {"name": self.iso.name, "uuid": self.iso.uuid, "sr": self.iso.disk.sr} if self.iso else None


@dataclass(frozen=True)
class Nic:
    """A network interface. ``name`` is None where it is not ours. ``rate_limit`` is in kilobytes of 1024 bytes a second, None without a limit."""

    name: str | None
    network: str
    network_ref: str | None = None
    mac: str | None = None
    device: int | None = None
    uuid: str | None = None
    addresses: tuple[str, ...] = ()
    vif: str | None = None
    plugged: bool = False
    mtu: int = 1500
    rate_limit: int | None = None
    locking_mode: str = "network_default"
    ipv4_allowed: tuple[str, ...] = ()
    ipv6_allowed: tuple[str, ...] = ()

    def facts(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "network": self.network,
            "mac": self.mac,
            "mtu": self.mtu,
            "rate_limit": self.rate_limit,
            "locking_mode": self.locking_mode,
            "ipv4_allowed": list(self.ipv4_allowed),
            "ipv6_allowed": list(self.ipv6_allowed),
            "device": self.device,
            "uuid": self.uuid,
            "addresses": list(self.addresses),
        }


@dataclass(frozen=True)
class Drive:
    """The config drive: ``attached``; ``removed`` once the guest has taken it; or ``absent``. ``checksum`` is of what the user gave."""

    state: str = "absent"
    checksum: str | None = None
    disk: Disk | None = None


@dataclass(frozen=True)
class Vm:
    """A VM with its devices. ``power_state`` is in lower case. ``making``: an interrupted run has not finished it.

    ``occupied``: the positions of what is no disk, as the drives. ``returns_to``: the power state that an interrupted run, which halted it for a
    change, was to bring it back to.
    """

    name: str
    owner: marks.Owner | None
    power_state: str = "halted"
    description: str = ""
    settings: Settings = field(default_factory=Settings)
    tags: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    drive: Drive = field(default_factory=Drive)
    cd: Cd | None = None
    occupied: frozenset[int] = frozenset()
    ssh_host_key: str | None = None
    host: str | None = None
    host_ref: str | None = None
    uuid: str | None = None
    ref: str | None = None
    making: bool = False
    returns_to: str | None = None
    is_template: bool = False
    has_drivers: bool = False
    has_agent: bool = False
    snapshots: tuple[Remains, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(address for nic in self.nics for address in nic.addresses)

    @property
    def all_disks(self) -> tuple[Disk, ...]:
        """The config drive too."""
        return (*self.disks, *([self.drive.disk] if self.drive.disk else []))

    def disk(self, name: str) -> Disk | None:
        return next((disk for disk in self.disks if disk.name == name), None)

    def nic(self, name: str) -> Nic | None:
        return next((nic for nic in self.nics if nic.name == name), None)

    def facts(self, address: str | None = None) -> dict[str, t.Any]:
        """What a module returns as ``vm``. ``address`` is the one that was waited for."""
        reachable = [each for each in self.addresses if not ipaddress.ip_address(each).is_link_local]
        root = self.disk(marks.ROOT_DISK)
        origin = root.origin if root else None
        return {
            "uuid": self.uuid,
            "name": self.name,
            "description": self.description,
            "template": origin and origin.name,
            "template_id": origin and origin.id,
            "tenant": self.owner.tenant if self.owner else None,
            "inventory_host": self.owner.host if self.owner else None,
            "power_state": self.power_state,
            **self.settings.facts(),
            "host": self.host,
            "addresses": list(self.addresses),
            "address": address or (reachable[0] if reachable else None),
            "tags": list(self.tags),
            "disks": [disk.facts() for disk in self.disks],
            "networks": [nic.facts() for nic in self.nics],
            "iso": self.cd.facts() if self.cd else None,
            "ssh_host_key": None if self.ssh_host_key == KEY_TO_BE_MADE else self.ssh_host_key,
            "config_drive": {"state": self.drive.state, "sha256": self.drive.checksum},
        }


@dataclass(frozen=True)
class Remains:
    """A VM record that is to go with its disks: a clone that was never marked, or a snapshot."""

    ref: str
    uuid: str
    name: str
    disks: tuple[Disk, ...] = ()


@dataclass(frozen=True)
class Template:
    """What a new VM is cloned from: a template, a VM or a snapshot. Config drives are not among its disks.

    ``origin`` is what it gives to the disks of its clones; None where these keep what they are of, as those of a VM do.
    """

    name: str
    uuid: str
    ref: str
    settings: Settings = field(default_factory=Settings)
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    cd: Cd | None = None
    occupied: frozenset[int] = frozenset()
    origin: Origin | None = None


@dataclass(frozen=True)
class Observed:
    """All that a plan for one VM looks at.

    ``adopting``: the VM is not marked as ours yet, and the spec allows to take it. ``half_made``: clones that an interrupted run did not
    come to mark. ``origins``: what the option ``template`` names. ``loose_disks``: disks with our marks that no VM holds. ``existing``: disks
    and ``isos``: ISOs that the task may name.
    """

    pool: Pool
    vm: Vm | None = None
    adopting: bool = False
    template: Template | None = None
    origins: tuple[Origin, ...] = ()
    half_made: tuple[Remains, ...] = ()
    loose_disks: tuple[Disk, ...] = ()
    existing: tuple[Existing, ...] = ()
    isos: tuple[Existing, ...] = ()
