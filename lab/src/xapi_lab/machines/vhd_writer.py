# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The parts of a VHD that is written in one pass, in the order in which XAPI's vhd-tool streams it (vhd_format/f.ml).

Footer, header, an empty sector, the block table, whole blocks of 2 MiB with all bits of their bitmaps set, footer. Offsets
are those of Microsoft's "Virtual Hard Disk Image Format Specification" 1.0; all numbers are big endian.
"""

from __future__ import annotations

import struct
import uuid as uuids
from collections.abc import Sequence
from dataclasses import dataclass

from .vhd import DIFFERENCING, DYNAMIC, FOOTER_COOKIE, HEADER_COOKIE, SECTOR, UNUSED

BLOCK = 2 * 1024 * 1024
BITMAP = b"\xff" * (BLOCK // SECTOR // 8)
"""What comes before each block's data; one sector."""
_HEADER_OFFSET = SECTOR
_TABLE_OFFSET = 4 * SECTOR
_VERSION = 0x00010000
_FEATURES = 2
"""A bit that is always set."""


@dataclass(frozen=True)
class Parent:
    """The disk that a differencing VHD is to be laid over."""

    uuid: str
    name: str


def footer(size: int, kind: int, unique: uuids.UUID) -> bytes:
    """The sector that begins and ends a VHD of a disk of `size` bytes."""
    cylinders, heads, sectors = _geometry(size // SECTOR)
    raw = struct.pack(
        ">8sIIQI4sI4sQQHBBI", FOOTER_COOKIE, _FEATURES, _VERSION, _HEADER_OFFSET, 0, b"caml", 1, bytes(4), size, size,
        cylinders, heads, sectors, kind,
    )  # fmt: skip
    return _with_checksum((raw + bytes(4) + unique.bytes).ljust(SECTOR, b"\0"), 64)


def beginning(size: int, blocks: Sequence[int], unique: uuids.UUID, parent: Parent | None = None) -> bytes:
    """All that comes before the first block, when the blocks with these numbers follow in this order."""
    entries = -(-size // BLOCK)
    table_size = -(-4 * entries // SECTOR) * SECTOR
    table = [UNUSED] * entries
    position = _TABLE_OFFSET + table_size
    for number in blocks:
        table[number] = position // SECTOR
        position += len(BITMAP) + BLOCK
    kind = DYNAMIC if parent is None else DIFFERENCING
    head = footer(size, kind, unique) + _header(entries, parent)
    return head.ljust(_TABLE_OFFSET, b"\0") + struct.pack(f">{entries}I", *table).ljust(table_size, b"\xff")


def _header(entries: int, parent: Parent | None) -> bytes:
    raw = struct.pack(">8sQQIII", HEADER_COOKIE, 2**64 - 1, _TABLE_OFFSET, _VERSION, entries, BLOCK)
    if parent is not None:
        name = parent.name.encode("utf-16-be")
        raw += bytes(4) + uuids.UUID(parent.uuid).bytes + bytes(8) + name
    return _with_checksum(raw.ljust(1024, b"\0"), 36)


def _with_checksum(raw: bytes, offset: int) -> bytes:
    return raw[:offset] + struct.pack(">I", ~sum(raw) & 0xFFFFFFFF) + raw[offset + 4 :]


def _geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads, sectors a track, by the specification's own rule."""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return sectors // 255 // 16, 16, 255
    for heads, track in ((max(4, -(-(sectors // 17) // 1024)), 17), (16, 31), (16, 63)):
        if heads <= 16 and sectors // track < heads * 1024:
            break
    return sectors // track // heads, heads, track
