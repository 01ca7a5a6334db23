# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Compose files, or a Compose document given inline, as the ``containers`` of a set."""

from __future__ import annotations

import posixpath
import typing as t
from dataclasses import dataclass, field, replace

from ..._errors import HardshellError, OptionError
from .. import names
from ..links import start_order
from .beside import Beside, Look, Place
from .check import check
from .files import Files
from .interpolate import Variables
from .load import Loader, Read
from .members import Members, as_members, member_name
from .merge import JSON
from .networks import (
    container_names,
    fixed_addresses,
    follows,
    is_flat,
    links,
    mac_addresses,
    networks,
    one_shots,
    settings_of_networks,
    with_aliases,
)
from .services import Services
from .volumes import named_volumes, provider_of, volumes_from


@dataclass(frozen=True)
class ComposeSource:
    """What the user gives. Either ``files``, by absolute path, or ``inline``; ``env_files`` None takes the ``.env`` beside the first file, ``profiles`` None
    what the variable COMPOSE_PROFILES says. ``engine_sockets`` are the services that may hold the engine's socket."""

    files: tuple[str, ...] = ()
    inline: t.Mapping[str, t.Any] | None = None
    environment: t.Mapping[str, str] | None = None
    env_files: tuple[str, ...] | None = None
    profiles: tuple[str, ...] | None = None
    engine_sockets: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComposeSet:
    """The set that the file describes: values for the options ``containers``, ``network``, ``networks`` and ``volumes``."""

    containers: dict[str, JSON]
    network: str
    volumes: t.Mapping[str, JSON] = field(default_factory=dict)
    networks: t.Mapping[str, JSON] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def compose_set(
    name: str, source: ComposeSource, read: Read, network: str | None = None, look: Look | None = None
) -> ComposeSet:
    """The set called ``name``. ``network`` is what the user asks for beside the file; ``look`` tells what the controller has at a path, by default whether
    it is a file. Raises HardshellError, or OptionError with the path of the key.
    """
    loader = Loader(read)
    directory = posixpath.dirname(source.files[0]) if source.files else None
    env_files = source.env_files
    if env_files is None:
        env_files = tuple(loader.beside(directory)) if directory is not None else ()
    own = Variables({**(source.environment or {}), "COMPOSE_PROJECT_NAME": name})
    variables = own.over(loader.env_files("compose_env_files", env_files, own))
    model = _model(loader, source, variables)
    profiles = source.profiles
    if profiles is None:
        profiles = tuple(filter(None, variables.get("COMPOSE_PROFILES", "").split(",")))
    enabled = _enabled(model, frozenset(profiles))
    told = check({**model, "services": enabled})
    if not enabled:
        raise HardshellError(
            "services: the Compose file holds no service that is enabled; name one, or give the profile of one"
        )
    members = as_members(enabled, (model.get("services") or {}).keys() - enabled.keys())
    beside = Beside(loader, look or _looking_through(read), directory or "/", list(model.get("volumes") or {}))
    sockets = _sockets(source.engine_sockets, members.services)
    services = Services(loader, variables, directory, list(model.get("volumes") or {}), beside, sockets)
    found = _containers(loader, variables, services, model, members, network, name)
    unset = tuple(
        f"the Compose file names the variable {item}, which is not set: it is empty" for item in variables.unset
    )
    warnings = (*unset, *told, *members.warnings, *services.warnings, *beside.warnings, *found.warnings)
    return replace(found, volumes=named_volumes(model, found.containers, name), warnings=warnings)


def _looking_through(read: Read) -> Look:
    return lambda path: None if read(path) is None else Place(is_file=True)


def _sockets(asked: t.Iterable[str], services: t.Collection[str]) -> frozenset[str]:
    called = {service: member_name(service) for service in asked}
    for service, member in called.items():
        if member not in services:
            raise OptionError(
                "compose_engine_socket",
                service,
                f"the file has no such service that is enabled; it has {', '.join(sorted(services))}",
            )
    return frozenset(called.values())


def _model(loader: Loader, source: ComposeSource, variables: Variables) -> JSON:
    if source.inline is not None:
        return loader.load_inline("compose", source.inline, variables)
    return loader.load_files(source.files, variables)


