# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Writing a small ISO 9660 volume with Rock Ridge names, in memory. Pure: the same files give the same bytes.

ECMA-119 for the volume, descriptors, path tables and directory records; IEEE P1281 (SUSP) and P1282 (RRIP) for the names in lower case,
which are what Linux shows.
"""

from __future__ import annotations

import struct
import typing as t
from dataclasses import dataclass, field

SECTOR = 2048
SYSTEM_AREA_SECTORS = 16
FIRST_PATH_TABLE = SYSTEM_AREA_SECTORS + 2
FIRST_DIRECTORY = FIRST_PATH_TABLE + 2
MOMENT = bytes([100, 1, 1, 0, 0, 0, 0])
MOMENT_TEXT = b"2000010100000000\x00"
RRIP_IDENTIFIER = b"RRIP_1991A"
DIRECTORY_MODE = 0o040555
FILE_MODE = 0o100444


@dataclass
class _Directory:
    """A directory with what is in it; ``sector`` and ``size`` are set when the volume is laid out."""

    name: str
    number: int
    parent: _Directory | None
    directories: dict[str, _Directory] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    sector: int = 0
    size: int = 0


def iso9660(label: str, files: t.Mapping[str, bytes]) -> bytes:
    """The bytes of a volume. ``files`` maps paths such as ``openstack/latest/user_data`` to contents."""
    directories = _tree(files)
    sector = FIRST_DIRECTORY
    for directory in directories:
        directory.sector = sector
        directory.size = len(_records(directory, {}))
        sector += directory.size // SECTOR
    starts: dict[str, int] = {}
    for path in sorted(files):
        starts[path] = sector
        sector += -(-len(files[path]) // SECTOR)
    path_table = [_path_table(directories, order) for order in ("<", ">")]
    image = bytearray(sector * SECTOR)

    def put(at: int, content: bytes) -> None:
        image[at * SECTOR : at * SECTOR + len(content)] = content

    put(SYSTEM_AREA_SECTORS, _primary_descriptor(label, sector, len(path_table[0]), directories[0]))
    put(SYSTEM_AREA_SECTORS + 1, b"\xffCD001\x01")
    for number, table in enumerate(path_table):
        put(FIRST_PATH_TABLE + number, table)
    for directory in directories:
        put(directory.sector, _records(directory, starts))
    for path, start in starts.items():
        put(start, files[path])
    return bytes(image)


def _tree(files: t.Mapping[str, bytes]) -> list[_Directory]:
    """All directories, the root first, parents before children."""
    root = _Directory("", 1, None)
    every = [root]
    for path in sorted(files):
        *parents, name = path.split("/")
        directory = root
        for parent in parents:
            if parent not in directory.directories:
                directory.directories[parent] = _Directory(parent, 0, directory)
                every.append(directory.directories[parent])
            directory = directory.directories[parent]
        directory.files[name] = files[path]
    every.sort(key=_depth)
    for number, directory in enumerate(every, 1):
        directory.number = number
    return every


def _depth(directory: _Directory) -> int:
    return 0 if directory.parent is None else 1 + _depth(directory.parent)


def _path(directory: _Directory) -> str:
    return "" if directory.parent is None else f"{_path(directory.parent)}{directory.name}/"


def _both(value: int) -> bytes:
    return struct.pack("<I", value) + struct.pack(">I", value)


def _both_short(value: int) -> bytes:
    return struct.pack("<H", value) + struct.pack(">H", value)


def _records(directory: _Directory, starts: t.Mapping[str, int]) -> bytes:
    """The directory's extent: its records, none of which crosses a sector's end."""
    parent = directory.parent or directory
    links = 2 + len(directory.directories)
    own = _posix(DIRECTORY_MODE, links)
    if directory.parent is None:
        own = _susp_start() + own
    records = [
        _record(b"\x00", directory.sector, directory.size, True, own),
        _record(b"\x01", parent.sector, parent.size, True, _posix(DIRECTORY_MODE, 2 + len(parent.directories))),
    ]
    named: list[tuple[bytes, str, int, int, bool, int]] = []
    for name, child in directory.directories.items():
        named.append((b"D%07d" % child.number, name, child.sector, child.size, True, 2 + len(child.directories)))
    for number, (name, content) in enumerate(sorted(directory.files.items()), 1):
        start = starts.get(_path(directory) + name, 0)
        named.append((b"F%07d.;1" % number, name, start, len(content), False, 1))
    for identifier, name, sector, size, is_directory, links in sorted(named):
        mode = DIRECTORY_MODE if is_directory else FILE_MODE
        records.append(_record(identifier, sector, size, is_directory, _posix(mode, links) + _name(name)))
    extent = bytearray()
    for record in records:
        if len(extent) % SECTOR + len(record) > SECTOR:
            extent += bytes(-len(extent) % SECTOR)
        extent += record
    return bytes(extent) + bytes(-len(extent) % SECTOR)


def _record(identifier: bytes, sector: int, size: int, is_directory: bool, system_use: bytes) -> bytes:
    padding = b"" if len(identifier) % 2 else b"\x00"
    body = (
        b"\x00"
        + _both(sector)
        + _both(size)
        + MOMENT
        + bytes([2 if is_directory else 0, 0, 0])
        + _both_short(1)
        + bytes([len(identifier)])
        + identifier
        + padding
        + system_use
    )
    body += b"" if len(body) % 2 else b"\x00"
    return bytes([len(body) + 1]) + body


def _susp_start() -> bytes:
    extension = b"ER" + bytes([8 + len(RRIP_IDENTIFIER), 1, len(RRIP_IDENTIFIER), 0, 0, 1]) + RRIP_IDENTIFIER
    return b"SP\x07\x01\xbe\xef\x00" + extension


def _posix(mode: int, links: int) -> bytes:
    return b"PX\x24\x01" + _both(mode) + _both(links) + _both(0) + _both(0)


def _name(name: str) -> bytes:
    encoded = name.encode()
    return b"NM" + bytes([5 + len(encoded), 1, 0]) + encoded


def _path_table(directories: t.Sequence[_Directory], order: str) -> bytes:
    table = b""
    for directory in directories:
        identifier = b"\x00" if directory.parent is None else b"D%07d" % directory.number
        parent = directory.parent.number if directory.parent else 1
        table += struct.pack(f"{order}BBIH", len(identifier), 0, directory.sector, parent) + identifier
        table += bytes(len(identifier) % 2)
    return table


def _primary_descriptor(label: str, sectors: int, path_table_size: int, root: _Directory) -> bytes:
    descriptor = (
        b"\x01CD001\x01\x00"
        + b" " * 32
        + label.encode("ascii").ljust(32)
        + bytes(8)
        + _both(sectors)
        + bytes(32)
        + _both_short(1)
        + _both_short(1)
        + _both_short(SECTOR)
        + _both(path_table_size)
        + struct.pack("<II", FIRST_PATH_TABLE, 0)
        + struct.pack(">II", FIRST_PATH_TABLE + 1, 0)
        + _record(b"\x00", root.sector, root.size, True, b"")
        + b" " * (4 * 128 + 3 * 37)
        + MOMENT_TEXT * 2
        + (b"0" * 16 + b"\x00") * 2
        + b"\x01\x00"
    )
    return descriptor.ljust(SECTOR, b"\x00")
