# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The lab's default network: user networking, each machine with a subnet and a loopback address of its own.

Ports of the machine are reached under their own numbers at its loopback address, such as 127.77.0.2:22.

By default a machine opens no connection of its own to the outside (``restrict=on``). QEMU's user network maps its gateway
to this machine's loopback, where the lab itself and any other local service listen; there is no option to leave out just
that, so ``nat_outgoing`` gives guests both the outside and this machine's loopback, or neither.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

from .contract import MachineError

GUEST_HOST = 15
"""The user network's DHCP server gives this host number to its only client."""


def parse_ports(ports: Iterable[str]) -> tuple[int, ...]:
    """Port numbers from single ports and ranges such as ``8000-8099``, in order, each once."""
    numbers: set[int] = set()
    for item in ports:
        first, _, last = str(item).partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError:
            raise ValueError(f"nat_ports: {item!r} is not a port or a range such as 8000-8099") from None
        if not 0 < low <= high < 65536:
            raise ValueError(f"nat_ports: {item!r} is not within 1-65535, the lower port first")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def subnet(address: str) -> ipaddress.IPv4Network:
    """The guest's network: 127.77.3.4 is reached through 10.3.4.0/24."""
    octets = ipaddress.IPv4Address(address).packed
    return ipaddress.IPv4Network(f"10.{octets[2]}.{octets[3]}.0/24")


def guest_address(address: str) -> str:
    """The address that the guest gets by DHCP."""
    return str(subnet(address)[GUEST_HOST])


def netdev(name: str, address: str, ports: Iterable[int], outgoing: bool) -> dict[str, Any]:
    """QEMU's ``netdev`` for a machine that is reached at ``address``."""
    guest = guest_address(address)
    return {
        "type": "user",
        "id": name,
        "net": str(subnet(address)),
        "restrict": not outgoing,
        "hostfwd": [{"str": f"tcp:{address}:{port}-{guest}:{port}"} for port in ports],
    }


def check_ports_are_free(address: str, ports: Iterable[int]) -> None:
    """MachineError, with what to do, when a port of the machine's address cannot be taken."""
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address, port))
            except PermissionError:
                raise MachineError(
                    f"the port {address}:{port} may not be opened by this user. Allow it once with "
                    f"'sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port}', or leave ports below 1024 out of "
                    "nat_ports"
                ) from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise MachineError(f"the port {address}:{port} cannot be opened: {error.strerror}") from error
                raise MachineError(
                    f"the port {address}:{port} of the machine is taken by another program: if that is a machine of another "
                    "lab, give each lab a --nat-subnet of its own; else end it, or leave the port out of nat_ports"
                ) from None
