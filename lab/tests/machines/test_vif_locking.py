# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What passes a locked NIC, frame by frame, and that the switch between machines asks."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xapi_lab.machines.contract import Nic
from xapi_lab.machines.segment import Segments
from xapi_lab.machines.vif_locking import Locking, lets_through, locking, may_send

MAC, OTHER_MAC = bytes.fromhex("525400000001"), bytes.fromhex("525400000002")
LOCKED = locking("locked", "unlocked", ["192.0.2.7", "192.0.2.8"], ["2001:db8::7"])
EVERYONE = b"\xff" * 6


def ethernet(kind: int, payload: bytes, source: bytes = MAC, destination: bytes = EVERYONE) -> bytes:
    return destination + source + struct.pack(">H", kind) + payload


def arp(sender: str, sender_mac: bytes = MAC, source: bytes = MAC, operation: int = 1) -> bytes:
    addresses = sender_mac + ipaddress.ip_address(sender).packed + bytes(6) + ipaddress.ip_address("192.0.2.1").packed
    return ethernet(0x0806, struct.pack(">HHBBH", 1, 0x0800, 6, 4, operation) + addresses, source)


def ipv4(
    sender: str, protocol: int = 6, payload: bytes = bytes(20), source: bytes = MAC, options: bytes = b""
) -> bytes:
    header = struct.pack(
        ">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 0, 0, 64, protocol, 0
    )
    addresses = ipaddress.ip_address(sender).packed + ipaddress.ip_address("192.0.2.1").packed
    return ethernet(0x0800, header + addresses + options + payload, source)


def udp(port: int) -> bytes:
    return struct.pack(">HHHH", 68, port, 8, 0)


def ipv6(sender: str, protocol: int = 6, payload: bytes = bytes(20), source: bytes = MAC) -> bytes:
    header = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 255)
    addresses = ipaddress.ip_address(sender).packed + ipaddress.ip_address("ff02::1").packed
    return ethernet(0x86DD, header + addresses + payload, source)


def icmp6(kind: int, target: str = "2001:db8::7", option_mac: bytes | None = MAC, option: int = 1) -> bytes:
    options = bytes([option, 1]) + option_mac if option_mac else b""
    return bytes([kind, 0, 0, 0]) + bytes(4) + ipaddress.ip_address(target).packed + options


PASSES = {
    "ARP of its own address": arp("192.0.2.7"),
    "ARP answer of its second address": arp("192.0.2.8", operation=2),
    "ARP probe, before it has an address": arp("0.0.0.0"),
    "IPv4 from its own address": ipv4("192.0.2.7"),
    "DHCP request without an address": ipv4("0.0.0.0", 17, udp(67)),
    "DHCP request behind IP options": ipv4("0.0.0.0", 17, udp(67), options=bytes(8)),
    "IPv6 TCP from its own address": ipv6("2001:db8::7"),
    "IPv6 echo": ipv6("2001:db8::7", 58, icmp6(128)),
    "IPv6 behind a hop-by-hop header": ipv6("2001:db8::7", 0, bytes([6, 0]) + bytes(26)),
    "neighbour solicitation": ipv6("2001:db8::7", 58, icmp6(135, "2001:db8::1")),
    "neighbour advertisement": ipv6("2001:db8::7", 58, icmp6(136, option=2)),
}
DROPPED = {
    "another MAC": ipv4("192.0.2.7", source=OTHER_MAC),
    "another MAC inside ARP": arp("192.0.2.7", OTHER_MAC),
    "ARP of another's address": arp("192.0.2.9"),
    "ARP answer for another's address": arp("192.0.2.9", operation=2),
    "another's IPv4 address": ipv4("192.0.2.9"),
    "no IPv4 address, not DHCP": ipv4("0.0.0.0", 17, udp(53)),
    "a DHCP server's answer": ipv4("192.0.2.9", 17, udp(68)),
    "TCP to port 67": ipv4("192.0.2.9", 6, udp(67)),
    "DHCP request with another MAC": ipv4("0.0.0.0", 17, udp(67), OTHER_MAC),
    "another's IPv6 address": ipv6("2001:db8::9"),
    "a link-local address that is not listed": ipv6("fe80::1", 58, icmp6(135)),
    "solicitation that gives another MAC": ipv6("2001:db8::7", 58, icmp6(135, option_mac=OTHER_MAC)),
    "solicitation that gives no MAC": ipv6("2001:db8::7", 58, icmp6(135, option_mac=None)),
    "advertisement of another's address": ipv6("2001:db8::7", 58, icmp6(136, "2001:db8::9", option=2)),
    "router advertisement": ipv6("2001:db8::7", 58, icmp6(134)),
    "redirect": ipv6("2001:db8::7", 58, icmp6(137)),
    "advertisement behind a hop-by-hop header": ipv6("2001:db8::7", 0, bytes([58, 0]) + bytes(6) + icmp6(134)),
    "a protocol other than TCP, UDP and ICMP over IPv6": ipv6("2001:db8::7", 41),
    "a tagged frame": ethernet(0x8100, bytes(50)),
    "an unknown EtherType": ethernet(0x88CC, bytes(50)),
}


