# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What is asked for: a set and its members, checked whole before the engine is spoken to."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .._errors import OptionError
from . import names, parsers
from .declared_networks import DeclaredNetwork, check_addresses, check_subnets, parse_declared
from .links import DNS_LABEL, NAME, check_links, start_order
from .member_spec import MemberSpec, parse_member
from .named_volumes import check_used, parse_volumes
from .namespaces import VM_NETWORK, check_namespaces, check_reachable
from .networks import Joined, check_names
from .ports import Port
from .references import Reference, parse_reference
from .registries import Registry, parse_registries
from .replicas import expand

MOST_REPLICAS = 100


@dataclass(frozen=True)
class ArchivedImage:
    """An image to load: ``archive`` is a path on the controller."""

    archive: str
    image: str
    reference: Reference


@dataclass(frozen=True)
class SetSpec:
    """A container set as it shall be. ``wait_timeout`` is in seconds. ``fate`` is what happens to the whole when a member fails at run time.

    ``adopt`` is whether containers that were made by other means are taken over; ``external_volumes`` are there already, by their names on the engine, and
    ``driver_opts`` are those of the volumes that have some, by these names too.
    ``declared`` are the networks that are no plain bridges, or not called after the set.
    """

    name: str
    tenant: str
    present: bool = True
    members: t.Mapping[str, MemberSpec] = field(default_factory=dict)
    images: tuple[ArchivedImage, ...] = ()
    registries: tuple[Registry, ...] = ()
    pull: str = "missing"
    network: str = "per-link"
    recreate: str = "when_changed"
    remove_orphans: bool = True
    remove_volumes: bool = False
    wait_timeout: float = 300.0
    fate: str = names.INDEPENDENT
    update_order: str = "stop-first"
    adopt: bool = False
    external_volumes: frozenset[str] = frozenset()
    driver_opts: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict, repr=False)
    declared: t.Mapping[str, DeclaredNetwork] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def providers(self) -> dict[str, list[str]]:
        return {name: list(member.providers) for name, member in self.members.items()}

    def order(self) -> list[str]:
        """The members, providers first."""
        return start_order(self.providers())

    def own_network(self, member: str) -> str:
        """The network that ``member`` is created in, or its ``network_mode``."""
        if self.members[member].network_mode:
            return self.members[member].network_mode
        if self.network == "flat":
            return names.flat_network(self.name)
        if self.network == "declared":
            spec = self.members[member]
            return self.network_name(spec.mac_network or next(iter(spec.networks)))
        return names.own_network(self.name, self.members[member].known_as)

    def networks(self) -> tuple[str, ...]:
        if self.network == "declared":
            declared = (network for member in self.order() for network in self.members[member].networks)
            return tuple(dict.fromkeys(map(self.network_name, declared)))
        own = (member for member in self.order() if not self.members[member].network_mode)
        return tuple(dict.fromkeys(self.own_network(member) for member in own))

    def network_name(self, network: str) -> str:
        """What the engine calls a network that members name."""
        return self.declared[network].name if network in self.declared else names.declared_network(self.name, network)

    def with_warnings(self, warnings: t.Iterable[str]) -> SetSpec:
        return replace(self, warnings=(*self.warnings, *warnings))


