# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What a NIC may send and receive in each of XAPI's VIF locking modes: pure, over Ethernet frames.

The rules of `locked` are those that XenServer gives its virtual switch (xenopsd, setup-vif-rules): only what the machine
sends is looked at; its MAC must be its own and its addresses of the allowed ones; DHCP requests and ARP probes pass.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

_IPV4, _ARP, _IPV6 = 0x0800, 0x0806, 0x86DD
_TCP, _UDP, _ICMPV6 = 6, 17, 58
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION = 0, 43, 44, 60
_SOLICITATION, _ADVERTISEMENT = 135, 136
_NEVER = frozenset({134, 137, 146, 147, 151, 152, 153})
"""ICMPv6 types of routers and of mobile and multicast routing, which no guest may send."""
_SOURCE_LINK_LAYER_ADDRESS = 1
_DHCP_SERVER_PORT = 67


@dataclass(frozen=True)
class Locking:
    """How a NIC is locked; addresses are in packed form."""

    mode: str = "unlocked"
    """`unlocked`, `disabled` or `locked`."""
    ipv4: frozenset[bytes] = frozenset()
    ipv6: frozenset[bytes] = frozenset()


def locking(mode: str, default_mode: str, ipv4: Iterable[str], ipv6: Iterable[str]) -> Locking:
    """The locking that a VIF's fields and its network's `default_locking_mode` ask for."""
    if mode == "network_default":
        mode = default_mode
    return Locking(mode, _packed(ipv4), _packed(ipv6))


def _packed(addresses: Iterable[str]) -> frozenset[bytes]:
    """Addresses in packed form, without what is none: VIF.create takes any text, and no frame has it."""
    packed = set()
    for address in addresses:
        with contextlib.suppress(ValueError):
            packed.add(ipaddress.ip_address(address).packed)
    return frozenset(packed)


def may_receive(lock: Locking) -> bool:
    return lock.mode != "disabled"


def may_send(lock: Locking, mac: bytes, frame: bytes) -> bool:
    """Whether a NIC with this MAC may send a frame."""
    if lock.mode != "locked":
        return lock.mode != "disabled"
    if frame[6:12] != mac:
        return False
    kind, packet = int.from_bytes(frame[12:14], "big"), frame[14:]
    if kind == _ARP:
        return _arp_passes(lock, mac, packet)
    if kind == _IPV4:
        return _ipv4_passes(lock, packet)
    return kind == _IPV6 and _ipv6_passes(lock, mac, packet)


def lets_through(lock: Locking, *addresses: str) -> bool:
    """Whether a NIC whose only addresses these are is connected at all."""
    if lock.mode != "locked":
        return lock.mode != "disabled"
    return not lock.ipv4.isdisjoint(_packed(addresses))


def _arp_passes(lock: Locking, mac: bytes, packet: bytes) -> bool:
    sender_mac, sender = packet[8:14], packet[14:18]
    return sender_mac == mac and (sender == bytes(4) or sender in lock.ipv4)


def _ipv4_passes(lock: Locking, packet: bytes) -> bool:
    if packet[12:16] in lock.ipv4:
        return True
    header = (packet[:1] or b"\0")[0] % 16 * 4
    return packet[9:10] == bytes([_UDP]) and packet[header + 2 : header + 4] == _DHCP_SERVER_PORT.to_bytes(2, "big")


def _ipv6_passes(lock: Locking, mac: bytes, packet: bytes) -> bool:
    source, (protocol, message) = packet[8:24], _upper_layer(packet)
    if source not in lock.ipv6:
        return False
    if protocol != _ICMPV6 or not message:
        return protocol in (_TCP, _UDP)
    if message[0] == _SOLICITATION:
        return _option(message[24:], _SOURCE_LINK_LAYER_ADDRESS) == mac
    if message[0] == _ADVERTISEMENT:
        return message[8:24] == source
    return message[0] not in _NEVER


def _upper_layer(packet: bytes) -> tuple[int, bytes]:
    """The protocol of an IPv6 packet behind its extension headers, and what it carries."""
    protocol, rest = (packet[6:7] or b"\xff")[0], packet[40:]
    while protocol in (_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION) and len(rest) >= 8:
        length = 8 if protocol == _FRAGMENT else 8 * (rest[1] + 1)
        protocol, rest = rest[0], rest[length:]
    return protocol, rest


def _option(options: bytes, wanted: int) -> bytes | None:
    """The content of a neighbour discovery option."""
    while len(options) >= 8 and options[1]:
        length = 8 * options[1]
        if options[0] == wanted:
            return options[2:length]
        options = options[length:]
    return None
