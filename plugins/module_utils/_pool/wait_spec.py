# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm`` is to wait for in a running VM. Pure."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .option_checks import seconds

IpNetwork = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]  # noqa: UP007  # read by pylint as Python 3.8


@dataclass(frozen=True)
class WaitSpec:
    """An address to wait for: in ``network``, or any that is not link-local; on the interface ``nic``, or on any."""

    network: IpNetwork | None
    nic: str | None
    timeout: int

    def accepts(self, address: str) -> bool:
        """Whether this is an address to wait for."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if self.network is None:
            return not parsed.is_link_local
        return parsed.version == self.network.version and parsed in self.network

    def __str__(self) -> str:
        where = f" on {self.nic!r}" if self.nic else ""
        return f"an address in {self.network}{where}" if self.network else f"an address{where}"


def wait_spec(value: t.Mapping[str, t.Any] | None) -> WaitSpec | None:
    """What to wait for out of the module's parameter ``wait_for``. Raises ``OptionError``."""
    if value is None:
        return None
    written = str(value["address"]).strip()
    network: IpNetwork | None = None
    if written.lower() not in ("true", "yes", "any"):
        try:
            network = ipaddress.ip_network(written, strict=False)
        except ValueError:
            expected = "give true, or a network such as 10.1.0.0/16 or 2001:db8::/32"
            raise OptionError("wait_for.address", value["address"], expected) from None
    return WaitSpec(network, value["nic"] or None, seconds("wait_for.timeout", value["timeout"]))
