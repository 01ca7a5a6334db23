# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A disk image as a file: its format, its virtual size, its checksum, and the bytes that a pool takes.

Formats by their first bytes: an XVA starts with the name ``ova.xml``; qcow2 starts with ``QFI\\xfb`` and holds its size at offset 24; a VHD has
a 512-byte footer with the cookie ``conectix`` at its end, which a dynamic one repeats at its start, and its size at offset 48.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
import time
import typing as t
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from ansible.module_utils.urls import open_url

from .._errors import HardshellError, OptionError
from .sizes import MIB, shown
from .tasks import SHOW_EVERY_SECONDS, Show
from .xva_file import MAGIC, XvaDisk, disk_in, raw_chunks

CHUNK = 4 * MIB
FETCH_TIMEOUT = 60


@dataclass(frozen=True)
class ImageFile:
    """A file that can be uploaded as it is, or after a conversion. ``virtual_size`` is the size of the disk in it, in bytes.

    ``xva``: the disk, where the file is such an archive.
    """

    path: Path
    image_format: str
    virtual_size: int
    xva: XvaDisk | None = None

    def upload_format(self) -> str:
        """What the pool is told to read. Of an XVA it is sent the disk alone."""
        return "raw" if self.xva else self.image_format

    def upload_length(self) -> int:
        return self.xva.virtual_size if self.xva else self.path.stat().st_size

    def upload_chunks(self) -> t.Iterator[bytes]:
        return raw_chunks(self.path, self.xva) if self.xva else chunks_of(self.path)


def look_at(option: str, path: Path, wanted_format: str) -> ImageFile:
    """The image in a file. Raises ``OptionError`` where it cannot be read or is not of the format."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - 512))
            tail = file.read(512)
    except OSError as error:
        raise OptionError(
            option, str(path), f"it cannot be read ({error.strerror}); name a disk image that is there"
        ) from error
    if length == 0:
        raise OptionError(option, str(path), "it is empty; name a disk image")
    footer = next((part for part in (head, tail) if part.startswith(b"conectix")), None)
    seen = "qcow2" if head.startswith(b"QFI\xfb") else "xva" if head.startswith(MAGIC) else "vhd" if footer else "raw"
    if wanted_format not in ("auto", "raw", seen):
        raise OptionError(
            "format", wanted_format, f"the file {str(path)!r} looks like {seen}; use format: auto or {seen}"
        )
    if wanted_format == "raw":
        seen = "raw"
    if seen == "qcow2":
        return ImageFile(path, seen, struct.unpack_from(">Q", head, 24)[0])
    if seen == "xva":
        disk = disk_in(option, path)
        return ImageFile(path, seen, disk.virtual_size, disk)
    if seen == "vhd":
        return ImageFile(path, seen, struct.unpack_from(">Q", footer or b"", 48)[0])
    return ImageFile(path, seen, length)


def sha256_of(path: Path, show: Show) -> str:
    """The file's checksum as ``sha256:HEX``."""
    digest = hashlib.sha256()
    progress = _Progress(f"read {path.name}", path.stat().st_size, show)
    for chunk in chunks_of(path):
        digest.update(chunk)
        progress.add(len(chunk))
    return f"sha256:{digest.hexdigest()}"


def chunks_of(path: Path) -> t.Iterator[bytes]:
    """The file's bytes in pieces."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


@contextlib.contextmanager
def fetched(url: str, checksum: str, show: Show) -> t.Iterator[Path]:
    """The file behind a URL for as long as it is needed. Raises ``HardshellError`` where it cannot be had or has another checksum."""
    with tempfile.TemporaryDirectory(prefix="hardshell-image-") as folder:
        path = Path(folder) / "image"
        digest = hashlib.sha256()
        try:
            with open_url(url, timeout=FETCH_TIMEOUT) as answer, path.open("wb") as file:
                progress = _Progress("fetch the image", int(answer.headers.get("Content-Length") or 0), show)
                while chunk := answer.read(CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
                    progress.add(len(chunk))
        except (urllib.error.URLError, OSError) as error:
            raise HardshellError(f"url: {url!r} cannot be fetched: {error}") from error
        require_checksum("url", url, checksum, f"sha256:{digest.hexdigest()}")
        yield path


def require_checksum(option: str, source: str, wanted: str, found: str) -> None:
    """Raise ``OptionError`` unless the checksums are the same."""
    if wanted != found:
        raise OptionError("checksum", wanted, f"{option} {source!r} has {found}; give that one, or the right file")


@contextlib.contextmanager
def uploadable(image: ImageFile, show: Show) -> t.Iterator[ImageFile]:
    """The image in a format that every pool takes, for as long as it is needed: qcow2 becomes VHD, which keeps its holes."""
    if image.image_format != "qcow2":
        yield image
        return
    program = shutil.which("qemu-img")
    if program is None:
        raise HardshellError(
            "format: a qcow2 image is converted with qemu-img, which is not there; install qemu-utils, or give raw or VHD"
        )
    with tempfile.TemporaryDirectory(prefix="hardshell-image-") as folder:
        path = Path(folder) / "image.vhd"
        show(f"convert {image.path.name} from qcow2 to VHD")
        command = [
            program,
            "convert",
            "-f",
            "qcow2",
            "-O",
            "vpc",
            "-o",
            "subformat=dynamic,force_size=on",
            str(image.path),
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HardshellError(
                f"the image cannot be converted to VHD: {done.stderr.strip() or 'qemu-img does not say why'}"
            )
        yield ImageFile(path, "vhd", image.virtual_size)


class _Progress:
    def __init__(self, what: str, total: int, show: Show) -> None:
        self._what, self._total, self._show = what, total, show
        self._began = self._shown_at = time.monotonic()
        self._done = 0

    def add(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._shown_at >= SHOW_EVERY_SECONDS:
            self._shown_at = now
            part = f"{self._done / self._total:.0%} of {shown(self._total)}" if self._total else shown(self._done)
            rate = self._done / (now - self._began) / MIB
            self._show(f"{self._what}: {part}, {rate:.0f} MiB/s, {now - self._began:.0f} s")
