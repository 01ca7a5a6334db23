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
from .capabilities import effective_capabilities
from .declared_networks import DeclaredNetwork, check_addresses, parse_declared
from .files import PlacedFile, fingerprints, parse_files
from .links import DNS_LABEL, NAME, Link, check_links, parse_link, start_order
from .mounts import Mount, parse_mount
from .named_volumes import NamedVolume, check_used, parse_volumes
from .namespaces import VM_NETWORK, check_namespaces, check_network_mode, check_reachable, shared, with_links
from .networks import Joined, Networks, check_names, parse_networks
from .options import OPTIONS
from .ports import Port, parse_ports
from .references import Reference, parse_reference
from .registries import Registry, parse_registries
from .replicas import expand
from .reported import NO_NEW_PRIVILEGES

_DIRECT = {option.name: option.parse for option in OPTIONS if option.parse}
MEMBER_KEYS = (
    *_DIRECT,
    "image",
    "files",
    "links",
    "networks",
    "ports",
    "volumes",
    "cap_add",
    "cap_drop",
    "no_new_privileges",
    "engine_socket",
    "replicas",
    "pull",
    "network_mode",
    "follows",
)
MOST_REPLICAS = 100
PULL = ("missing", "always", "never")


@dataclass(frozen=True)
class MemberSpec:
    """One container of the set. ``known_as`` is what consumers call it, which replicas share; ``providers`` are the containers that its links lead to.

    ``asked`` holds the canonical value of each option that was written; ``networks`` are empty unless the set's are declared, ``mac_network`` is the one of
    them in which it has a MAC address of its own, and ``addresses`` are those that the engine does not choose; ``network_mode`` is empty for a member that has
    networks, and ``follows`` are the members whose replacement replaces it. ``pull`` is empty where the set's policy holds.
    """

    name: str
    image: str
    reference: Reference
    known_as: str
    links: tuple[Link, ...] = ()
    providers: tuple[str, ...] = ()
    asked: t.Mapping[str, t.Any] = field(default_factory=dict)
    networks: Networks = field(default_factory=dict)
    mac_network: str = ""
    addresses: t.Mapping[str, frozenset[str]] = field(default_factory=dict)
    network_mode: str = ""
    follows: tuple[str, ...] = ()
    pull: str = ""
    files: t.Mapping[str, PlacedFile] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class ArchivedImage:
    """An image to load: ``archive`` is a path on the controller."""

    archive: str
    image: str
    reference: Reference


