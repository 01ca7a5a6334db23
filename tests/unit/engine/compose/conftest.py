# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import textwrap
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.beside import Place
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.compose_set import (
    ComposeSet,
    ComposeSource,
    compose_set,
)


class Controller:
    """The files of a controller, and the set that Compose files among them describe."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.directories: dict[str, Place] = {}
        self.executable: set[str] = set()

    def write(self, path: str, text: str) -> str:
        self.files[path] = textwrap.dedent(text)
        return path

    def load(self, *paths: str, network: str | None = None, **source: t.Any) -> ComposeSet:
        return compose_set("shop", ComposeSource(files=paths, **source), self.files.get, network, self.look)

    def look(self, path: str) -> Place | None:
        return (
            Place(is_file=True, executable=path in self.executable)
            if path in self.files
            else self.directories.get(path)
        )

    def compose(self, text: str, network: str | None = None, **source: t.Any) -> ComposeSet:
        return self.load(self.write("/project/compose.yaml", text), network=network, **source)


@pytest.fixture
def controller() -> Controller:
    return Controller()
