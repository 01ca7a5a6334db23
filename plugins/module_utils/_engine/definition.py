# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The definition that an existing set would have: options of ``container_set`` which, given for the same containers, leave each as it is. Pure.

What no option can say is told beside it. A definition holds the values of the environment, which may be secret.
"""

from __future__ import annotations

import contextlib
import dataclasses
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from . import names, options, show
from .adopt import as_label, as_member
from .capabilities import BASE_CAPABILITIES
from .declared_networks import DIGEST
from .device_requests import ALL
from .links import ALIAS, NAME, parse_link
from .mounts import VOLUME_NAME
from .namespaces import WITHOUT_OWN_NETWORK, by_member, shared
from .observe import COMPOSE, Container
from .ports import Port
from .reported import NO_NEW_PRIVILEGES

JSON = dict[str, t.Any]
# What an engine takes when it is not told, for the options that only it knows.
_ENGINE_DEFAULTS: t.Mapping[str, t.Any] = {
    "shm_size": 64 << 20,
    "ipc_mode": "private",
    "runtime": "runc",
    "log": {"driver": "json-file", "options": {}},
}
# Networks of the engine itself, in which nobody has a name.
_NAMELESS = ("default", "bridge")


@dataclass(frozen=True)
class Definition:
    """``options`` are of container_set: ``containers``, ``network`` and ``volumes``. ``left_out`` says what they do not say, a line each."""

    options: JSON
    left_out: tuple[str, ...]


def define(set_name: str, containers: t.Sequence[Container], images: t.Mapping[str, JSON]) -> Definition:
    """The definition of ``containers``, which are all of one set, or of none. ``images`` are the configurations of their images, by id."""
    containers = by_member(containers, member_name)
    left_out: list[str] = []
    volumes: dict[str, JSON] = {}
    members: dict[str, JSON] = {}
    first: dict[str, Container] = {}
    for container in containers:
        name = member_name(container)
        if name in members:
            members[name]["replicas"] = members[name].get("replicas", 1) + 1
            continue
        first[name] = container
        lost: list[str] = [f"{what}" for what in container.unsaid]
        members[name] = _member(container, images.get(container.image_id, {}), lost)
        mounts = _volumes(set_name, container, volumes)
        if mounts:
            members[name]["volumes"] = mounts
        left_out += [f"{name}: {what}" for what in lost]
    for name, member in members.items():
        links = _links(first[name], members)
        if links:
            member["links"] = links
    network = _network(set_name, first, members, left_out)
    found = {"containers": members, "network": network, **({"volumes": volumes} if volumes else {})}
    return Definition(found, tuple(left_out))


def member_name(container: Container) -> str:
    """What the container is called in a definition: as its consumers call it."""
    if container.member:
        return container.known_as
    return as_member(container.options["labels"].get(f"{COMPOSE}.service") or container.name)


def _member(container: Container, image: JSON, lost: list[str]) -> JSON:
    found: JSON = {"image": container.image}
    values = container.options
    inherited = options.settle({}, image)
    if values["entrypoint"] != inherited["entrypoint"]:
        # An entrypoint of one's own sets the image's command aside.
        inherited = {**inherited, "command": ()}
    for option in options.OPTIONS:
        value = values[option.name]
        default = inherited[option.name]
        if default is options.ENGINE_DEFAULT:
            asked = option.name in container.asked
            default = _ENGINE_DEFAULTS.get(option.name)
            if (
                value is options.ENGINE_DEFAULT
                or not asked
                and (value in (default, 0, "", None) or _is_default(option.name, values))
            ):
                continue
            default = None
        if value == default or option.name == "volumes":
            continue
        written = _WRITERS.get(option.name, _plain)(option.name, value, default)
        found.update(_checked(option, value, written, lost))
    if container.network_mode in WITHOUT_OWN_NETWORK or shared(container.network_mode):
        found["network_mode"] = container.network_mode
    if not container.member and values["restart"] == "no" and container.has_succeeded:
        found["one_shot"] = True
        lost.append("it has ended well, and is taken for one that runs once")
    return found


def _is_default(name: str, values: t.Mapping[str, t.Any]) -> bool:
    if name == "cgroupns_mode":
        # Private or the VM's, by the version of the VM's control groups.
        return True
    return name == "memory_swap" and values["memory_swap"] in (0, -1, 2 * values["memory"])


def _checked(option: options.Option, value: t.Any, written: JSON, lost: list[str]) -> JSON:
    """What was written, when it is read as the value that it stands for; else it is ``lost``."""
    if option.name == "files":
        lost.append("its files, whose content the engine does not tell: " + ", ".join(sorted(value)))
        return {}
    if option.name not in written or option.parse is None:
        return written
    if option.name == "security_opt":
        value = tuple(item for item in value if item != NO_NEW_PRIVILEGES)
    with contextlib.suppress(OptionError):
        # What is inherited is written only as far as it differs from the image.
        if option.parse(option.name, written[option.name]) == value or option.inherit:
            return written
    lost.append(f"{option.name} {show.plain(value)}")
    return {key: item for key, item in written.items() if key != option.name}


def _plain(name: str, value: t.Any, _default: t.Any) -> JSON:
    return {name: show.plain(value)}


def _beside_the_image(name: str, value: t.Any, default: t.Any) -> JSON:
    own = {key: item for key, item in value.items() if default.get(key, object()) != item}
    return {name: {key: item for key, item in own.items() if not key.startswith(COMPOSE)}} if own else {name: {}}


def _capabilities(_name: str, value: t.Any, _default: t.Any) -> JSON:
    if value == ("ALL",):
        return {"cap_add": ["ALL"]}
    added, dropped = sorted(set(value) - BASE_CAPABILITIES), sorted(BASE_CAPABILITIES - set(value))
    return {**({"cap_add": added} if added else {}), **({"cap_drop": dropped} if dropped else {})}


def _security(_name: str, value: t.Any, _default: t.Any) -> JSON:
    plain = [item for item in value if item != NO_NEW_PRIVILEGES]
    restricted = NO_NEW_PRIVILEGES in value
    return {**({"security_opt": plain} if plain else {}), **({} if restricted else {"no_new_privileges": False})}


def _ports(name: str, value: t.Iterable[Port], _default: t.Any) -> JSON:
    return {name: [str(port) if port.host else f"{port.container}/{port.protocol}" for port in value]}


def _healthcheck(name: str, value: t.Any, _default: t.Any) -> JSON:
    if not value:
        return {name: {"test": ["NONE"]}}
    periods = {key: item / 10**9 for key, item in value.items() if key not in ("test", "retries") and item}
    return {
        name: {"test": list(value["test"]), **periods, **({"retries": value["retries"]} if value["retries"] else {})}
    }


def _device_requests(name: str, value: t.Iterable[JSON], _default: t.Any) -> JSON:
    return {name: [{key: "all" if item == ALL else item for key, item in own.items() if item} for own in value]}


_WRITERS: t.Mapping[str, t.Callable[[str, t.Any, t.Any], JSON]] = {
    "environment": _beside_the_image,
    "labels": _beside_the_image,
    "capabilities": _capabilities,
    "security_opt": _security,
    "ports": _ports,
    "healthcheck": _healthcheck,
    "device_requests": _device_requests,
    "cpus": lambda name, value, _default: {name: value / 10**9},
    "tmpfs": lambda name, value, _default: {name: [f"{p}:{flags}" if flags else p for p, flags in value.items()]},
    "ulimits": lambda name, value, _default: {name: {n: {"soft": soft, "hard": hard} for n, soft, hard in value}},
    "devices": lambda name, value, _default: {name: [":".join(device) for device in value]},
    "extra_hosts": lambda name, value, _default: {name: dict(item.split(":", 1) for item in value)},
}


def _volumes(set_name: str, container: Container, named: dict[str, JSON]) -> list[str | JSON]:
    """The mounts as they are written; volumes that are not called as the set's go into ``named``."""
    found: list[str | JSON] = []
    for mount in container.options["volumes"]:
        source = mount.source
        own, generated = (
            source.removeprefix(f"{set_name}_"),
            names.image_volume_name(set_name, container.member, mount.target),
        )
        if mount.is_volume and container.member and source == generated:
            # The image declares it: it comes by itself.
            continue
        if mount.is_volume and own != source and VOLUME_NAME.fullmatch(own):
            source = own
        elif mount.is_volume:
            short = as_label(source) if len(source) < 60 else as_label(f"{member_name(container)}{mount.target}")
            named[short] = {"name": mount.source, "external": True}
            source = short
        found.append(dataclasses.replace(mount, source=source).written())
    return found


