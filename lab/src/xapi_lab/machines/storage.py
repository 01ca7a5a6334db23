# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The files behind VDIs, in one folder an SR.

A disk that was made or imported is a sparse raw file, ``<uuid>.raw``. A clone turns the source's file into a base that
is never written again, ``base-<number>.raw|qcow2``, and puts an empty qcow2 overlay in front of it for the source and
one for the clone. Every step leaves the source readable under its name, so that a crash between two steps loses nothing;
a base that nothing refers to is removed with the next disk that is destroyed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import uuid as uuids
from collections.abc import AsyncIterator
from pathlib import Path

from . import qcow2, vhd_writer
from .contract import StorageError
from .vhd import DIFFERENCING, DYNAMIC, VhdError, VhdReader

WRITE_UNIT = 64 * 1024
BUFFER = 4 * 1024 * 1024
_ZEROS = bytes(WRITE_UNIT)


class QcowStorage:
    """VDIs as files; the ``Storage`` of the contract."""

    def __init__(self) -> None:
        self._chains = threading.Lock()

    def path(self, uuid: str, sr_path: Path) -> Path:
        overlay = sr_path / f"{uuid}.qcow2"
        return overlay if overlay.exists() else sr_path / f"{uuid}.raw"

    def disks(self, sr_path: Path) -> dict[str, int]:
        files = {path.stem: path for suffix in ("raw", "qcow2") for path in sr_path.glob(f"*.{suffix}")}
        return {uuid: virtual_size(path) for uuid, path in sorted(files.items()) if not uuid.startswith("base-")}

    def format(self, uuid: str, sr_path: Path) -> str:
        return self.path(uuid, sr_path).suffix[1:]

    async def create(self, vdi_uuid: str, sr_path: Path, virtual_size: int) -> Path:
        path = sr_path / f"{vdi_uuid}.raw"
        sr_path.mkdir(parents=True, exist_ok=True)
        with _explained(f"make disk {vdi_uuid}"), path.open("xb") as file:
            file.truncate(virtual_size)
        return path

    async def clone(self, src_uuid: str, sr_path: Path, new_uuid: str) -> Path:
        with _explained(f"clone disk {src_uuid}"):
            return await asyncio.to_thread(self._clone, src_uuid, sr_path, new_uuid)

    def _clone(self, src_uuid: str, sr_path: Path, new_uuid: str) -> Path:
        with self._chains:  # no base may be taken for unused between its making and its first overlay
            source = self._existing(src_uuid, sr_path)
            size = virtual_size(source)
            target = sr_path / f"{new_uuid}.qcow2"
            base = self._untouched_backing(source) or self._turn_into_base(source, size)
            _write_overlay_atomically(target, size, base)
            return target

    @staticmethod
    def _untouched_backing(source: Path) -> Path | None:
        """The base of an overlay that was never written to: a clone of the overlay can share it."""
        if source.suffix != ".qcow2" or not qcow2.is_untouched(source):
            return None
        header = qcow2.read_header(source)
        if header.backing is None:
            return None
        base = source.parent / header.backing
        return base if virtual_size(base) == header.virtual_size else None

    @staticmethod
    def _turn_into_base(source: Path, size: int) -> Path:
        base = source.with_name(f"base-{uuids.uuid4()}{source.suffix}")
        os.link(source, base)
        _write_overlay_atomically(source.with_suffix(".qcow2"), size, base)
        if source.suffix == ".raw":
            source.unlink()
        return base

    async def copy(self, src_uuid: str, sr_path: Path, new_uuid: str, dest_sr_path: Path) -> Path:
        source, target = self._existing(src_uuid, sr_path), dest_sr_path / f"{new_uuid}.raw"
        dest_sr_path.mkdir(parents=True, exist_ok=True)
        await _convert(source, target)
        return target

    async def resize(self, uuid: str, sr_path: Path, size: int) -> None:
        path = self._existing(uuid, sr_path)
        with _explained(f"resize disk {uuid}"):
            present = virtual_size(path)
            if size < present:
                raise StorageError(f"disk {uuid} has {present} bytes and cannot shrink to {size}")
            if path.suffix == ".raw":
                os.truncate(path, size)
            elif size > present:
                await _run("qemu-img", "resize", "-q", "-f", "qcow2", str(path), str(size))

    async def destroy(self, uuid: str, sr_path: Path) -> None:
        with _explained(f"destroy disk {uuid}"):
            await asyncio.to_thread(self._destroy, uuid, sr_path)

    def _destroy(self, uuid: str, sr_path: Path) -> None:
        with self._chains:
            (sr_path / f"{uuid}.qcow2").unlink(missing_ok=True)
            (sr_path / f"{uuid}.raw").unlink(missing_ok=True)
            _remove_unused_bases(sr_path)

    def clean(self, sr_path: Path) -> None:
        """Remove what a lab that was killed left half-made; to be called before the SR is used."""
        for part in sr_path.glob("*.part"):
            part.unlink(missing_ok=True)
        _remove_unused_bases(sr_path)

    async def physical(self, uuid: str, sr_path: Path) -> int:
        with _explained(f"measure disk {uuid}"):
            return self.path(uuid, sr_path).stat().st_blocks * 512

    async def used(self, sr_path: Path) -> int:
        """Bytes that all disks of an SR take, with the bases that they share counted once."""
        return sum(path.stat().st_blocks * 512 for path in sr_path.glob("*") if path.suffix in (".raw", ".qcow2"))

    async def write_stream(
        self, uuid: str, sr_path: Path, format: str, chunks: AsyncIterator[bytes], length: int | None
    ) -> None:
        path = await self._writable_raw(uuid, sr_path)
        size = virtual_size(path)
        with _explained(f"import into disk {uuid}"), path.open("r+b", buffering=0) as file:
            if format == "raw":
                if length is not None and length > size:
                    raise StorageError(f"the image has {length} bytes and disk {uuid} only {size}")
                await self._write_raw(file.fileno(), chunks, size, uuid)
            elif format == "vhd":
                await self._write_vhd(file.fileno(), chunks, size, uuid, length)
            else:
                raise StorageError(f"format {format} is not known: use raw or vhd")

    async def _write_raw(self, fd: int, chunks: AsyncIterator[bytes], size: int, uuid: str) -> None:
        position, buffer = 0, bytearray()

        async def flush() -> None:
            nonlocal position
            if position + len(buffer) > size:
                raise StorageError(f"the image is larger than disk {uuid}, which has {size} bytes")
            await asyncio.to_thread(write_sparsely, fd, position, bytes(buffer))
            position += len(buffer)
            buffer.clear()

        async for chunk in chunks:
            buffer += chunk
            if len(buffer) >= BUFFER:
                await flush()
        await flush()

    async def _write_vhd(self, fd: int, chunks: AsyncIterator[bytes], size: int, uuid: str, length: int | None) -> None:
        reader = VhdReader(chunks)
        try:
            async for offset, data in reader.extents():
                if offset + len(data) > size or (reader.virtual_size or 0) > size:
                    raise StorageError(f"the VHD is larger than disk {uuid}, which has {size} bytes")
                await asyncio.to_thread(write_sparsely, fd, offset, data)
            if length is not None:
                async for _ in chunks:  # what a client sends after the end is not looked at
                    pass
        except VhdError as error:
            raise StorageError(f"the image cannot be read: {error}") from error

    async def _writable_raw(self, uuid: str, sr_path: Path) -> Path:
        """The disk as a raw file: an overlay is flattened, since only a raw file can be written from outside QEMU."""
        path = self._existing(uuid, sr_path)
        if path.suffix == ".raw":
            return path
        flat = path.with_suffix(".raw")
        await _convert(path, flat)
        path.unlink()
        return flat

    async def write_extents(self, uuid: str, sr_path: Path, extents: AsyncIterator[tuple[int, bytes]]) -> None:
        path = await self._writable_raw(uuid, sr_path)
        size = virtual_size(path)
        with _explained(f"import into disk {uuid}"), path.open("r+b", buffering=0) as file:
            async for offset, data in extents:
                if offset + len(data) > size:
                    raise StorageError(f"the image is larger than disk {uuid}, which has {size} bytes")
                await asyncio.to_thread(write_sparsely, file.fileno(), offset, data)

    async def read_extents(self, uuid: str, sr_path: Path, block: int) -> AsyncIterator[tuple[int, bytes]]:
        async with self._as_raw(uuid, sr_path) as path:
            with path.open("rb", buffering=0) as file:
                offset = 0
                while (found := _next_data(file.fileno(), offset)) is not None:
                    offset = found // block * block
                    content = await asyncio.to_thread(os.pread, file.fileno(), block, offset)
                    if content != bytes(len(content)):
                        yield offset, content
                    offset += block

    async def read_stream(
        self, uuid: str, sr_path: Path, format: str, base: tuple[str, Path] | None = None
    ) -> AsyncIterator[bytes]:
        if format not in ("raw", "vhd"):
            raise StorageError(f"format {format} is not known: use raw or vhd")
        async with contextlib.AsyncExitStack() as stack:
            paths = [await stack.enter_async_context(self._as_raw(uuid, sr_path))]
            if base is not None:
                paths.append(await stack.enter_async_context(self._as_raw(*base)))
            files = [stack.enter_context(path.open("rb", buffering=0)).fileno() for path in paths]
            size = os.fstat(files[0]).st_size
            if format == "raw" and base is None:
                for offset in range(0, size, BUFFER):
                    yield await asyncio.to_thread(os.pread, files[0], BUFFER, offset)
                return
            blocks = await asyncio.to_thread(_differing_blocks, *files)
            pieces = _differing_raw(files[0], size, set(blocks)) if format == "raw" else _vhd(files[0], blocks, base)
            async for piece in pieces:
                yield piece

    @contextlib.asynccontextmanager
    async def _as_raw(self, uuid: str, sr_path: Path) -> AsyncIterator[Path]:
        """A raw file with the disk's content: its own, or one that goes with the context."""
        path = self._existing(uuid, sr_path)
        if path.suffix == ".raw":
            yield path
            return
        temporary = sr_path / f"export-{uuids.uuid4()}.part"
        try:
            await _convert(path, temporary)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def _existing(self, uuid: str, sr_path: Path) -> Path:
        path = self.path(uuid, sr_path)
        if not path.exists():
            raise StorageError(f"disk {uuid} has no file in {sr_path}")
        return path


