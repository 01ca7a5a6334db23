# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Compression of archives: gzip and zstd, asked for by name (export.ml) and recognised by their first bytes (import.ml)."""

from __future__ import annotations

import sys
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from xapi_lab.errors import XapiError

PIECE = 2**20
"""Most bytes that are unpacked at once."""


def zstd_library() -> Any:
    """The module `compression.zstd`, which only archives of VMs need."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _damaged(error: Exception) -> XapiError:
    return XapiError("IMPORT_ERROR", f"the archive's compression is damaged: {error}")


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class _Unpacker(Protocol):
    eof: bool
    unused_data: bytes
    """What follows the end of the stream."""

    def unpack(self, data: bytes) -> tuple[bytes, bool]:
        """The next piece, and whether more would come without more data; raises IMPORT_ERROR."""


class _GzipUnpacker:
    def __init__(self) -> None:
        self._stream = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def unpack(self, data: bytes) -> tuple[bytes, bool]:
        try:
            piece = self._stream.decompress(self._stream.unconsumed_tail + data, PIECE)
        except zlib.error as error:
            raise _damaged(error) from None
        return piece, bool(self._stream.unconsumed_tail)


class _ZstdUnpacker:
    def __init__(self) -> None:
        self._stream = zstd_library().ZstdDecompressor()

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._stream.unused_data)

    def unpack(self, data: bytes) -> tuple[bytes, bool]:
        try:
            return self._stream.decompress(data, PIECE), not self._stream.needs_input
        except zstd_library().ZstdError as error:
            raise _damaged(error) from None


@dataclass(frozen=True)
class Compression:
    magic: bytes
    _packer: Callable[[], _Packer]
    _unpacker: Callable[[], Any]

    async def compressed(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        packer = self._packer()
        async for chunk in chunks:
            if packed := packer.compress(chunk):
                yield packed
        yield packer.flush()

    async def unpacked(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The content of one stream or several in a row, in pieces of a bounded size; IMPORT_ERROR when it is damaged."""
        unpacker: _Unpacker = self._unpacker()
        async for chunk in chunks:
            data, more = chunk, True
            while data or more:
                piece, more = unpacker.unpack(data)
                data = b""
                if piece:
                    yield piece
                if unpacker.eof:
                    data, unpacker = unpacker.unused_data, self._unpacker()
                    more = False


GZIP = Compression(b"\x1f\x8b", lambda: zlib.compressobj(level=1, wbits=31), _GzipUnpacker)
ZSTD = Compression(b"\x28\xb5\x2f\xfd", lambda: zstd_library().ZstdCompressor(), _ZstdUnpacker)
KINDS = {"true": GZIP, "gzip": GZIP, "zstd": ZSTD}
"""By what `use_compression` of /export says; anything else means none."""


async def plain(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The stream without its compression, if it has one."""
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= len(ZSTD.magic):
            break
    whole = _chained(head, chunks)
    for kind in (GZIP, ZSTD):
        if head.startswith(kind.magic):
            whole = kind.unpacked(whole)
            break
    async for chunk in whole:
        yield chunk


async def _chained(head: bytes, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in chunks:
        yield chunk
