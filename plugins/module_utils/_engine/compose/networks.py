# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Who reaches whom in a Compose model, and what starts first, as links and networks of ``container_set``.

In Compose a shared network lets services reach each other, both ways, and ``depends_on`` orders them; a link here does both, one way. So the file's
networks are kept: one common network is ``network: flat``, several are ``network: declared``, and in both a link adds order and an alias only. With
``network: per-link`` what a service depends on or links to is all that it reaches.
"""

from __future__ import annotations

import difflib
import typing as t

from ..._errors import HardshellError, OptionError
from .. import parsers
from ..links import find_cycle, parse_link
from .members import alias_of

JSON = dict[str, t.Any]

DEFAULT = "default"
BRIDGE = "bridge"
_ADDRESSES = ("ipv4_address", "ipv6_address")
_COMPLETED = "service_completed_successfully"
_CONDITIONS = ("service_started", "service_healthy", _COMPLETED)


def links(services: t.Mapping[str, JSON], disabled: t.Container[str]) -> dict[str, list[str]]:
    """The links of each service, from ``depends_on``, ``links`` and ``volumes_from``. ``disabled`` are the services that no profile enables."""
    found = {name: _links(name, service, services, disabled) for name, service in services.items()}
    cycle = find_cycle({name: [link.partition(":")[0] for link in own] for name, own in found.items()})
    if cycle:
        raise HardshellError(
            f"services: they depend on each other, {' -> '.join(cycle)}, so none can start first; take one dependency out"
        )
    return found


def _links(name: str, service: JSON, services: t.Mapping[str, JSON], disabled: t.Container[str]) -> list[str]:
    found: dict[str, None] = {}
    for provider, given in (service.get("depends_on") or {}).items():
        option = f"services.{name}.depends_on.{provider}"
        setting = given or {}
        condition = setting.get("condition", "service_started")
        if condition not in _CONDITIONS:
            raise OptionError(f"{option}.condition", condition, f"write {' or '.join(_CONDITIONS)}")
        required = parsers.boolean(f"{option}.required", setting.get("required", True))
        if provider in disabled and not required:
            continue
        _known(option, provider, name, services, disabled)
        found[provider] = None
    for index, item in enumerate(service.get("links") or []):
        option = f"services.{name}.links[{index}]"
        _known(option, str(item).partition(":")[0], name, services, disabled)
        found[str(parse_link(option, item))] = None
    path = f"services.{name}.volumes_from"
    for index, item in enumerate(parsers.texts(path, service.get("volumes_from") or [])):
        provider, _colon, mode = item.partition(":")
        if provider == "container" or mode not in ("", "ro", "rw"):
            expected = "write a service of the file, and ro or rw after a colon; volumes of other containers are mounted by name"
            raise OptionError(f"{path}[{index}]", item, expected)
        _known(f"{path}[{index}]", provider, name, services, disabled)
        if not any(link.partition(":")[0] == provider for link in found):
            found[provider] = None
    return list(found)


def follows(services: t.Mapping[str, JSON], containers: t.Mapping[str, JSON]) -> dict[str, list[str]]:
    """The services that are to be replaced with one that they depend on, and those ones."""
    found: dict[str, list[str]] = {}
    for name, service in services.items():
        for provider, given in (service.get("depends_on") or {}).items():
            option = f"services.{name}.depends_on.{provider}.restart"
            if parsers.boolean(option, (given or {}).get("restart", False)) and provider in containers:
                found.setdefault(name, []).append(provider)
    return found


def one_shots(services: t.Mapping[str, JSON]) -> frozenset[str]:
    """The services that another one waits for until they have ended well. Raises OptionError for one that is to be healthy or to go on as well."""
    awaited: dict[str, dict[str, str]] = {}
    for name, service in services.items():
        for provider, given in (service.get("depends_on") or {}).items():
            option = f"services.{name}.depends_on.{provider}.condition"
            awaited.setdefault(provider, {})[(given or {}).get("condition", "service_started")] = option
    found = frozenset(provider for provider, conditions in awaited.items() if _COMPLETED in conditions)
    for provider in sorted(found & services.keys()):
        if "service_healthy" in awaited[provider]:
            raise OptionError(
                awaited[provider]["service_healthy"],
                "service_healthy",
                f"elsewhere {provider} is to end: it cannot be both",
            )
        restart = services[provider].get("restart", "no")
        if restart in ("always", "unless-stopped"):
            raise OptionError(
                f"services.{provider}.restart", restart, "another service waits for it to end; write no or on-failure"
            )
    return found & services.keys()


def _known(
    option: str, provider: str, consumer: str, services: t.Mapping[str, JSON], disabled: t.Container[str]
) -> None:
    if provider == consumer:
        raise OptionError(option, provider, "a service does not depend on itself")
    if provider in disabled:
        raise OptionError(option, provider, "no profile that is given enables this service")
    if provider not in services:
        near = difflib.get_close_matches(provider, services, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it holds {', '.join(sorted(services))}"
        raise OptionError(option, provider, f"the file holds no such service; {hint}")


def networks(services: t.Mapping[str, JSON], declared: t.Collection[str]) -> dict[str, dict[str, list[str]]]:
    """The networks of each service and its aliases there. ``declared`` are those of the file's top; that for ``network_mode: bridge`` is in no file."""
    found = {}
    for name, service in services.items():
        own = service.get("networks") or {DEFAULT: None}
        if service.get("network_mode") is not None:
            if service.get("networks"):
                raise OptionError(
                    f"services.{name}.networks", list(own), "a service with a network_mode has no networks"
                )
            continue
        for network in own:
            if network not in (DEFAULT, BRIDGE) and network not in declared:
                near = difflib.get_close_matches(network, declared, 1)
                hint = f"did you mean {near[0]!r}?" if near else "declare it under networks at the top of the file"
                raise OptionError(
                    f"services.{name}.networks.{network}", network, f"the file has no such network; {hint}"
                )
        found[name] = {
            network: _aliases(f"services.{name}.networks.{network}.aliases", setting)
            for network, setting in own.items()
        }
    return found