def virtual_size(path: Path) -> int:
    """Bytes of the disk in a raw or qcow2 file."""
    return path.stat().st_size if path.suffix == ".raw" else qcow2.read_header(path).virtual_size


def unused_bases(sr_path: Path) -> list[Path]:
    """Bases that no overlay of the SR stands on."""
    used = {qcow2.read_header(path).backing for path in sr_path.glob("*.qcow2")}
    return [path for path in sr_path.glob("base-*") if path.name not in used]


def _remove_unused_bases(sr_path: Path) -> None:
    while unused := unused_bases(sr_path):
        for base in unused:
            base.unlink(missing_ok=True)


def write_sparsely(fd: int, offset: int, data: bytes) -> None:
    """Write ``data`` so that runs of zeros take no room where there was a hole, and are written where there was not."""
    start = 0
    while start < len(data):
        end = min(start + WRITE_UNIT - (offset + start) % WRITE_UNIT, len(data))
        piece = data[start:end]
        if piece != _ZEROS[: len(piece)] or not _is_hole(fd, offset + start, len(piece)):
            os.pwrite(fd, piece, offset + start)
        start = end


def _next_data(fd: int, offset: int) -> int | None:
    """Where a file has data next; None when there is none from here to its end."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError:
        return None


def _is_hole(fd: int, offset: int, length: int) -> bool:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA) >= offset + length
    except OSError:
        return True  # ENXIO: there is no data from here to the end


def _write_overlay_atomically(path: Path, size: int, base: Path) -> None:
    part = path.with_name(f"{path.name}.part")
    qcow2.write_overlay(part, size, base.name, base.suffix[1:])
    part.replace(path)


def _differing_blocks(fd: int, base: int | None = None) -> list[int]:
    """Numbers of the blocks of a VHD that a disk needs, in order: those that are not all zeros, or not as in `base`.

    What XAPI sends besides, blocks that were written and are as before all the same, changes nothing.
    """
    blocks: list[int] = []
    block = vhd_writer.BLOCK
    for number in range(-(-os.fstat(fd).st_size // block)):
        offset = number * block
        if all(_is_hole(file, offset, block) for file in (fd, base) if file is not None):
            continue
        here = os.pread(fd, block, offset)
        there = b"" if base is None else os.pread(base, len(here), offset)
        if here != there.ljust(len(here), b"\0"):
            blocks.append(number)
    return blocks


async def _differing_raw(fd: int, size: int, blocks: set[int]) -> AsyncIterator[bytes]:
    for number in range(-(-size // vhd_writer.BLOCK)):
        offset, length = number * vhd_writer.BLOCK, min(vhd_writer.BLOCK, size - number * vhd_writer.BLOCK)
        yield await asyncio.to_thread(os.pread, fd, length, offset) if number in blocks else bytes(length)


async def _vhd(fd: int, blocks: list[int], base: tuple[str, Path] | None) -> AsyncIterator[bytes]:
    size, unique, block = os.fstat(fd).st_size, uuids.uuid4(), vhd_writer.BLOCK
    parent = None if base is None else vhd_writer.Parent(base[0], f"{base[0]}.vhd")
    yield vhd_writer.beginning(size, blocks, unique, parent)
    for number in blocks:
        yield vhd_writer.BITMAP
        yield (await asyncio.to_thread(os.pread, fd, block, number * block)).ljust(block, b"\0")
    yield vhd_writer.footer(size, DYNAMIC if parent is None else DIFFERENCING, unique)


async def _convert(source: Path, target: Path) -> None:
    """Write a flat raw copy of a disk; ``target`` appears only when it is whole."""
    part = target.with_name(f"{target.name}.part")
    try:
        await _run("qemu-img", "convert", "-q", "-U", "-f", source.suffix[1:], "-O", "raw", str(source), str(part))
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        raise StorageError(f"{command[0]} {command[1]} failed: {output.decode(errors='replace').strip()}")


class _explained:
    """Turns errors of the file system into StorageError with what was being done."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (OSError, ValueError)) and not isinstance(error, StorageError):
            raise StorageError(f"could not {self._what}: {error}") from error
