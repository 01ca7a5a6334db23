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


SSH_PORT = 22


@dataclass(frozen=True)
class WaitSpec:
    """What to wait for, all of it within ``timeout`` seconds.

    An address, if ``address``: in ``network``, or any that is not link-local; on the interface ``nic``, or on any. ``guest_agent``: the
    guest's agent has reported. ``ssh_port``: an SSH server answers there, at that address, asked from here.
    """

    network: IpNetwork | None
    nic: str | None
    timeout: int
    address: bool = True
    guest_agent: bool = False
    ssh_port: int | None = None

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
        parts = ["its guest agent"] if self.guest_agent else []
        if self.address:
            parts.append(f"an address in {self.network}{where}" if self.network else f"an address{where}")
        return " and ".join(parts)


def wait_arguments() -> dict[str, t.Any]:
    """The argument spec of what to wait for."""
    return {
        "address": {"type": "str"},
        "nic": {"type": "str"},
        "guest_agent": {"type": "bool", "default": False},
        "ssh": {"type": "bool", "default": False},
        "ssh_port": {"type": "int", "default": SSH_PORT},
        "timeout": {"type": "int", "default": 300},
    }


def wait_spec(value: t.Mapping[str, t.Any] | None) -> WaitSpec | None:
    """What to wait for out of the module's parameter ``wait_for``. Raises ``OptionError``."""
    if value is None:
        return None
    written = str(value["address"] or "").strip().lower()
    agent, ssh, nic, port = value["guest_agent"], value["ssh"], value["nic"] or None, value["ssh_port"]
    if written in ("", "false", "no") and not (agent or ssh or nic):
        raise OptionError("wait_for", value["address"], "give at least one of address, nic, guest_agent and ssh")
    if written in ("false", "no") and (ssh or nic):
        raise OptionError("wait_for.address", value["address"], "nic and ssh need an address; leave this out")
    if not 1 <= port <= 65535:
        raise OptionError("wait_for.ssh_port", port, "give a port from 1 to 65535")
    return WaitSpec(
        _network(value["address"], written),
        nic,
        seconds("wait_for.timeout", value["timeout"]),
        address=written not in ("", "false", "no") or bool(ssh or nic),
        guest_agent=agent,
        ssh_port=port if ssh else None,
    )


def _network(given: t.Any, written: str) -> IpNetwork | None:
    if written in ("", "true", "yes", "any", "false", "no"):
        return None
    try:
        return ipaddress.ip_network(written, strict=False)
    except ValueError:
        expected = "give true, or a network such as 10.1.0.0/16 or 2001:db8::/32"
        raise OptionError("wait_for.address", given, expected) from None
