# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What is asked for of one member, checked whole."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .._errors import OptionError
from . import names, parsers
from .capabilities import effective_capabilities
from .files import PlacedFile, fingerprints, parse_files
from .links import Link, parse_link
from .mounts import Mount, parse_mount
from .named_volumes import NamedVolume, brings_engine_socket
from .namespaces import check_network_mode, shared, with_links
from .networks import Joined, Networks, parse_networks
from .options import OPTIONS
from .ports import Port, parse_ports, refuse_number
from .references import Reference, parse_reference
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


def parse_member(
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
    ports = _ports(path, given)
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
    asked.update(_privileges(path, given, asked))
    _check_memory(path, given, asked)
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


def _privileges(path: str, given: t.Mapping[str, t.Any], asked: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The canonical capabilities and security options, where they differ from what a container has unasked."""
    found: dict[str, t.Any] = {}
    if "cap_add" in given or "cap_drop" in given:
        added = parsers.capabilities(f"{path}.cap_add", given.get("cap_add", []))
        dropped = parsers.capabilities(f"{path}.cap_drop", given.get("cap_drop", []))
        both = sorted(set(added) & set(dropped))
        if both:
            raise OptionError(f"{path}.cap_add", list(added), f"{both[0]} is in cap_drop too; keep one of them")
        found["capabilities"] = effective_capabilities(added, dropped)
    restricted = parsers.boolean(f"{path}.no_new_privileges", given.get("no_new_privileges", True))
    if "security_opt" in asked or not restricted:
        found["security_opt"] = tuple(
            sorted({*asked.get("security_opt", ()), *([NO_NEW_PRIVILEGES] if restricted else [])})
        )
    return found


def _check_memory(path: str, given: t.Mapping[str, t.Any], asked: t.Mapping[str, t.Any]) -> None:
    if asked.get("memory_swap", -1) != -1 and asked["memory_swap"] < asked.get("memory", 2**63):
        raise OptionError(
            f"{path}.memory_swap",
            given["memory_swap"],
            "it is memory and swap together: set memory too, and this no lower",
        )
    if asked.get("memory_reservation", 0) > asked.get("memory", 2**63):
        raise OptionError(f"{path}.memory_reservation", given["memory_reservation"], "it cannot be above memory")


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


def _ports(path: str, given: t.Mapping[str, t.Any]) -> list[Port]:
    found: list[Port] = []
    for index, item in enumerate(_items(path, given, "ports")):
        refuse_number(f"{path}.ports[{index}]", item)
        found += parse_ports(f"{path}.ports[{index}]", item)
    return found


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
            if named and brings_engine_socket(named):
                expected = "the engine's socket is in the directory that this volume is: mount the path itself, if that is meant"
                raise OptionError(f"{path}.volumes[{index}]", item, expected)
            source = named.name if named else names.volume_name(set_name, mount.source)
            mount = replace(mount, source=source)
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
