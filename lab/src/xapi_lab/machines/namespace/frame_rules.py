# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""VIF locking as lines of ebtables(8) on a bridge. Pure; the rules are those of ``vif_locking.may_send``.

Two of its tests are beyond ebtables and left out: the link-layer option and the target inside IPv6 neighbour discovery.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from ..vif_locking import Locking

_NEVER = (134, 137, 146, 147, 151, 152, 153)
"""ICMPv6 types of routers and of mobile and multicast routing, which no guest may send."""


def free(cable: str) -> list[str]:
    """Lines that take away what ``locked`` made; each may fail."""
    return [f"ebtables -D FORWARD -i {cable} -j {cable}", f"ebtables -F {cable}", f"ebtables -X {cable}"]


def locked(cable: str, mac: str, locking: Locking) -> list[str]:
    """Lines that let a guest send only as itself; what no rule lets through is dropped by the chain's policy."""
    return [
        f"ebtables -N {cable} -P DROP",
        f"ebtables -A FORWARD -i {cable} -j {cable}",
        *_passing(cable, mac, locking),
    ]


def _passing(cable: str, mac: str, locking: Locking) -> Iterator[str]:
    rule = f"ebtables -A {cable}"
    yield f"{rule} ! -s {mac} -j DROP"
    ipv4 = [str(ipaddress.IPv4Address(packed)) for packed in sorted(locking.ipv4)]
    for address in ("0.0.0.0", *ipv4):
        yield f"{rule} -p ARP --arp-mac-src {mac} --arp-ip-src {address} -j RETURN"
    for address in ipv4:
        yield f"{rule} -p IPv4 --ip-src {address} -j RETURN"
    yield f"{rule} -p IPv4 --ip-proto udp --ip-dport 67 -j RETURN"
    for kind in _NEVER:
        yield f"{rule} -p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type {kind} -j DROP"
    for packed in sorted(locking.ipv6):
        for protocol in ("tcp", "udp", "ipv6-icmp"):
            yield f"{rule} -p IPv6 --ip6-src {ipaddress.IPv6Address(packed)} --ip6-proto {protocol} -j RETURN"
