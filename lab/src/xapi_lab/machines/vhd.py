# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Read a VHD stream (fixed, dynamic or differencing) in one pass, as extents of the disk.

Of a differencing one, these are what differs from its parent: vhd-tool writes them over what the disk holds, and does not
ask whose parent that is (serve_vhd_to_raw in vhd-tool's impl.ml).

Offsets are those of Microsoft's "Virtual Hard Disk Image Format Specification" 1.0; all numbers are big endian.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

SECTOR = 512
FOOTER_COOKIE = b"conectix"
HEADER_COOKIE = b"cxsparse"
DYNAMIC = 3
DIFFERENCING = 4
UNUSED = 0xFFFFFFFF
MOST_BLOCKS = 1 << 20
"""Entries that a block table may have for a disk that does not need them: 2 TiB in blocks of 2 MiB, a VHD's largest disk."""

Extent = tuple[int, bytes]
"""Offset on the disk in bytes, and the data there."""


class VhdError(ValueError):
    """The stream is not a VHD that can be taken."""


class ByteStream:
    """Reads exact lengths from chunks of any length."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = bytearray()
        self.position = 0

    async def read(self, length: int) -> bytes:
        """Up to ``length`` bytes; fewer only at the end."""
        while len(self._buffer) < length:
            try:
                self._buffer += await anext(self._chunks)
            except StopAsyncIteration:
                break
        data = bytes(self._buffer[:length])
        del self._buffer[:length]
        self.position += len(data)
        return data

    async def exactly(self, length: int, what: str) -> bytes:
        data = await self.read(length)
        if len(data) < length:
            raise VhdError(f"the VHD stream ends inside its {what}, after {self.position} bytes")
        return data

    async def skip_to(self, position: int, what: str) -> None:
        while self.position < position:
            await self.exactly(min(position - self.position, 1 << 20), what)


@dataclass(frozen=True)
class Footer:
    """The fields of a VHD footer that matter here."""

    virtual_size: int
    kind: int
    data_offset: int


def parse_footer(raw: bytes) -> Footer:
    """Read a footer; VhdError when it is damaged."""
    if raw[:8] != FOOTER_COOKIE:
        raise VhdError("the stream has no VHD footer")
    (checksum,) = struct.unpack_from(">I", raw, 64)
    if checksum != ~(sum(raw[:64]) + sum(raw[68:SECTOR])) & 0xFFFFFFFF:
        raise VhdError("the checksum of the VHD footer is wrong")
    (data_offset,) = struct.unpack_from(">Q", raw, 16)
    (virtual_size,) = struct.unpack_from(">Q", raw, 48)
    (kind,) = struct.unpack_from(">I", raw, 60)
    return Footer(virtual_size, kind, data_offset)


@dataclass
class VhdReader:
    """Iterates over the extents of a VHD stream; ``virtual_size`` is known before the first one where the format tells it."""

    chunks: AsyncIterator[bytes]
    virtual_size: int | None = field(default=None, init=False)

    async def extents(self) -> AsyncIterator[Extent]:
        """Extents in the order of the stream; VhdError as soon as something is wrong."""
        stream = ByteStream(self.chunks)
        first = await stream.exactly(SECTOR, "first sector")
        if first[:8] != FOOTER_COOKIE:
            async for extent in self._fixed(stream, first):
                yield extent
            return
        footer = parse_footer(first)
        if footer.kind not in (DYNAMIC, DIFFERENCING):
            raise VhdError(f"a VHD of kind {footer.kind} that does not end with its only footer cannot be imported")
        self.virtual_size = footer.virtual_size
        async for extent in self._dynamic(stream, footer):
            yield extent

    async def _fixed(self, stream: ByteStream, held: bytes) -> AsyncIterator[Extent]:
        offset = 0
        while True:
            data = held + await stream.read(1 << 20)
            data, held = data[:-SECTOR], data[-SECTOR:]
            if not data:
                break
            yield offset, data
            offset += len(data)
        footer = parse_footer(held)
        self.virtual_size = footer.virtual_size

    async def _dynamic(self, stream: ByteStream, footer: Footer) -> AsyncIterator[Extent]:
        await stream.skip_to(footer.data_offset, "header")
        header = await stream.exactly(1024, "header")
        if header[:8] != HEADER_COOKIE:
            raise VhdError("the VHD has no dynamic disk header where its footer says")
        (table_offset,) = struct.unpack_from(">Q", header, 16)
        entries, block_size = struct.unpack_from(">II", header, 28)
        too_many = entries > MOST_BLOCKS and entries * block_size > 2 * footer.virtual_size
        fits = not block_size % SECTOR and SECTOR <= block_size <= 1 << 28 and not too_many
        if not fits or entries * block_size < footer.virtual_size:
            raise VhdError(f"the VHD's block table ({entries} blocks of {block_size} bytes) does not fit its size")
        await stream.skip_to(table_offset, "block table")
        table = struct.unpack(f">{entries}I", await stream.exactly(4 * entries, "block table"))
        bitmap_size = -(-(block_size // SECTOR) // (8 * SECTOR)) * SECTOR
        blocks = sorted((sector * SECTOR, index) for index, sector in enumerate(table) if sector != UNUSED)
        for position, index in blocks:
            if position < stream.position:
                raise VhdError(f"block {index} of the VHD overlaps what is before it")
            await stream.skip_to(position, "blocks")
            bitmap = await stream.exactly(bitmap_size, "blocks")
            block = await stream.exactly(block_size, "blocks")
            for start, end in present_runs(bitmap, block_size // SECTOR):
                offset = index * block_size + start * SECTOR
                data = block[start * SECTOR : end * SECTOR][: max(0, footer.virtual_size - offset)]
                if data:
                    yield offset, data
        await stream.exactly(SECTOR, "last footer")


def present_runs(bitmap: bytes, sectors: int) -> list[tuple[int, int]]:
    """Runs [start, end) of sectors whose bit is set, the highest bit of each byte first."""
    if all(byte == 0xFF for byte in bitmap[: sectors // 8]) and sectors % 8 == 0:
        return [(0, sectors)]
    runs: list[tuple[int, int]] = []
    start: int | None = None
    for sector in range(sectors):
        present = bitmap[sector // 8] >> (7 - sector % 8) & 1
        if present and start is None:
            start = sector
        elif not present and start is not None:
            runs.append((start, sector))
            start = None
    if start is not None:
        runs.append((start, sectors))
    return runs
