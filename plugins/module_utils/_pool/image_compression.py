# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A compressed image as a plain file. The compression is known by the file's first bytes.

gzip, bzip2 and xz are read by Python itself. zstd is so from Python 3.14 on, and by the program ``zstd`` before it.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import lzma
import shutil
import subprocess
import tempfile
import typing as t
import zlib
from pathlib import Path

from .._errors import HardshellError, OptionError
from .sizes import MIB
from .tasks import Show

CHUNK = 4 * MIB
_MAGIC = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_HOLE = 64 * 1024


def compression_of(option: str, path: Path) -> str | None:
    """How a file is compressed, None where it is not. Raises ``OptionError`` where it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise OptionError(
            option, str(path), f"it cannot be read ({error.strerror}); name a disk image that is there"
        ) from error
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


@contextlib.contextmanager
def plain(option: str, path: Path, show: Show) -> t.Iterator[Path]:
    """The file itself, or where it is compressed what is in it, for as long as it is needed. Raises ``HardshellError``."""
    compression = compression_of(option, path)
    if compression is None:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="hardshell-image-") as folder:
        target = Path(folder) / "image"
        show(f"unpack {path.name}, which is compressed with {compression}")
        try:
            with _reader(compression, path) as packed, target.open("wb") as file:
                while chunk := packed.read(CHUNK):
                    _write_with_holes(file, chunk)
                file.truncate(file.tell())
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise HardshellError(
                f"{option}: {str(path)!r} cannot be unpacked ({compression}: {error}); give a file that is whole"
            ) from error
        yield target


def _write_with_holes(file: t.BinaryIO, chunk: bytes) -> None:
    """Write, leaving out what is zero: most of a disk image is."""
    for start in range(0, len(chunk), _HOLE):
        piece = chunk[start : start + _HOLE]
        if piece.count(0) == len(piece):
            file.seek(len(piece), 1)
        else:
            file.write(piece)


def _reader(compression: str, path: Path) -> t.ContextManager[t.Any]:
    if compression == "gzip":
        return gzip.open(path)
    if compression == "bzip2":
        return bz2.open(path)
    if compression == "xz":
        return lzma.open(path)
    try:
        opened: t.ContextManager[t.Any] = importlib.import_module("compression.zstd").open(path)
    except ModuleNotFoundError:
        return _unpacked_by_zstd(path)
    return opened


@contextlib.contextmanager
def _unpacked_by_zstd(path: Path) -> t.Iterator[t.IO[bytes]]:
    program = shutil.which("zstd")
    if program is None:
        raise HardshellError(
            "an image that is compressed with zstd is unpacked by Python 3.14 or the program zstd, and neither is there; "
            "install zstd, or give gzip, bzip2 or xz"
        )
    with subprocess.Popen(
        [program, "--decompress", "--stdout", "--quiet", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        yield process.stdout
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise OSError(said or "zstd does not say why")
