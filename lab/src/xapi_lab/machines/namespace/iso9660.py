# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Reading the files of a small ISO 9660 volume, such as a config drive. Pure.

ECMA-119 for the volume; names by Joliet where the volume has it, else by Rock Ridge (IEEE P1282), else the bare ones.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

SECTOR = 2048
FIRST_DESCRIPTOR = 16
LARGEST_DIRECTORY = 2**20
DEEPEST = 8
MOST_OVERLAP = 4
_PRIMARY, _SUPPLEMENTARY, _LAST = 1, 2, 255
_JOLIET_ESCAPES = (b"%/@", b"%/C", b"%/E")


class NoVolume(ValueError):
    """The bytes are no ISO 9660 volume."""


def files(image: bytes) -> tuple[str, dict[str, bytes]]:
    """Label of the volume, and contents by path such as `openstack/latest/user_data`. Raises NoVolume."""
    descriptors = dict(_descriptors(image))
    if _PRIMARY not in descriptors:
        raise NoVolume("the disk holds no ISO 9660 volume")
    label = descriptors[_PRIMARY][40:72].decode("ascii", "replace").strip()
    joliet = _SUPPLEMENTARY in descriptors
    root = descriptors[_SUPPLEMENTARY if joliet else _PRIMARY][156:190]
    try:
        return label, dict(_Volume(image, joliet).files(root, "", 0))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise NoVolume(f"the ISO 9660 volume is damaged: {error}") from error


def _descriptors(image: bytes) -> Iterator[tuple[int, bytes]]:
    for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + 32):
        sector = image[number * SECTOR : (number + 1) * SECTOR]
        if len(sector) < SECTOR or sector[1:6] != b"CD001" or sector[0] == _LAST:
            return
        if sector[0] == _PRIMARY or (sector[0] == _SUPPLEMENTARY and sector[88:91] in _JOLIET_ESCAPES):
            yield sector[0], sector


class _Volume:
    """A volume's files. Directories may point to one another and files overlap, so what is read in all has a limit."""

    def __init__(self, image: bytes, joliet: bool) -> None:
        self._image, self._joliet = image, joliet
        self._left = MOST_OVERLAP * len(image)

    def files(self, directory: bytes, path: str, depth: int) -> Iterator[tuple[str, bytes]]:
        for record in _records(self._content(directory)[:LARGEST_DIRECTORY]):
            name = _name(record, self._joliet)
            if name in ("\0", "\1") or depth > DEEPEST:
                continue
            if record[25] & 2:
                yield from self.files(record, f"{path}{name}/", depth + 1)
            else:
                yield path + name, self._content(record)

    def _content(self, record: bytes) -> bytes:
        sector, size = struct.unpack_from("<I4xI", record, 2)
        content = self._image[sector * SECTOR : sector * SECTOR + size]
        self._left -= len(content)
        if self._left < 0:
            raise NoVolume(f"the ISO 9660 volume's files and directories are {MOST_OVERLAP} times as large as itself")
        return content


def _records(directory: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(directory):
        length = directory[position]
        if length == 0:  # records do not cross a sector's end
            position = (position // SECTOR + 1) * SECTOR
            continue
        yield directory[position : position + length]
        position += length


def _name(record: bytes, joliet: bool) -> str:
    length = record[32]
    identifier = record[33 : 33 + length]
    if identifier in (b"\0", b"\1"):
        return identifier.decode()
    if joliet:
        return identifier.decode("utf-16-be").partition(";")[0]
    name = _rock_ridge_name(record[33 + length + (1 - length % 2) :])
    return name or identifier.decode("ascii").partition(";")[0].rstrip(".").lower()


def _rock_ridge_name(system_use: bytes) -> str:
    name, position = b"", 0
    while position + 4 <= len(system_use) and (length := system_use[position + 2]) >= 4:
        if system_use[position : position + 2] == b"NM":
            name += system_use[position + 5 : position + length]
        position += length
    return name.decode()