@pytest.mark.parametrize("frame", PASSES.values(), ids=PASSES)
def test_what_a_locked_nic_may_send(frame: bytes) -> None:
    assert may_send(LOCKED, MAC, frame)
    assert not may_send(replace(LOCKED, mode="disabled"), MAC, frame)


@pytest.mark.parametrize("frame", DROPPED.values(), ids=DROPPED)
def test_what_a_locked_nic_may_not_send(frame: bytes) -> None:
    assert not may_send(LOCKED, MAC, frame)
    assert may_send(replace(LOCKED, mode="unlocked"), MAC, frame)


def test_without_addresses_only_dhcp_and_probes_pass() -> None:
    empty = locking("locked", "unlocked", [], [])
    passing = [name for name, frame in PASSES.items() if may_send(empty, MAC, frame)]
    assert passing == ["ARP probe, before it has an address", "DHCP request without an address",
                       "DHCP request behind IP options"]  # fmt: skip


@given(
    frame=st.binary(max_size=120),
    source=st.sampled_from([MAC, OTHER_MAC]),
    kind=st.sampled_from([0x800, 0x806, 0x86DD]),
)
def test_no_frame_however_short_or_odd_passes_with_another_mac_or_breaks_the_filter(
    frame: bytes, source: bytes, kind: int
) -> None:
    assert may_send(LOCKED, MAC, ethernet(kind, frame, source)) in ({True, False} if source == MAC else {False})


def test_the_networks_default_counts_for_a_vif_that_has_none_of_its_own() -> None:
    assert locking("network_default", "disabled", [], []).mode == "disabled"
    assert locking("unlocked", "disabled", [], []).mode == "unlocked"


def test_a_nat_nic_is_connected_when_one_of_its_addresses_is_allowed() -> None:
    assert lets_through(Locking(), "127.77.0.2")
    assert not lets_through(Locking("disabled"), "127.77.0.2")
    assert lets_through(locking("locked", "", ["10.0.2.15"], []), "127.77.0.2", "10.0.2.15")
    assert not lets_through(locking("locked", "", ["192.0.2.7"], []), "127.77.0.2", "10.0.2.15")


class Port:
    """The end of a segment that is QEMU's elsewhere."""

    def __init__(self, segments: Segments, nic: Nic) -> None:
        self.nic, self._switch = nic, str(segments.switch_path(nic.segment))
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(segments.port(nic)))

    def send(self, frame: bytes) -> None:
        self._socket.sendto(frame, self._switch)

    async def receive(self) -> bytes:
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self._socket, 2000), 5)

    def close(self) -> None:
        self._socket.close()


def _nic(number: int, lock: Locking) -> Nic:
    return Nic(f"vif{number}", 0, f"52:54:00:00:00:0{number}", "network", "private", 1, None, lock)


def test_the_switch_passes_on_what_the_locks_allow_and_hears_of_changes() -> None:
    """Frames keep their order, so what reaches the witness next tells what was dropped before it."""

    async def work(folder: Path) -> None:
        segments = Segments(folder)
        nics = [_nic(1, LOCKED), _nic(2, Locking()), _nic(3, Locking())]
        sender, other, witness = ports = [Port(segments, nic) for nic in nics]
        for nic in nics:
            segments.join(nic)
        try:
            sender.send(ipv4("192.0.2.9", payload=b"forged"))
            sender.send(ipv4("192.0.2.7", payload=b"own"))
            assert (await witness.receive()).endswith(b"own")

            segments.lock(replace(nics[0], locking=Locking()))
            sender.send(ipv4("192.0.2.9", payload=b"unlocked"))
            assert (await witness.receive()).endswith(b"unlocked")

            segments.lock(replace(nics[1], locking=Locking("disabled")))
            other.send(ipv4("192.0.2.7", payload=b"from a disabled NIC", source=OTHER_MAC))
            sender.send(ipv4("192.0.2.7", payload=b"past a disabled NIC"))
            assert (await witness.receive()).endswith(b"past a disabled NIC")

            segments.lock(nics[1])
            sender.send(ipv4("192.0.2.7", payload=b"enabled again"))
            received = [(await other.receive())[34:] for _ in range(3)]
            assert received == [b"own", b"unlocked", b"enabled again"]
            assert segments.traffic(nics[1]) == (3 * 34 + 24, 34 + 19)
        finally:
            segments.close()
            for port in ports:
                port.close()

    with tempfile.TemporaryDirectory(prefix="s") as name:
        asyncio.run(work(Path(name)))
