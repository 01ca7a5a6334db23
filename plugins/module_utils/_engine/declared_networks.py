# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Networks of a set that are not plain bridges, or that were there before it.

The engine changes no option of a network that is there. So a digest of the options is part of what the network is called: with other options it is another
network, which the new containers join while the old ones still have theirs.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import typing as t
from dataclasses import dataclass, field

from .._errors import OptionError
from . import names, parsers
from .networks import NETWORK, Joined

JSON = dict[str, t.Any]

_KEYS = ("name", "external", "internal", "enable_ipv6", "ipam_config", "driver_opts")
# What a pool of addresses is told, and what the engine calls it.
_POOL = {"subnet": "Subnet", "ip_range": "IPRange", "gateway": "Gateway", "aux_addresses": "AuxiliaryAddresses"}


@dataclass(frozen=True)
class DeclaredNetwork:
    """What the engine calls the network. An ``external`` one is there already; the set joins it, and neither makes nor removes it.

    ``settings`` are the part of the engine's create request that is not a plain bridge's.
    """

    name: str
    external: bool = False
    settings: JSON = field(default_factory=dict)


def parse_declared(option: str, value: t.Any, set_name: str) -> dict[str, DeclaredNetwork]:
    """A mapping of the names that members use to ``name``, ``external``, ``internal``, ``enable_ipv6``, ``ipam_config`` and ``driver_opts``."""
    found = {}
    for network, item in parsers.mapping(option, value).items():
        where = f"{option}.{network}"
        if not NETWORK.fullmatch(network):
            raise OptionError(where, network, "name networks with letters, digits, dashes, dots and underscores")
        given = {key: own for key, own in parsers.known_keys(where, item or {}, _KEYS).items() if own is not None}
        external = parsers.boolean(f"{where}.external", given.get("external", False))
        settings = _settings(where, given)
        if external and settings:
            raise OptionError(where, sorted(given), "an external network is as it is: take its options out")
        name = given.get("name")
        if name is not None and (not isinstance(name, str) or not NETWORK.fullmatch(name)):
            raise OptionError(f"{where}.name", name, "write what the engine calls it, such as proxy")
        own = names.declared_network(set_name, network, _digest(settings) if settings else "")
        found[network] = DeclaredNetwork(name or (network if external else own), external, settings)
    return found


def _settings(option: str, given: t.Mapping[str, t.Any]) -> JSON:
    found: JSON = {}
    for key, name in (("internal", "Internal"), ("enable_ipv6", "EnableIPv6")):
        if parsers.boolean(f"{option}.{key}", given.get(key, False)):
            found[name] = True
    asked = given.get("ipam_config") or []
    if not isinstance(asked, list):
        raise OptionError(f"{option}.ipam_config", asked, "write a list, such as [{subnet: 172.30.0.0/24}]")
    if asked:
        read = [_pool(f"{option}.ipam_config[{index}]", pool) for index, pool in enumerate(asked)]
        found["IPAM"] = {"Driver": "default", "Config": read}
    options = parsers.mapping(f"{option}.driver_opts", given.get("driver_opts") or {})
    if options:
        found["Options"] = {key: parsers.text(f"{option}.driver_opts.{key}", item) for key, item in options.items()}
    return found


def _pool(option: str, value: t.Any) -> JSON:
    given = {key: item for key, item in parsers.known_keys(option, value, _POOL).items() if item is not None}
    if "subnet" not in given:
        raise OptionError(f"{option}.subnet", None, "say the network's addresses, such as 172.30.0.0/24")
    found: JSON = {}
    for key in ("subnet", "ip_range"):
        if key in given:
            found[_POOL[key]] = str(_network(f"{option}.{key}", given[key]))
    if "gateway" in given:
        found["Gateway"] = _address(f"{option}.gateway", given["gateway"])
    taken = parsers.mapping(f"{option}.aux_addresses", given.get("aux_addresses") or {})
    if taken:
        found[_POOL["aux_addresses"]] = {
            key: _address(f"{option}.aux_addresses.{key}", item) for key, item in taken.items()
        }
    return found


