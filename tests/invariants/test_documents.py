# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What documents name is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_that_a_document_names_is_there(document: str) -> None:
    named = re.findall(r"`(\w+)#(\w+)`", (ROOT / document).read_text(encoding="utf-8"))
    definitions = "ansible_collections.hardshell.xen.plugins.modules"
    unknown = [
        f"{module}#{option}"
        for module, option in named
        if option not in importlib.import_module(f"{definitions}.{module}").DEFINITION.argument_spec
    ]
    assert unknown == []
