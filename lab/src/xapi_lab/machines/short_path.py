# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A short name for a folder: the path of a Unix socket may have no more than 107 characters (sun_path)."""

from __future__ import annotations

import os
from pathlib import Path


class short_path:
    """A path of a few characters to a folder, as long as the context lasts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> str:
        self._descriptor = os.open(self._folder, os.O_PATH | os.O_DIRECTORY)
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
