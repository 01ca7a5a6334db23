# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Learn a guest's IPv4 addresses from what it sends, read from the packet files of QEMU's ``filter-dump``."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

SNAP_LENGTH = 64
"""Bytes of each packet that are kept: enough for the headers of ARP and IPv4."""

_FILE_HEADER, _RECORD_HEADER = 24, 16
_ARP, _IPV4 = 0x0806, 0x0800


def sender_address(frame: bytes, mac: bytes) -> str | None:
    """The IPv4 address that the NIC with this MAC uses as its own in a frame that it sent."""
    if len(frame) < 34 or frame[6:12] != mac:
        return None
    (kind,) = struct.unpack_from(">H", frame, 12)
    if kind == _ARP and frame[22:28] == mac:
        source = frame[28:32]
    elif kind == _IPV4:
        source = frame[26:30]
    else:
        return None
    address = ipaddress.IPv4Address(source)
    return None if address.is_unspecified or address.is_loopback or address.is_multicast else str(address)


def frames(capture: bytes) -> tuple[list[bytes], int]:
    """The whole records of a part of a packet file, and the bytes that they take; what is cut off is left for later."""
    found, position = [], 0
    while position + _RECORD_HEADER <= len(capture):
        (length,) = struct.unpack_from("=I", capture, position + 8)
        end = position + _RECORD_HEADER + length
        if end > len(capture):
            break
        found.append(capture[position + _RECORD_HEADER : end])
        position = end
    return found, position


class Capture:
    """A growing packet file, read from where the last look ended."""

    def __init__(self, path: Path, mac: str) -> None:
        self.path = path
        self._mac = bytes.fromhex(mac.replace(":", ""))
        self._position = _FILE_HEADER

    def look(self) -> str | None:
        """The address in the newest packet that tells one, since the last look."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._position)
                records, length = frames(file.read())
        except FileNotFoundError:
            return None
        self._position += length
        known = [address for frame in records if (address := sender_address(frame, self._mac))]
        return known[-1] if known else None
