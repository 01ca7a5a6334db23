# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Published ports: ``[address:]host:container[/protocol]``, ranges included."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError

_EXPECTED = "write a port such as 8080:80, 127.0.0.1:53:53/udp or 8000-8010:80-90"
_PORT = re.compile(
    r"(?:(?:(?P<address>\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:.]+\]):)?(?P<host>\d+(?:-\d+)?):)?(?P<container>\d+(?:-\d+)?)"
    r"(?:/(?P<protocol>tcp|udp|sctp))?"
)


@dataclass(frozen=True, order=True)
class Port:
    """One published port. ``host`` 0 lets the engine choose; ``address`` "" is every address of the VM."""

    container: int
    protocol: str
    host: int
    address: str = ""

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        host = f"{address}:" if address else ""
        return f"{host}{self.host or ''}:{self.container}/{self.protocol}"

    def collides(self, other: Port) -> bool:
        """Whether the two cannot be published on one machine at once."""
        same = self.host == other.host != 0 and self.protocol == other.protocol
        return same and (not self.address or not other.address or self.address == other.address)


def refuse_number(option: str, value: t.Any) -> None:
    """Refuse a port that a playbook's YAML 1.1 may have made of two: 22:22 without quotes is 22 * 60 + 22."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 60:
        raise OptionError(
            option, value, 'put it in quotes, as "8080:80": without them YAML reads 22:22 as the number 1342'
        )


def parse_ports(option: str, value: t.Any) -> tuple[Port, ...]:
    match = None if isinstance(value, bool) else _PORT.fullmatch(str(value))
    if match is None:
        raise OptionError(option, value, _EXPECTED)
    containers = _range(option, value, match["container"])
    hosts = _range(option, value, match["host"]) if match["host"] else [0] * len(containers)
    if len(hosts) != len(containers):
        raise OptionError(option, value, f"{len(hosts)} host ports do not fit {len(containers)} container ports")
    address = plain_address(option, match["address"] or "")
    protocol = match["protocol"] or "tcp"
    return tuple(Port(inner, protocol, outer, address) for inner, outer in zip(containers, hosts, strict=True))


def plain_address(option: str, text: str) -> str:
    """The address as the engine means it: "" for every address."""
    if text in ("", "0.0.0.0"):
        return ""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise OptionError(option, text, "write an IPv4 address, or an IPv6 address in brackets") from None


def _range(option: str, value: t.Any, text: str) -> list[int]:
    first, _dash, last = text.partition("-")
    numbers = list(range(int(first), int(last or first) + 1)) if int(last or first) <= 65535 else []
    if not numbers or numbers[0] < 1:
        raise OptionError(option, value, "ports are from 1 to 65535, the lower end of a range first")
    return numbers
