# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A tenant's network as it is asked for and as a pool holds it. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field, replace

from .._errors import OptionError
from . import marks
from .option_checks import refuse_unwritable

# XAPI serves disks by NBD on networks of such a purpose: with TLS, and without.
PURPOSES = ("nbd", "insecure_nbd")


@dataclass(frozen=True)
class NetworkSpec:
    """None leaves a thing as it is; for a new network, ``vlan`` None makes a private one. ``mtu`` is bytes."""

    name: str
    tenant: str
    state: str = "present"
    description: str | None = None
    vlan: int | None = None
    device: str | None = None
    mtu: int | None = None
    default_locking_mode: str | None = None
    purpose: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    adopt: bool = False
    planned_removals: tuple[str, ...] = ()

    def known(self, network: TenantNetwork) -> bool:
        """Whether a network carries our marks."""
        return (network.tenant, network.known_as) == (self.tenant, self.name)

    def marks(self) -> dict[str, str]:
        return {marks.TENANT: self.tenant, marks.NETWORK: self.name}


@dataclass(frozen=True)
class Port:
    """An interface of a host that can carry VLANs: a physical one, or a bond."""

    pif: str
    host: str
    host_name: str
    device: str
    live: bool


@dataclass(frozen=True)
class Vlan:
    """A VLAN on one host. ``ref`` is None where it is to be made."""

    tag: int
    device: str
    host: str
    host_name: str
    ref: str | None = None

    @property
    def title(self) -> str:
        return f"{self.tag} on {self.device} of {self.host_name}"


@dataclass(frozen=True)
class TenantNetwork:
    """A network. ``tenant`` and ``known_as`` are its marks. ``users``: the VMs with an interface on it, None where they
    were not read; ``plugged``: at least one of these interfaces is in use."""

    name: str
    tenant: str | None = None
    known_as: str | None = None
    description: str = ""
    mtu: int = 1500
    default_locking_mode: str = "unlocked"
    purpose: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    vlans: tuple[Vlan, ...] = ()
    physical: bool = False
    system: bool = False
    ref: str | None = None
    uuid: str | None = None
    bridge: str | None = None
    interfaces: int = 0
    users: tuple[str, ...] | None = None
    plugged: bool = False

    def without_vms(self, names: t.Collection[str]) -> TenantNetwork:
        """The network without the interfaces of these VMs, where no others are on it."""
        gone = self.users is not None and set(self.users) <= set(names)
        return replace(self, interfaces=0, users=(), plugged=False) if gone else self

    @property
    def vlan(self) -> int | None:
        return self.vlans[0].tag if self.vlans else None

    @property
    def device(self) -> str | None:
        return self.vlans[0].device if self.vlans else None

    def facts(self) -> dict[str, t.Any]:
        """What a module returns as ``network``."""
        return {"uuid": self.uuid, "bridge": self.bridge, **self.settings()}

    def settings(self) -> dict[str, t.Any]:
        """What of it is asked for, and not given by the pool."""
        return {
            "name": self.name,
            "tenant": self.tenant,
            "description": self.description,
            "vlan": self.vlan,
            "device": self.device,
            "hosts": sorted(vlan.host_name for vlan in self.vlans),
            "mtu": self.mtu,
            "default_locking_mode": self.default_locking_mode,
            "purpose": list(self.purpose),
            "tags": list(self.tags),
        }


@dataclass(frozen=True)
class ObservedNetworks:
    """``ours`` carries our marks; ``strangers`` have the name without them; ``taken`` maps device and tag to the network that has them.

    ``purposes`` maps each purpose that a network of the pool has to the names of those networks.
    """

    ours: TenantNetwork | None = None
    strangers: tuple[TenantNetwork, ...] = ()
    ports: tuple[Port, ...] = ()
    taken: t.Mapping[tuple[str, int], TenantNetwork] = field(default_factory=dict)
    purposes: t.Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def without_vms(self, names: t.Collection[str]) -> ObservedNetworks:
        """The same, as it is when these VMs are removed."""
        return replace(self, ours=self.ours.without_vms(names) if self.ours else None)


def network_spec(parameters: t.Mapping[str, t.Any]) -> NetworkSpec:
    """The spec out of the module's parameters. Raises ``OptionError`` for the first that cannot be used."""
    refuse_unwritable(parameters)
    name, tenant, vlan, mtu = (parameters[option] for option in ("name", "tenant", "vlan", "mtu"))
    if not name.strip() or '"' in name or not name.isprintable():
        raise OptionError("name", name, "give a name of printable characters without double quotes")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", tenant):
        raise OptionError(
            "tenant", tenant, "give a DNS label: lower-case letters, digits and inner hyphens, at most 63"
        )
    if vlan is not None and not 1 <= vlan <= 4094:
        raise OptionError("vlan", vlan, "give a VLAN tag from 1 to 4094")
    if parameters["device"] and vlan is None:
        raise OptionError("device", parameters["device"], "it is the interface that carries the VLAN; give vlan too")
    if mtu is not None and not 576 <= mtu <= 65535:
        raise OptionError("mtu", mtu, "give a size from 576 to 65535 bytes")
    return NetworkSpec(
        name=name,
        tenant=tenant,
        state=parameters["state"],
        description=parameters["description"],
        vlan=vlan,
        device=parameters["device"] or None,
        mtu=mtu,
        default_locking_mode=parameters["default_locking_mode"],
        purpose=_purpose(parameters["purpose"]),
        tags=_tags(parameters["tags"] or []),
        adopt=parameters["adopt"],
        planned_removals=tuple(parameters["planned_removals"]),
    )


def _purpose(given: t.Sequence[str] | None) -> tuple[str, ...] | None:
    if given is None:
        return None
    if len(set(given)) > 1:
        raise OptionError("purpose", list(given), "XAPI serves disks with TLS or without, not both; give one")
    return tuple(sorted(set(given)))


def _tags(given: t.Sequence[str]) -> tuple[str, ...]:
    for index, tag in enumerate(given):
        if tag.startswith(marks.TENANT_TAG):
            raise OptionError(f"tags[{index}]", tag, "this tag is set from tenant; leave it out")
    return tuple(sorted(set(given)))