def _links(container: Container, members: t.Container[str]) -> list[str]:
    """Its links, those that Compose's ``depends_on`` left as a label, and the engine's own."""
    found = dict.fromkeys(container.links)
    if not container.member:
        told = container.options["labels"].get(f"{COMPOSE}.depends_on", "")
        found = dict.fromkeys(as_member(item.split(":")[0]) for item in told.split(",") if item)
        for link in sorted({link for place in container.attachments.values() for link in place.links}):
            provider, _colon, alias = link.partition(":")
            if NAME.fullmatch(as_member(provider)) and ALIAS.fullmatch(alias):
                found[str(parse_link("links", f"{as_member(provider)}:{alias}"))] = None
    return [link for link in found if link.split(":")[0] in members]


def _network(
    set_name: str, containers: t.Mapping[str, Container], members: dict[str, JSON], left_out: list[str]
) -> str:
    """The way in which the containers reach each other; with several networks each member is told its own."""
    containers = {name: c for name, c in containers.items() if "network_mode" not in members[name]}
    own = [c for c in containers.values() if c.member]
    if own and all(c.network_mode == names.own_network(set_name, c.known_as) for c in own):
        return "per-link"
    places: dict[str, dict[str, list[str]]] = {}
    for name, container in containers.items():
        if container.network_mode not in (*_NAMELESS, *container.attachments):
            left_out.append(f"{name}: its network_mode {container.network_mode}")
        given = {network: place for network, place in container.attachments.items() if network not in _NAMELESS}
        places[name] = {}
        for network, place in given.items():
            called = {name, container.name, container.member, container.known_as, container.options["hostname"]}
            aliases = sorted(place.aliases - called)
            plain = network.removeprefix(f"{set_name}_")
            with_options = DIGEST.fullmatch(plain) if plain != network else None
            if with_options:
                plain = with_options["name"]
                left_out.append(f"{name}: the options of its network {plain}")
            places[name][plain] = [alias for alias in aliases if ALIAS.fullmatch(alias)]
            left_out += [f"{name}: its alias {alias}" for alias in aliases if not ALIAS.fullmatch(alias)]
        if (
            not container.member
            and name != container.name
            and not container.options["labels"].get(f"{COMPOSE}.service")
        ):
            left_out.append(f"{name}: that it is called {container.name}; others find it as {name}")
    in_use = {network for own_places in places.values() for network in own_places}
    if len(in_use) <= 1 and not any(aliases for own_places in places.values() for aliases in own_places.values()):
        return "flat"
    for name, own_places in places.items():
        members[name]["networks"] = own_places or {"default": []}
    return "declared"
