# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The services of a Compose model under names that members of a set can have, and in networks of their own or none.

The engine's name server takes no notice of case, so that a name in lower case is found under the one that was written; one with dots stays as an alias.
"""

from __future__ import annotations

import re
import typing as t

from ..._errors import OptionError
from ..links import ALIAS, NAME
from ..namespaces import SERVICE

JSON = dict[str, t.Any]

# Networks of the engine itself. The set has one of its own in their place, which keeps it apart from other sets.
_OF_THE_ENGINE = ("bridge", "default")
_CONTAINER = "container:"
_SHARING = ("network_mode", "ipc", "pid")


class Members(t.NamedTuple):
    """The services by the names of their members, those that no profile enables too, what others call a member beside its name, and what to warn of."""

    services: dict[str, JSON]
    disabled: frozenset[str]
    aliases: dict[str, str]
    warnings: list[str]


def as_members(services: t.Mapping[str, JSON], disabled: t.Collection[str]) -> Members:
    """Raises OptionError for a name that no member can have, and for two services of one name."""
    called = {name: member_name(name) for name in (*services, *disabled)}
    found: dict[str, JSON] = {}
    warnings: list[str] = []
    aliases: dict[str, str] = {}
    by_container = {str(service.get("container_name")): called[name] for name, service in services.items()}
    for name, service in services.items():
        member = called[name]
        if not NAME.fullmatch(member):
            raise OptionError(
                f"services.{name}", name, "write a name of letters, digits, dashes and underscores, at most 63"
            )
        if member in found:
            raise OptionError(
                f"services.{name}", name, f"another service is called {member} as well; rename one of them"
            )
        if member != name:
            warnings.append(f"services.{name}: the member is called {member}")
        if member != name.lower():
            aliases[member] = name.lower()
        found[member] = _in_own_network(f"services.{name}", _renamed(service, called, by_container), warnings)
    return Members(found, frozenset(called[name] for name in disabled) - found.keys(), aliases, warnings)


def member_name(service: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", service.lower())


def _renamed(service: JSON, called: t.Mapping[str, str], by_container: t.Mapping[str, str]) -> JSON:
    found = dict(service)
    if isinstance(service.get("depends_on"), dict):
        found["depends_on"] = {called.get(name, name): item for name, item in service["depends_on"].items()}
    if isinstance(service.get("links"), list):
        found["links"] = [_renamed_link(item, called) for item in service["links"]]
    if isinstance(service.get("volumes_from"), list):
        found["volumes_from"] = [_renamed_source(item, called, by_container) for item in service["volumes_from"]]
    for key in _SHARING:
        value = service.get(key)
        if not isinstance(value, str):
            continue
        if value.startswith(SERVICE):
            other = value.removeprefix(SERVICE)
            found[key] = f"{SERVICE}{called.get(other, other)}"
        elif value.removeprefix(_CONTAINER) in by_container and value.startswith(_CONTAINER):
            found[key] = f"{SERVICE}{by_container[value.removeprefix(_CONTAINER)]}"
    return found


def _renamed_source(item: t.Any, called: t.Mapping[str, str], by_container: t.Mapping[str, str]) -> t.Any:
    if not isinstance(item, str):
        return item
    name, colon, mode = item.removeprefix(_CONTAINER).partition(":")
    names = by_container if item.startswith(_CONTAINER) else called
    return f"{names[name]}{colon}{mode}" if name in names else item


def _renamed_link(item: t.Any, called: t.Mapping[str, str]) -> t.Any:
    provider, colon, alias = str(item).partition(":")
    if not isinstance(item, str) or provider not in called:
        return item
    # The alias is the service's own name where the file gives none.
    alias = alias.lower() if colon else provider.lower()
    member = called[provider]
    return member if alias == member else f"{member}:{alias}"


def _in_own_network(path: str, service: JSON, warnings: list[str]) -> JSON:
    mode = service.get("network_mode")
    if mode in _OF_THE_ENGINE:
        own = {} if service.get("networks") or mode == "default" else {"networks": {mode: None}}
        return {key: value for key, value in {**service, **own}.items() if key != "network_mode"}
    if mode == "host" and service.get("ports"):
        warnings.append(
            f"{path}.ports: nothing is published from the VM's own network; what it listens on is open there"
        )
        return {key: value for key, value in service.items() if key != "ports"}
    return service


def alias_of(option: str, called: t.Any) -> str:
    """A name that others may know a member by. Raises OptionError."""
    name = called.lower() if isinstance(called, str) else ""
    if not ALIAS.fullmatch(name):
        raise OptionError(
            option,
            called,
            "others cannot reach it so: write letters, digits, dashes, dots and underscores, or take it out",
        )
    return name
