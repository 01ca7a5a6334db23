# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The archive that VMs are exported to and imported from: a tar with `ova.xml` and the blocks of the disks.

A disk's blocks of 1 MiB are files `Ref:7/00000000`, each followed by its checksum, `.xxhash` (XXH64 in capital hex) or in
older archives `.checksum` (SHA-1). Blocks of zeros are left out, but never the first and the last (stream_vdi.ml). The
whole may be compressed.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import AsyncIterator

from xapi_lab.compression import plain
from xapi_lab.errors import XapiError
from xapi_lab.machines.vhd import ByteStream

METADATA = "ova.xml"
BLOCK = 2**20
LARGEST_METADATA = 64 * 2**20
_RECORD = 512
END = bytes(2 * _RECORD)
_BLOCK_NAME = re.compile(r"(Ref:\d+)/(\d{8,12})\Z")
_CHECKSUMS = (".xxhash", ".checksum")


# --- writing


def tar_file(name: str, content: bytes) -> bytes:
    """A file of the tar: header, content and padding."""
    head = (
        name.encode().ljust(100, b"\0")
        + b"0000400\0"
        + b"0000000\0" * 2
        + b"%011o\0" % len(content)
        + b"%011o\0" % int(time.time())
    )
    total = sum(head) + 8 * ord(" ")  # the sum counts its own field as spaces
    header = (head + b"%06o\0 " % total).ljust(_RECORD, b"\0")
    return header + content + bytes(-len(content) % _RECORD)


def block_files(disk: str, number: int, content: bytes) -> bytes:
    """A block of a disk and its checksum."""
    name = f"{disk}/{number:08d}"
    return tar_file(name, content) + tar_file(f"{name}.xxhash", _checksum(".xxhash", content).encode())


async def blocks_of(extents: AsyncIterator[tuple[int, bytes]], size: int) -> AsyncIterator[tuple[int, bytes]]:
    """Number and content of the blocks that go into an archive, from the blocks of a disk that are not zero."""
    last, expected = max(0, (size - 1) // BLOCK), 0
    async for offset, content in extents:
        number = offset // BLOCK
        if expected == 0 and number > 0:
            yield 0, bytes(min(BLOCK, size))
        expected = number + 1
        yield number, content
    if expected == 0:
        yield 0, bytes(min(BLOCK, size))
        expected = 1
    if expected <= last:
        yield last, bytes(size - last * BLOCK)


def _checksum(kind: str, content: bytes) -> str:
    if kind == ".checksum":
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()
    from xxhash import xxh64_hexdigest  # only archives of VMs need it

    return xxh64_hexdigest(content).upper()


# --- reading


def _cut_off() -> XapiError:
    return XapiError("IMPORT_ERROR_PREMATURE_EOF")


class Archive:
    """Reads an archive once, in its order; raises XAPI's import errors."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._stream = ByteStream(plain(chunks))

    async def metadata(self) -> bytes:
        """The content of ova.xml, which comes first."""
        name, size = await self._header()
        if name != METADATA:
            raise XapiError("IMPORT_ERROR_UNEXPECTED_FILE", METADATA, name)
        if size > LARGEST_METADATA:
            raise XapiError("IMPORT_ERROR", f"{METADATA} has {size} bytes; {LARGEST_METADATA} at most are taken")
        return await self._content(size)

    async def blocks(self, *, force: bool = False) -> AsyncIterator[tuple[str, int, bytes]]:
        """Disk, number and content of each block. `force`: take blocks whose checksum is wrong."""
        while True:
            name, size = await self._header()
            if not name:
                return
            block = _BLOCK_NAME.match(name)
            if block is None or size > BLOCK:
                raise XapiError("IMPORT_ERROR_UNEXPECTED_FILE", "Ref:N/00000000", name)
            content = await self._content(size)
            checksum_name, size = await self._header()
            kind = checksum_name.removeprefix(name)
            if kind not in _CHECKSUMS:
                raise XapiError("IMPORT_ERROR_UNEXPECTED_FILE", f"{name}.xxhash", checksum_name)
            if await self._content(min(size, _RECORD)) != _checksum(kind, content).encode() and not force:
                raise XapiError("IMPORT_ERROR_SOME_CHECKSUMS_FAILED")
            yield block.group(1), int(block.group(2)), content

    async def _header(self) -> tuple[str, int]:
        """Name and size of the next file; no name at the end."""
        header = await self._exactly(_RECORD)
        if not header.strip(b"\0"):
            return "", 0
        try:
            size = int(header[124:136].strip(b"\0 ") or b"0", 8)
            if int(header[148:156].strip(b"\0 "), 8) != sum(header[:148] + b" " * 8 + header[156:]) or size < 0:
                raise ValueError
            return header[:100].rstrip(b"\0").decode(), size
        except ValueError:
            raise XapiError("IMPORT_ERROR_UNEXPECTED_FILE", METADATA, header[:100].decode("ascii", "replace")) from None

    async def _content(self, size: int) -> bytes:
        return (await self._exactly(size + -size % _RECORD))[:size]

    async def _exactly(self, length: int) -> bytes:
        data = await self._stream.read(length)
        if len(data) < length:
            raise _cut_off()
        return data
