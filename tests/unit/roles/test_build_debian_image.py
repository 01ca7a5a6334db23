# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The builder of the guest image, up to where it would take minutes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BUILDER = Path(__file__).parents[3] / "roles/guest_image/files/build_debian_image.py"
STAND_IN = """#!/bin/sh
exec 9>{held}
echo "I: downloading packages..."
exec sleep 1000
"""
PATIENCE = 60


def test_a_build_that_is_ended_leaves_nothing_running_and_nothing_in_the_cache(tmp_path: Path) -> None:
    held, bin_, cache = tmp_path / "held", tmp_path / "bin", tmp_path / "cache"
    os.mkfifo(held)
    bin_.mkdir()
    (bin_ / "mmdebstrap").write_text(STAND_IN.format(held=held))
    (bin_ / "mmdebstrap").chmod(0o755)
    # Open for reading before somebody opens it for writing, who would wait for that.
    reading = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    with subprocess.Popen(
        [sys.executable, str(BUILDER), "--cache-dir", str(cache)],
        env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        text=True,
    ) as build:
        assert build.stderr is not None
        lines = []
        for line in build.stderr:
            lines.append(line)
            if "downloading packages" in line:
                break
        if "Debian packages are missing" in "".join(lines):
            pytest.skip("the builder's own tools are not installed")
        with open(reading, "rb") as pipe:
            build.send_signal(signal.SIGTERM)
            assert select.select([pipe], [], [], PATIENCE)[0], "what the build started still runs"
        assert build.wait(PATIENCE) == 130
        assert "nothing is left in the cache" in build.stderr.read()
    assert [path.suffix for path in cache.iterdir()] == [".log"]