@dataclass(frozen=True)
class SetSpec:
    """A container set as it shall be. ``wait_timeout`` is in seconds. ``fate`` is what happens to the whole when a member fails at run time.

    ``adopt`` is whether containers that were made by other means are taken over; ``external_volumes`` are there already, by their names on the engine.
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
    volumes = parse_volumes("volumes", parameters.get("volumes") or {}) if present else {}
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
            members[_member_name(member)] = _member(name, member, definition, network, volumes)
            replicas[member] = parsers.integer(1, MOST_REPLICAS)(
                f"containers.{member}.replicas", definition.get("replicas", 1)
            )
        check_namespaces(members, replicas)
        check_links({member: spec.links for member, spec in members.items()})
        check_reachable(members, network)
        check_addresses(
            {member: Joined(spec.networks, addresses=spec.addresses) for member, spec in members.items()}, declared
        )
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


def _member(
    set_name: str, name: str, definition: t.Any, network: str, volumes: t.Mapping[str, NamedVolume]
) -> MemberSpec:
    path = f"containers.{name}"
    given = {
        key: value for key, value in parsers.known_keys(path, definition, MEMBER_KEYS).items() if value is not None
    }
    if "image" not in given:
        raise OptionError(f"{path}.image", None, "every container needs an image, such as redis:7")
    reference = parse_reference(f"{path}.image", given["image"])
    asked = {key: parser(f"{path}.{key}", given[key]) for key, parser in _DIRECT.items() if key in given}
    if asked.get("one_shot") and asked.setdefault("restart", "no") in ("always", "unless-stopped"):
        raise OptionError(
            f"{path}.restart",
            given["restart"],
            "what runs once is not started again when it has ended; write no or on-failure:3",
        )
    links = tuple(
        sorted({parse_link(f"{path}.links[{i}]", item) for i, item in enumerate(_items(path, given, "links"))})
    )
    network_mode = check_network_mode(path, given)
    links = with_links(links, (network_mode, asked.get("ipc_mode"), asked.get("pid_mode")))
    joined = Joined({}) if network_mode else _networks(path, given.get("networks"), network)
    if joined.mac_address:
        asked["mac_address"] = joined.mac_address
    elif "mac_address" in asked and len(joined.networks) > 1:
        raise OptionError(f"{path}.mac_address", given["mac_address"], "write it at one of the member's networks")
    pull = parsers.one_of(*PULL)(f"{path}.pull", given["pull"]) if "pull" in given else ""
    ports = [
        port for i, item in enumerate(_items(path, given, "ports")) for port in parse_ports(f"{path}.ports[{i}]", item)
    ]
    if ports:
        asked["ports"] = tuple(sorted(set(ports)))
    socket_allowed = parsers.boolean(f"{path}.engine_socket", given.get("engine_socket", False))
    mounts = _mounts(set_name, path, _items(path, given, "volumes"), volumes, socket_allowed)
    if mounts:
        asked["volumes"] = mounts
    _check_targets(path, mounts, asked.get("tmpfs", {}))
    files = parse_files(f"{path}.files", given.get("files") or {})
    if files:
        _check_files(path, files, asked)
        asked["files"] = fingerprints(f"{set_name}/{name}", files)
    if "cap_add" in given or "cap_drop" in given:
        added = parsers.capabilities(f"{path}.cap_add", given.get("cap_add", []))
        dropped = parsers.capabilities(f"{path}.cap_drop", given.get("cap_drop", []))
        if set(added) & set(dropped):
            raise OptionError(
                f"{path}.cap_add",
                list(added),
                f"{sorted(set(added) & set(dropped))[0]} is in cap_drop too; keep one of them",
            )
        asked["capabilities"] = effective_capabilities(added, dropped)
    restricted = parsers.boolean(f"{path}.no_new_privileges", given.get("no_new_privileges", True))
    if "security_opt" in asked or not restricted:
        asked["security_opt"] = tuple(
            sorted({*asked.get("security_opt", ()), *([NO_NEW_PRIVILEGES] if restricted else [])})
        )
    if asked.get("memory_swap", -1) != -1 and asked["memory_swap"] < asked.get("memory", 2**63):
        raise OptionError(
            f"{path}.memory_swap",
            given["memory_swap"],
            "it is memory and swap together: set memory too, and this no lower",
        )
    if asked.get("memory_reservation", 0) > asked.get("memory", 2**63):
        raise OptionError(f"{path}.memory_reservation", given["memory_reservation"], "it cannot be above memory")
    return MemberSpec(
        name,
        given["image"],
        reference,
        name,
        links,
        asked=asked,
        networks=joined.networks,
        mac_network=joined.mac_network,
        addresses=joined.addresses,
        network_mode=network_mode,
        follows=_follows(path, given, links, (network_mode, asked.get("ipc_mode"), asked.get("pid_mode"))),
        pull=pull,
        files=files,
    )


def _follows(
    path: str, given: t.Mapping[str, t.Any], links: t.Iterable[Link], modes: t.Iterable[t.Any]
) -> tuple[str, ...]:
    """The members that it follows: those that it names, and those whose namespaces it shares."""
    providers = {link.provider for link in links}
    named = parsers.sorted_texts(f"{path}.follows", given.get("follows") or [])
    for name in named:
        if name not in providers:
            raise OptionError(
                f"{path}.follows", name, "a container follows what it links to; add the link, or take it out"
            )
    return tuple(sorted({*named, *filter(None, map(shared, modes))}))


def _networks(path: str, given: t.Any, network: str) -> Joined:
    if network == "declared":
        if given is None:
            raise OptionError(f"{path}.networks", given, "with network=declared each member names its networks")
        return parse_networks(f"{path}.networks", given)
    if given is not None:
        raise OptionError(f"{path}.networks", given, "it goes with network=declared only")
    return Joined({})


def _items(path: str, given: t.Mapping[str, t.Any], key: str) -> list[t.Any]:
    value = given.get(key) or []
    if not isinstance(value, list):
        raise OptionError(f"{path}.{key}", value, "write a list")
    return value


def _mounts(
    set_name: str, path: str, items: list[t.Any], volumes: t.Mapping[str, NamedVolume], socket_allowed: bool
) -> tuple[Mount, ...]:
    mounts = []
    for index, item in enumerate(items):
        mount = parse_mount(f"{path}.volumes[{index}]", item)
        if mount.brings_engine_socket and not socket_allowed:
            way = "" if mount.source.endswith(".sock") else f"the engine's socket is below {mount.source}, and "
            raise OptionError(
                f"{path}.volumes[{index}]",
                item,
                f"{way}whoever holds the engine's socket owns the VM; if that is meant, set engine_socket: true for this container",
            )
        if mount.is_volume:
            named = volumes.get(mount.source)
            source = named.name if named else names.volume_name(set_name, mount.source)
            mount = Mount(mount.target, source, mount.modes)
        mounts.append(mount)
    return tuple(sorted(mounts))


def _check_targets(path: str, mounts: t.Iterable[Mount], tmpfs: t.Iterable[str]) -> None:
    seen: set[str] = set()
    for target in [*(mount.target for mount in mounts), *tmpfs]:
        if target in seen:
            raise OptionError(f"{path}.volumes", target, "two volumes cannot be at one path")
        seen.add(target)


def _check_files(path: str, files: t.Iterable[str], asked: t.Mapping[str, t.Any]) -> None:
    if asked.get("read_only"):
        raise OptionError(
            f"{path}.files", sorted(files), "the engine puts no files into a read-only root; take read_only out"
        )
    mounts: list[str] = [*(mount.target for mount in asked.get("volumes", ())), *asked.get("tmpfs", {})]
    for file in files:
        for mount in mounts:
            if f"{file}/".startswith(f"{mount}/"):
                raise OptionError(
                    f"{path}.files", file, f"what is mounted at {mount} would cover it; choose another path"
                )


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