def _containers(
    loader: Loader,
    variables: Variables,
    services: Services,
    model: JSON,
    members: Members,
    network: str | None,
    name_of_set: str,
) -> ComposeSet:
    enabled, disabled = members.services, members.disabled
    containers = {name: services.container(name, service) for name, service in enabled.items()}
    linked = links(enabled, disabled)
    shared = _share_volumes(enabled, containers, linked)
    granted = Files(loader, variables, model)
    for name, service in enabled.items():
        own_files = granted.of(f"services.{name}", service)
        clash = sorted(own_files.keys() & containers[name].get("files", {}).keys())
        if clash:
            raise OptionError(f"services.{name}.volumes", clash[0], "one of configs or secrets is at this path too")
        containers[name].update({"files": {**containers[name].get("files", {}), **own_files}} if own_files else {})
    for name, own in linked.items():
        containers[name].update({"links": own} if own else {})
    for name, followed in follows(enabled, containers).items():
        containers[name]["follows"] = followed
    for name in one_shots(enabled):
        containers[name]["one_shot"] = True
    connections = networks(enabled, list(model.get("networks") or {}))
    addresses, called, fixed = mac_addresses(enabled), container_names(enabled), fixed_addresses(enabled)
    settings = settings_of_networks(model, {place for places in connections.values() for place in places})
    if network == "per-link":
        for place in settings:
            raise OptionError(
                f"networks.{place}", sorted(settings[place]), "with network=per-link there is no such network"
            )
        for name, places in fixed.items():
            raise OptionError(f"services.{name}.networks", sorted(places), "with network=per-link no address is fixed")
        for name, own_networks in connections.items():
            for place, aliases in own_networks.items():
                if aliases:
                    raise OptionError(
                        f"services.{name}.networks.{place}.aliases",
                        aliases,
                        "with network=per-link write links with an alias",
                    )
        for container in containers.values():
            named = [
                f"{link}:{members.aliases[link]}" for link in container.get("links", []) if link in members.aliases
            ]
            container.update({"links": list(dict.fromkeys([*container["links"], *named]))} if named else {})
        _give_addresses(containers, addresses)
        return ComposeSet(containers, network, warnings=(*shared, *_named(name_of_set, called, reached=())))
    reached = [name for name, places in connections.items() if places]
    warnings = (*shared, *_named(name_of_set, called, reached=reached))
    connections = with_aliases(with_aliases(connections, called), members.aliases)
    if is_flat(connections) and not settings and not fixed:
        _give_addresses(containers, addresses)
        return ComposeSet(containers, network or "flat", warnings=warnings)
    if network == "flat":
        raise OptionError(
            "network", network, "the Compose file keeps services apart, or gives them aliases, in networks of their own"
        )
    for name, own_networks in connections.items():
        told: dict[str, JSON] = {
            place: {"aliases": own_networks[place], **own} for place, own in fixed.get(name, {}).items()
        }
        if name in addresses:
            place, address = addresses[name]
            told[place] = {"aliases": own_networks[place], **told.get(place, {}), "mac_address": address}
        containers[name]["networks"] = {**own_networks, **told}
    return ComposeSet(containers, "declared", networks=settings, warnings=warnings)


def _share_volumes(
    services: t.Mapping[str, JSON], containers: dict[str, JSON], linked: t.Mapping[str, list[str]]
) -> tuple[str, ...]:
    """Give each service the volumes of those that it takes them from; warn where there are none to take."""
    warnings = []
    for name in start_order({name: [link.partition(":")[0] for link in own] for name, own in linked.items()}):
        sources = services[name].get("volumes_from") or []
        for index, item in enumerate(sources):
            provider, _read_only = provider_of(item)
            if not containers[provider].get("volumes") and not containers[provider].get("files"):
                told = f"the file gives {provider} no volumes; those that its image declares are its own"
                warnings.append(f"services.{name}.volumes_from[{index}]: {told}")
        containers[name].update(volumes_from(name, sources, containers) if sources else {})
    return tuple(warnings)


def _named(name_of_set: str, called: t.Mapping[str, str], reached: t.Container[str]) -> tuple[str, ...]:
    return tuple(
        f"services.{name}.container_name: the engine calls the container {names.container_name(name_of_set, name)}; "
        f"it is {'' if name in reached else 'not '}reached as {alias} by the other services"
        for name, alias in called.items()
    )


def _enabled(model: JSON, profiles: frozenset[str]) -> dict[str, JSON]:
    found = {}
    for name, service in (model.get("services") or {}).items():
        path = f"services.{name}"
        if not isinstance(service, dict):
            raise OptionError(path, type(service).__name__, "write a mapping with at least image")
        own = service.get("profiles") or []
        if own and "*" not in profiles and not profiles.intersection(map(str, own)):
            continue
        found[name] = service
    return found


def _give_addresses(containers: dict[str, JSON], addresses: t.Mapping[str, tuple[str, str]]) -> None:
    """Where a container has one network of its own, or all have one, the address is in that."""
    for name, (_place, address) in addresses.items():
        containers[name]["mac_address"] = address
