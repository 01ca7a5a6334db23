# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The network interfaces that ``hardshell.xen.vm`` is asked for. Pure."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .option_checks import refuse_twice, usable_name

LOCKING_MODES = ("network_default", "locked", "unlocked", "disabled")
MOST_RATE = 83886079
"""Kilobytes a second. Beyond it the bytes of one of xenopsd's intervals of 50 ms do not fit 32 bits, and it sets no limit (device.ml)."""


@dataclass(frozen=True)
class NicSpec:
    """An interface by name. None leaves a thing as it is. ``mtu`` is bytes; ``rate_limit`` is in kilobytes of 1024 bytes a second, 0 for none."""

    name: str
    network: str
    mac: str | None = None
    mtu: int | None = None
    rate_limit: int | None = None
    locking_mode: str | None = None
    ipv4_allowed: tuple[str, ...] | None = None
    ipv6_allowed: tuple[str, ...] | None = None


def nic_arguments() -> dict[str, t.Any]:
    """The argument spec of one interface."""
    return {
        "name": {"type": "str"},
        "network": {"type": "str", "required": True},
        "mac": {"type": "str"},
        "mtu": {"type": "int"},
        "rate_limit": {"type": "int"},
        "locking_mode": {"type": "str", "choices": list(LOCKING_MODES)},
        "ipv4_allowed": {"type": "list", "elements": "str"},
        "ipv6_allowed": {"type": "list", "elements": "str"},
    }


def nic_specs(values: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[NicSpec, ...]:
    """The interfaces out of the module's parameter ``networks``. Raises ``OptionError``."""
    nics = tuple(_nic(f"networks[{index}]", value) for index, value in enumerate(values))
    refuse_twice("networks", [nic.name for nic in nics])
    refuse_twice("networks", [nic.mac for nic in nics if nic.mac], "mac")
    return nics


def _nic(option: str, value: t.Mapping[str, t.Any]) -> NicSpec:
    mac = (value["mac"] or "").lower().replace("-", ":") or None
    if mac is not None and not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", mac):
        raise OptionError(f"{option}.mac", value["mac"], "give a unicast MAC address such as 02:00:5e:10:00:01")
    network = usable_name(f"{option}.network", value["network"])
    mtu, rate_limit, mode = value["mtu"], value["rate_limit"], value["locking_mode"]
    if mtu is not None and not 576 <= mtu <= 65535:
        raise OptionError(f"{option}.mtu", mtu, "give a size from 576 to 65535 bytes")
    if rate_limit is not None and not 0 <= rate_limit <= MOST_RATE:
        expected = f"give kilobytes a second, up to {MOST_RATE}, or 0 for no limit"
        raise OptionError(f"{option}.rate_limit", rate_limit, expected)
    allowed = {
        version: _addresses(f"{option}.ipv{version}_allowed", value[f"ipv{version}_allowed"], version)
        for version in (4, 6)
    }
    if mode == "locked" and not (allowed[4] or allowed[6]):
        raise OptionError(
            f"{option}.locking_mode",
            mode,
            "with no address allowed nothing would pass; list ipv4_allowed or ipv6_allowed, or ask for disabled",
        )
    for version, addresses in allowed.items():
        if addresses and mode != "locked":
            raise OptionError(
                f"{option}.ipv{version}_allowed",
                list(addresses),
                "addresses count only with locking_mode: locked; set it too",
            )
    return NicSpec(
        name=usable_name(f"{option}.name", value["name"] or network),
        network=network,
        mac=mac,
        mtu=mtu,
        rate_limit=rate_limit,
        locking_mode=mode,
        ipv4_allowed=allowed[4],
        ipv6_allowed=allowed[6],
    )


def _addresses(option: str, values: t.Sequence[str] | None, version: int) -> tuple[str, ...] | None:
    """Addresses in the form in which they compare."""
    if values is None:
        return None
    found = set()
    for value in values:
        try:
            address = ipaddress.ip_address(value.strip())
        except ValueError:
            address = None
        if address is None or address.version != version:
            example = "192.0.2.10" if version == 4 else "2001:db8::10"
            raise OptionError(option, value, f"give single IPv{version} addresses such as {example}")
        found.add(str(address))
    return tuple(sorted(found))
