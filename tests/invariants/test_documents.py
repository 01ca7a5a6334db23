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
PLUGINS = "ansible_collections.hardshell.xen.plugins"
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_option_that_a_document_names_is_there(document: str) -> None:
    named = re.findall(r"`(\w+)#(\w+)`", (ROOT / document).read_text(encoding="utf-8"))
    definitions = f"{PLUGINS}.modules"
    unknown = [
        f"{module}#{option}"
        for module, option in named
        if option not in importlib.import_module(f"{definitions}.{module}").DEFINITION.argument_spec
    ]
    assert unknown == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_test_that_a_document_names_is_there(document: str) -> None:
    named = re.findall(r"`(tests/[\w/.-]+)`", (ROOT / document).read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if "PEERS" in path])
def test_a_row_of_a_comparison_names_tests_that_use_its_options(document: str) -> None:
    """Each option of a row is in one of the tests that are said to show it."""
    astray = []
    for row in (ROOT / document).read_text(encoding="utf-8").splitlines():
        options, tests = re.findall(r"`\w+#(\w+)`", row), re.findall(r"`(tests/[\w/.-]+\.py)`", row)
        shown = "".join((ROOT / path).read_text(encoding="utf-8") for path in tests)
        astray += [f"{row[:40]}: {option}" for option in options if tests and not re.search(rf"\b{option}\b", shown)]
    assert astray == []


def test_a_row_about_container_sets_names_tests_that_use_what_it_speaks_of() -> None:
    """Each option of the module or of a member that a row names is in one of the tests that are said to show it."""
    known = {*importlib.import_module(f"{PLUGINS}.modules.container_set").DEFINITION.argument_spec}
    known |= {*importlib.import_module(f"{PLUGINS}.module_utils._engine.member_spec").MEMBER_KEYS}
    rows = [row for row in (ROOT / "docs/PEERS-CONTAINERS.md").read_text(encoding="utf-8").splitlines() if "| `" in row]
    shown_by = {row: re.findall(r"`((?:unit|integration|e2e)/[\w/.-]+\.py)`", row) for row in rows}
    astray = []
    checked = 0
    for row, tests in shown_by.items():
        named = {word for word in re.findall(r"`(?:\w+#)?(\w+)[^`]*`", row) if word in known}
        text = "".join((ROOT / "tests" / path).read_text(encoding="utf-8") for path in tests)
        astray += [f"{row[:50]}: {word}" for word in sorted(named) if tests and not re.search(rf"\b{word}\b", text)]
        checked += len(named)
    assert astray == []
    assert checked > 30


def test_every_finding_about_containers_is_explained() -> None:
    source = (ROOT / "plugins/module_utils/_engine/findings.py").read_text(encoding="utf-8")
    found = set(re.findall(r'"((?:[a-z]+-)+[a-z]+)"', source)) | {"privileged"}
    table = "".join(row for row in (ROOT / "docs/SECURITY.md").read_text(encoding="utf-8").splitlines() if "| `" in row)
    assert len(found) > 10
    assert found - set(re.findall(r"`([\w-]+)`", table)) == set()