def _network(option: str, value: t.Any) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(str(value))
    except ValueError:
        raise OptionError(
            option, value, "write a network such as 172.30.0.0/24, with no bits set after its prefix"
        ) from None


def _address(option: str, value: t.Any) -> str:
    try:
        return str(ipaddress.ip_address(value if isinstance(value, str) else ""))
    except ValueError:
        raise OptionError(option, value, "write an address such as 172.30.0.1") from None


def _digest(settings: JSON) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[: names.DIGEST_LENGTH]


def check_addresses(members: t.Mapping[str, Joined], declared: t.Mapping[str, DeclaredNetwork]) -> None:
    """Refuse an address that is in no subnet of its network, or that two members have, and a declared network that nobody joins."""
    taken: dict[tuple[str, str], str] = {}
    for member, joined in members.items():
        for network, addresses in joined.addresses.items():
            option = f"containers.{member}.networks.{network}"
            of = declared.get(network)
            for one in sorted(addresses):
                own = pools(of.settings) if of else []
                inside = any(ipaddress.ip_address(one) in ipaddress.ip_network(pool["Subnet"]) for pool in own)
                if not inside and not (of and of.external):
                    raise OptionError(
                        option, one, f"give the network a subnet with this address: networks.{network}.ipam_config"
                    )
                other = taken.setdefault((network, one), member)
                if other != member:
                    raise OptionError(option, one, f"{other!r} has this address there; choose another one")
    for network in declared:
        if not any(network in joined.networks for joined in members.values()):
            raise OptionError(
                f"networks.{network}", network, "no container is in this network; take it out or correct its name"
            )


def holds(settings: JSON, report: JSON) -> bool:
    """Whether a network that the engine reports is as ``settings`` ask. What is not asked for is the engine's choice, but to be internal."""
    if bool(report.get("Internal")) != bool(settings.get("Internal")):
        return False
    if settings.get("EnableIPv6") and not report.get("EnableIPv6"):
        return False
    if not all(any(pool.items() <= own.items() for own in pools(report)) for pool in pools(settings)):
        return False
    return (settings.get("Options") or {}).items() <= (report.get("Options") or {}).items()


def pools(settings: JSON) -> list[JSON]:
    """The pools of addresses in a create request or a report."""
    return (settings.get("IPAM") or {}).get("Config") or []


def overlaps(settings: JSON, report: JSON) -> str:
    """A subnet of ``settings`` that the network of the ``report`` has addresses of, or empty. Networks of a cluster have pools of their own."""
    if report.get("Scope", "local") != "local":
        return ""
    taken = [ipaddress.ip_network(pool["Subnet"], strict=False) for pool in pools(report) if pool.get("Subnet")]
    for pool in pools(settings):
        own = ipaddress.ip_network(pool["Subnet"])
        if any(own.version == other.version and own.overlaps(other) for other in taken):
            return str(own)
    return ""


def check_subnets(declared: t.Mapping[str, DeclaredNetwork]) -> None:
    """Refuse two networks of a set that would have addresses in common: the engine makes no second one."""
    seen: dict[str, DeclaredNetwork] = {}
    for network, own in declared.items():
        for other, settings in seen.items():
            taken = overlaps(own.settings, settings.settings)
            if taken:
                raise OptionError(
                    f"networks.{network}.ipam_config", taken, f"{other!r} has addresses in it; choose another subnet"
                )
        seen[network] = own


def shown(settings: JSON) -> JSON:
    """The options as a person is shown them."""
    found: JSON = {"driver": "bridge"}
    found.update(
        {key: True for key, name in (("internal", "Internal"), ("enable_ipv6", "EnableIPv6")) if settings.get(name)}
    )
    written = {name: key for key, name in _POOL.items()}
    if pools(settings):
        found["ipam_config"] = [{written[name]: item for name, item in pool.items()} for pool in pools(settings)]
    return {**found, **({"driver_opts": settings["Options"]} if settings.get("Options") else {})}


DIGEST = re.compile(rf"(?P<name>.+)\.[0-9a-f]{{{names.DIGEST_LENGTH}}}")
"""What a network with options is called, without its set's name."""