def parse(parameters: t.Mapping[str, t.Any]) -> SetSpec:
    """The checked form of the module's parameters. Raises ``OptionError`` or ``HardshellError`` naming the option."""
    name = _dns_label("name", parameters["name"])
    tenant = _dns_label("tenant", parameters["tenant"])
    present = parameters["state"] == "present"
    if parameters["wait_timeout"] <= 0:
        raise OptionError("wait_timeout", parameters["wait_timeout"], "write a number of seconds above 0")
    if present and parameters["remove_volumes"]:
        raise OptionError("remove_volumes", True, "volumes are removed with state=absent only")
    network = parameters["network"] or "per-link"
    members: dict[str, MemberSpec] = {}
    replicas: dict[str, int] = {}
    volumes = parse_volumes("volumes", parameters.get("volumes") or {}, name) if present else {}
    declared = parse_declared("networks", parameters.get("networks") or {}, name) if present else {}
    if declared and network != "declared":
        raise OptionError(
            "networks", sorted(declared), "it goes with network=declared, where members name their networks"
        )
    if present:
        containers = parsers.mapping("containers", parameters["containers"])
        if not containers:
            raise OptionError(
                "containers", containers, "name at least one container; to remove the set use state=absent"
            )
        for member, definition in containers.items():
            members[_member_name(member)] = parse_member(name, member, definition, network, volumes)
            replicas[member] = parsers.integer(1, MOST_REPLICAS)(
                f"containers.{member}.replicas", definition.get("replicas", 1)
            )
        check_namespaces(members, replicas)
        check_links({member: spec.links for member, spec in members.items()})
        check_reachable(members, network)
        check_addresses(
            {member: Joined(spec.networks, addresses=spec.addresses) for member, spec in members.items()}, declared
        )
        check_subnets(declared)
        check_names({member: spec.networks for member, spec in members.items()})
        _check_ports(members)
        check_used("volumes", volumes, {m.source for spec in members.values() for m in spec.asked.get("volumes", ())})
        members = expand(members, replicas)
    images = tuple(
        ArchivedImage(item["archive"], item["image"], parse_reference(f"images[{index}].image", item["image"]))
        for index, item in enumerate(parameters["images"] or [])
        if present
    )
    _check_images(members, images)
    return SetSpec(
        name=name,
        tenant=tenant,
        present=present,
        members=members,
        images=images,
        registries=parse_registries("registries", parameters.get("registries") or []),
        pull=parameters["pull"] or "missing",
        network=network,
        recreate=parameters["recreate"],
        remove_orphans=parameters["remove_orphans"],
        remove_volumes=parameters["remove_volumes"],
        wait_timeout=float(parameters["wait_timeout"]),
        update_order=parameters.get("update_order") or "stop-first",
        fate=_fate(parameters["fate"], parameters["fate_reaction"]),
        adopt=bool(parameters.get("adopt")),
        external_volumes=frozenset(volume.name for volume in volumes.values() if volume.external),
        driver_opts={volume.name: volume.driver_opts for volume in volumes.values() if volume.driver_opts},
        declared=declared,
        warnings=_warnings(members),
    )


def _fate(fate: str, reaction: str | None) -> str:
    """The reaction of a set that shares one fate, as its label says it."""
    if fate == "shared":
        return names.REACTIONS[reaction or "restart"]
    if reaction is not None:
        raise OptionError("fate_reaction", reaction, "it goes with fate=shared only")
    return names.INDEPENDENT


def _dns_label(option: str, value: t.Any) -> str:
    if not isinstance(value, str) or not DNS_LABEL.fullmatch(value):
        raise OptionError(
            option, value, "write a name of lower-case letters, digits and dashes, at most 63, no dash at either end"
        )
    return value


def _member_name(value: t.Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        expected = "write a name of lower-case letters, digits, dashes and underscores, at most 63, a letter or digit at either end"
        raise OptionError("containers", value, expected)
    return value


def _check_ports(members: t.Mapping[str, MemberSpec]) -> None:
    published: list[tuple[str, Port]] = []
    for member in members.values():
        for port in member.asked.get("ports", ()):
            for other_name, other in published:
                if port.collides(other):
                    raise OptionError(
                        f"containers.{member.name}.ports",
                        str(port),
                        f"container {other_name!r} publishes {other}; give one of them another host port",
                    )
            published.append((member.name, port))


def _check_images(members: t.Mapping[str, MemberSpec], images: tuple[ArchivedImage, ...]) -> None:
    used = {member.reference for member in members.values()}
    seen: set[Reference] = set()
    for index, item in enumerate(images):
        if item.reference.id or item.reference.digest:
            raise OptionError(f"images[{index}].image", item.image, "write name:tag, as the archive names it")
        if item.reference in seen:
            raise OptionError(f"images[{index}].image", item.image, "the list holds this image twice")
        if item.reference not in used:
            raise OptionError(
                f"images[{index}].image",
                item.image,
                "no container of the set uses this image; take it out or correct its name",
            )
        seen.add(item.reference)


def _warnings(members: t.Mapping[str, MemberSpec]) -> tuple[str, ...]:
    found = []
    for member in members.values():
        if member.asked.get("privileged"):
            found.append(f"containers.{member.name}: a privileged container is not kept apart from its VM")
        for mode in ("ipc_mode", "pid_mode", "uts_mode", "userns_mode", "cgroupns_mode"):
            if member.asked.get(mode) == "host":
                found.append(
                    f"containers.{member.name}.{mode}: it is the VM's own, so the container is not kept apart from its VM"
                )
        if member.network_mode == VM_NETWORK:
            found.append(
                f"containers.{member.name}.network_mode: it is the VM's own network: what it listens on is open in the VM, and no link is kept"
            )
        if any(mount.brings_engine_socket for mount in member.asked.get("volumes", ())):
            found.append(f"containers.{member.name}: holding the engine's socket, it owns the VM")
    return tuple(found)
