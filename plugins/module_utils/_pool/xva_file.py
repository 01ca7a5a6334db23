# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The disk in an XVA, the archive that ``xe vm-export`` writes: a tar with ``ova.xml`` and the blocks of the disks.

Blocks are files such as ``Ref:7/00000000``, each followed by its checksum, ``.xxhash`` or in older archives ``.checksum`` (SHA-1). The first block
tells how long they are, blocks of zeros are left out, and an empty one keeps a slow connection alive and shifts the numbers (stream_vdi.ml).
"""

from __future__ import annotations

import hashlib
import tarfile
import typing as t
import xml.parsers.expat
import xmlrpc.client
from pathlib import Path

from .._errors import HardshellError, OptionError

METADATA = "ova.xml"
MAGIC = METADATA.encode() + b"\0"
_LARGEST_METADATA = 64 * 2**20
_ZEROS = bytes(2**20)


class XvaDisk(t.NamedTuple):
    """Its folder in the archive, and the bytes of the disk."""

    folder: str
    virtual_size: int


def disk_in(option: str, path: Path) -> XvaDisk:
    """The one disk of the VM or template in an archive. Raises ``OptionError`` where there is another number of them, or no archive."""
    try:
        with tarfile.open(path, "r:") as archive:
            disks = _disks(_metadata(archive))
    except (
        tarfile.TarError,
        xml.parsers.expat.ExpatError,
        xmlrpc.client.Error,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise OptionError(option, str(path), f"it looks like an XVA and cannot be read as one ({error})") from error
    if len(disks) != 1:
        raise OptionError(
            option, str(path), f"the VM in it has {len(disks)} disks; give an XVA of one with a single disk"
        )
    return disks[0]


def raw_chunks(path: Path, disk: XvaDisk) -> t.Iterator[bytes]:
    """The bytes of the disk from the first to the last. Raises ``HardshellError`` where the archive is damaged."""
    done, expected, usual = 0, 0, 0
    for number, content in _blocks(path, disk.folder):
        usual = usual or len(content)
        gap = (number - expected) * usual
        if gap < 0 or done + gap + len(content) > disk.virtual_size:
            raise HardshellError(f"the XVA {path.name} is damaged: block {number} of {disk.folder} is out of place")
        yield from _zeros(gap)
        yield content
        done += gap + len(content)
        expected = number + 1
    if done != disk.virtual_size:
        raise HardshellError(f"the XVA {path.name} is cut off: the last block of {disk.folder} is not there")


def _blocks(path: Path, folder: str) -> t.Iterator[tuple[int, bytes]]:
    """Number and content of each block of a disk, once its checksum was seen to be right, where Python can tell."""
    pending: tuple[str, int, bytes] | None = None
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = member.name
                file = archive.extractfile(member)
                if not name.startswith(f"{folder}/") or file is None:
                    continue
                if pending is not None and name.startswith(pending[0]):
                    _verify(path, name, pending[2], file.read().decode())
                    yield pending[1:]
                    pending = None
                else:
                    pending = (f"{name}.", int(name.rpartition("/")[2]), file.read())
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise HardshellError(f"the XVA {path.name} is damaged: {error}") from error
    if pending is not None:
        raise HardshellError(f"the XVA {path.name} is cut off: the checksum of its last block is not there")


def _verify(path: Path, name: str, content: bytes, checksum: str) -> None:
    if name.endswith(".checksum") and hashlib.sha1(content, usedforsecurity=False).hexdigest() != checksum:
        raise HardshellError(f"the XVA {path.name} is damaged: {name} is not the checksum of its block")


def _zeros(length: int) -> t.Iterator[bytes]:
    for start in range(0, length, len(_ZEROS)):
        yield _ZEROS[: length - start]


def _metadata(archive: tarfile.TarFile) -> dict[str, t.Any]:
    """ova.xml, which is one XML-RPC value."""
    member = archive.next()
    file = archive.extractfile(member) if member and member.size <= _LARGEST_METADATA else None
    if member is None or file is None:
        raise ValueError(f"its {METADATA} is not to be used")
    parser, unmarshaller = xmlrpc.client.getparser()
    value = file.read().decode()
    value = value[value.index("<value") :]
    parser.feed(f"<params><param>{value}</param></params>")
    parser.close()
    return t.cast("dict[str, t.Any]", unmarshaller.close()[0])


def _disks(metadata: t.Mapping[str, t.Any]) -> list[XvaDisk]:
    """The disks of the VM itself, not of its snapshots."""
    objects = {item["id"]: (item["class"], item["snapshot"]) for item in metadata["objects"]}
    vms = {ref for ref, (kind, record) in objects.items() if kind == "VM" and not record["is_a_snapshot"]}
    vbds = [record for kind, record in objects.values() if kind == "VBD" and record["VM"] in vms]
    vdis = dict.fromkeys(vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk" and vbd["VDI"] in objects)
    return [XvaDisk(vdi, int(objects[vdi][1]["virtual_size"])) for vdi in vdis]
