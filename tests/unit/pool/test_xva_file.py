# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disk in an XVA: its blocks at their places, its holes, and archives that are none or are damaged."""

from __future__ import annotations

import hashlib
import io
import tarfile
import typing as t
import xmlrpc.client
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.image_file import look_at
from hypothesis import given
from hypothesis import strategies as st

BLOCK = 64


def metadata(size: int, disks: int = 1) -> bytes:
    """A VM with disks, a CD drive, and a snapshot with a disk of its own."""
    objects: list[dict[str, t.Any]] = [
        {"class": "VM", "id": "Ref:0", "snapshot": {"is_a_snapshot": False}},
        {"class": "VM", "id": "Ref:1", "snapshot": {"is_a_snapshot": True}},
        {"class": "VDI", "id": "Ref:9", "snapshot": {"virtual_size": "7"}},
        {"class": "VBD", "id": "Ref:2", "snapshot": {"VM": "Ref:0", "VDI": "OpaqueRef:NULL", "type": "CD"}},
        {"class": "VBD", "id": "Ref:3", "snapshot": {"VM": "Ref:1", "VDI": "Ref:9", "type": "Disk"}},
    ]
    for number in range(disks):
        vdi = f"Ref:{20 + number}"
        objects += [
            {"class": "VDI", "id": vdi, "snapshot": {"virtual_size": str(size)}},
            {"class": "VBD", "id": f"Ref:{10 + number}", "snapshot": {"VM": "Ref:0", "VDI": vdi, "type": "Disk"}},
        ]
    text = xmlrpc.client.dumps(({"version": {}, "objects": objects},))
    return ("<?xml version='1.0'?>" + text[text.index("<value>") : text.rindex("</param>")]).encode()


def archive(path: Path, files: t.Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:") as target:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            target.addfile(member, io.BytesIO(content))
    return path


def block(number: int, content: bytes, folder: str = "Ref:20") -> list[tuple[str, bytes]]:
    name = f"{folder}/{number:08d}"
    return [(name, content), (f"{name}.checksum", hashlib.sha1(content).hexdigest().encode())]


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(1, BLOCK), st.integers(0, 9))
def test_the_disk_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, full: list[bool], last: int, pause: int
) -> None:
    """Blocks of zeros are left out, but for the first and the last; before one of them a slow pool sends an empty one."""
    sizes = [*(BLOCK for _each in full[1:]), last]
    disk = [(b"x" if some else b"\0") * size for some, size in zip(full, sizes, strict=True)]
    files, shift = [("ova.xml", metadata(sum(sizes)))], 0
    for number, content in enumerate(disk):
        if number == pause and number:
            files += block(number, b"")
            shift = 1
        if content.strip(b"\0") or number in (0, len(disk) - 1):
            files += block(number + shift, content)
    files += block(0, b"snapshot", "Ref:9")
    path = archive(tmp_path_factory.mktemp("xva") / "vm.xva", files)
    image = look_at("path", path, "auto")
    assert (image.image_format, image.virtual_size, image.upload_format()) == ("xva", sum(sizes), "raw")
    assert b"".join(image.upload_chunks()) == b"".join(disk)


@pytest.mark.parametrize("disks", [0, 2])
def test_a_vm_with_another_number_of_disks_is_refused(tmp_path: Path, disks: int) -> None:
    path = archive(tmp_path / "vm.xva", [("ova.xml", metadata(BLOCK, disks))])
    with pytest.raises(OptionError, match=f"{disks} disks"):
        look_at("path", path, "auto")


@pytest.mark.parametrize("content", [b"", b"<value>", b"<value><struct></struct></value>", b"no XML"])
def test_what_only_looks_like_an_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(OptionError, match="looks like an XVA"):
        look_at("path", archive(tmp_path / "vm.xva", [("ova.xml", content)]), "auto")


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        ([*block(0, b"a" * BLOCK), *block(1, b"b" * BLOCK), *block(2, b"c" * BLOCK)], "out of place"),
        ([*block(0, b"a" * BLOCK), *block(0, b"a" * BLOCK)], "out of place"),
        ([block(0, b"a" * BLOCK)[0], block(0, b"b" * BLOCK)[1]], "not the checksum"),
        (block(0, b"a" * BLOCK)[:1], "cut off"),
        (block(0, b"a" * BLOCK), "cut off"),
        ([("Ref:20/x", b"")], "damaged"),
    ],
)
def test_a_damaged_archive_is_told(tmp_path: Path, blocks: list[tuple[str, bytes]], why: str) -> None:
    path = archive(tmp_path / "vm.xva", [("ova.xml", metadata(2 * BLOCK)), *blocks])
    with pytest.raises(HardshellError, match=why):
        list(look_at("path", path, "auto").upload_chunks())
