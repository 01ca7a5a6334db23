# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._module import silent
from ansible_collections.hardshell.xen.plugins.module_utils._pool.image_compression import plain

DISK = b"boot" * 50_000 + bytes(3 << 20) + b"data" + bytes(1 << 20)
Pack = Callable[[bytes], bytes]


def zstd(content: bytes) -> bytes:
    if not shutil.which("zstd"):
        pytest.skip("needs zstd")
    return subprocess.run(["zstd", "--stdout"], input=content, capture_output=True, check=True).stdout


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_what_is_inside_comes_out(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(pack(DISK))
    with plain("path", path, silent) as found:
        assert found.read_bytes() == DISK
        assert (found == path) is (pack is bytes)
    assert path.exists()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_half_a_file_is_told_of(pack: Pack, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(pack(DISK)[:-20])
    with (
        pytest.raises(HardshellError, match=r"path: .* cannot be unpacked .* give a file that is whole"),
        plain("path", path, silent),
    ):
        pass