def fixed_addresses(services: t.Mapping[str, JSON]) -> dict[str, dict[str, JSON]]:
    """The addresses that services ask for, by service and network, as ``networks`` of a container writes them."""
    found: dict[str, dict[str, JSON]] = {}
    for name, service in services.items():
        for network, setting in (service.get("networks") or {}).items():
            own = {key: setting[key] for key in _ADDRESSES if setting and setting.get(key) is not None}
            if own:
                found.setdefault(name, {})[network] = own
    return found


def settings_of_networks(model: JSON, in_use: t.Collection[str]) -> dict[str, JSON]:
    """What the top of the file says of the networks ``in_use``, as the option ``networks``."""
    found: dict[str, JSON] = {}
    for network, setting in (model.get("networks") or {}).items():
        given, own = setting or {}, {}
        if network not in in_use:
            continue
        external, name = external_and_name(f"networks.{network}", given)
        own = {key: given[key] for key in ("internal", "enable_ipv6", "driver_opts") if given.get(key)}
        own = {key: value for key, value in own.items() if str(value).lower() != "false"}
        pools = [pool for pool in (given.get("ipam") or {}).get("config") or [] if pool]
        own.update({"ipam_config": [_pool(pool) for pool in pools]} if pools else {})
        own.update({"external": True} if external else {})
        own.update({} if name is None else {"name": name})
        if own:
            found[network] = own
    return found


def _pool(given: t.Any) -> t.Any:
    if not isinstance(given, dict):
        return given
    return {key: item for key, item in given.items() if item is not None and not key.startswith("x-")}


def external_and_name(option: str, given: JSON) -> tuple[bool, t.Any]:
    """Whether something is there already, and what the engine calls it. ``external: {name: NAME}`` is how files of version 3 say both."""
    external, name = given.get("external") or False, given.get("name")
    if isinstance(external, dict):
        unknown = sorted(external.keys() - {"name"})
        if unknown:
            raise OptionError(f"{option}.external.{unknown[0]}", unknown[0], "known is name")
        return True, name if external.get("name") is None else external["name"]
    return parsers.boolean(f"{option}.external", external), name


def container_names(services: t.Mapping[str, JSON]) -> dict[str, str]:
    """What others may call the container of a service, where that is not the service's name."""
    found = {
        name: alias_of(f"services.{name}.container_name", service["container_name"])
        for name, service in services.items()
        if service.get("container_name")
    }
    return {name: called for name, called in found.items() if called != name}


def with_aliases(
    connections: t.Mapping[str, t.Mapping[str, list[str]]], aliases: t.Mapping[str, str]
) -> dict[str, dict[str, list[str]]]:
    """The connections, with one more alias of a service in each of its networks."""
    return {
        name: {
            network: list(dict.fromkeys([*own, *filter(None, [aliases.get(name)])])) for network, own in places.items()
        }
        for name, places in connections.items()
    }


def mac_addresses(services: t.Mapping[str, JSON]) -> dict[str, tuple[str, str]]:
    """The network and the address of each service that has one of its own. Raises OptionError for a service with two."""
    found: dict[str, tuple[str, str]] = {}
    for name, service in services.items():
        path = f"services.{name}"
        if service.get("network_mode") is not None:
            if service.get("mac_address") is not None:
                raise OptionError(
                    f"{path}.mac_address", service["mac_address"], "a service with a network_mode has none of its own"
                )
            continue
        own = service.get("networks") or {DEFAULT: None}
        placed = {
            place: str(setting["mac_address"])
            for place, setting in sorted(own.items())
            if setting and setting.get("mac_address") is not None
        }
        if service.get("mac_address") is not None:
            first = max(sorted(own), key=lambda place: _priority(f"{path}.networks.{place}.priority", own[place]))
            if placed.setdefault(first, str(service["mac_address"])) != service["mac_address"]:
                raise OptionError(
                    f"{path}.mac_address", service["mac_address"], f"its network {first} says another; keep one of them"
                )
        for place, address in placed.items():
            option = f"{path}.networks.{place}.mac_address"
            parsers.mac_address(option, address)
            if name in found:
                raise OptionError(
                    option, address, "the engine keeps one address, in the network that a container is made in"
                )
            found[name] = (place, address)
    return found


def _priority(option: str, setting: JSON | None) -> int:
    return int(parsers.integer(-(2**31))(option, (setting or {}).get("priority") or 0))


def _aliases(option: str, setting: JSON | None) -> list[str]:
    return [alias_of(f"{option}[{index}]", alias) for index, alias in enumerate((setting or {}).get("aliases") or [])]


def is_flat(connections: t.Mapping[str, t.Mapping[str, list[str]]]) -> bool:
    """Whether every service is in the same one network, under its own name."""
    in_use = {network for own in connections.values() for network in own}
    return len(in_use) <= 1 and not any(aliases for own in connections.values() for aliases in own.values())
