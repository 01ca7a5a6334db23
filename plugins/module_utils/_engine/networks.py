# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Networks that the members of a set name themselves, and their names in them."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._errors import OptionError
from . import parsers
from .links import ALIAS

NETWORK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

# The aliases of a member in each of its networks, beside its own name.
Networks = t.Mapping[str, tuple[str, ...]]


class Joined(t.NamedTuple):
    """What a member says of its networks. ``mac_address`` is that in ``mac_network``, both empty when the engine chooses it; ``addresses`` are fixed ones."""

    networks: Networks
    mac_network: str = ""
    mac_address: str = ""
    addresses: t.Mapping[str, frozenset[str]] = {}


def parse_networks(option: str, value: t.Any) -> Joined:
    """A list of names, or a mapping of names to aliases, or to ``aliases``, ``mac_address``, ``ipv4_address`` and ``ipv6_address``.

    Ordered by name, so that the order in which they are written does not matter.
    """
    given = value if isinstance(value, t.Mapping) else dict.fromkeys(parsers.texts(option, value))
    found = {}
    mac_addresses: dict[str, str] = {}
    addresses: dict[str, frozenset[str]] = {}
    for name in sorted(given):
        path = f"{option}.{name}"
        if not isinstance(name, str) or not NETWORK.fullmatch(name):
            raise OptionError(option, name, "name networks with letters, digits, dashes, dots and underscores")
        setting = given[name] or []
        if isinstance(setting, t.Mapping):
            keys = parsers.known_keys(path, setting, ("aliases", "mac_address", "ipv4_address", "ipv6_address"))
            fixed = {
                _address(f"{path}.ipv{version}_address", keys[f"ipv{version}_address"], version)
                for version in (4, 6)
                if keys.get(f"ipv{version}_address") is not None
            }
            addresses.update({name: frozenset(fixed)} if fixed else {})
            if keys.get("mac_address") is not None:
                mac_addresses[name] = parsers.mac_address(f"{path}.mac_address", keys["mac_address"])
            setting = keys.get("aliases") or []
        aliases = parsers.sorted_texts(path, setting)
        for alias in aliases:
            if not ALIAS.fullmatch(alias):
                raise OptionError(
                    path, alias, "write aliases of lower-case letters, digits, dashes, dots and underscores"
                )
        found[name] = aliases
    if not found:
        raise OptionError(option, value, "name at least one network")
    if len(mac_addresses) > 1:
        # POST /networks/{id}/connect keeps no address before API 1.54; what is made in a network has it there.
        second = sorted(mac_addresses)[1]
        raise OptionError(
            f"{option}.{second}.mac_address",
            mac_addresses[second],
            "the engine keeps one address, in the network that a container is made in",
        )
    return Joined(found, *next(iter(mac_addresses.items()), ("", "")), addresses)


def _address(option: str, value: t.Any, version: int) -> str:
    """An address as the engine writes it."""
    try:
        found = ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        found = None
    if found is None or found.version != version:
        raise OptionError(
            option, value, f"write an address such as {'2001:db8::10' if version == 6 else '172.30.0.10'}"
        )
    return str(found)


def check_names(members: t.Mapping[str, Networks]) -> None:
    """Refuse a name that two members would have in one network: which of them answers would be chance."""
    taken: dict[tuple[str, str], str] = {}
    for member, networks in members.items():
        taken.update({(network, member): member for network in networks})
    for member, networks in members.items():
        for network, aliases in networks.items():
            for alias in aliases:
                other = taken.setdefault((network, alias), member)
                if other != member:
                    raise OptionError(
                        f"containers.{member}.networks.{network}",
                        alias,
                        f"{other!r} is known by this name there; choose another alias",
                    )
