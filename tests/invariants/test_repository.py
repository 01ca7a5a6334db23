# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the repository as a whole."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(
    ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split("\0")[:-1]
FILES = [file for file in TRACKED if (ROOT / file).is_file()]
PYTHON = [file for file in FILES if file.endswith(".py")]
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "tools_misc", "stuff"}
# What belongs to an installed collection; all else at the top is in galaxy.yml's build_ignore.
INSTALLED = {
    "CHANGELOG.rst", "CONTRIBUTING.md", "LICENSE", "README.md", "changelogs", "docs", "extensions", "galaxy.yml", "meta", "playbooks", "plugins", "roles",
}  # fmt: skip


def imported(file: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("file", [file for file in PYTHON if file.startswith("lab/")])
def test_the_lab_knows_nothing_of_the_collection(file: str) -> None:
    assert not [name for name in imported(file) if name.startswith("ansible")]


@pytest.mark.parametrize("file", [file for file in PYTHON if file.startswith(("plugins/", "roles/"))])
def test_the_collection_knows_nothing_of_the_lab(file: str) -> None:
    assert not [name for name in imported(file) if name.split(".")[0] == "xapi_lab"]


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [file for file in FILES if Path(file).stem.strip("_") in VAGUE] == []


def test_only_what_a_user_needs_is_built_into_the_collection() -> None:
    ignored = yaml.safe_load((ROOT / "galaxy.yml").read_text())["build_ignore"]
    top = {Path(file).parts[0] for file in FILES}
    assert top - INSTALLED - set(ignored) == set()


def test_every_script_says_how_it_is_run() -> None:
    scripts = [file for file in FILES if file.endswith(".sh") or file == ".ci/run"]
    assert [file for file in scripts if not (ROOT / file).read_text(encoding="utf-8").startswith("#!")] == []
    assert [file for file in scripts if not (ROOT / file).stat().st_mode & 0o100] == []


def test_a_fresh_machine_gets_every_package_that_the_guest_image_is_built_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "roles/guest_image/files")
    builder = runpy.run_path(str(ROOT / "roles/guest_image/files/build_debian_image.py"))
    installed = {
        line.split()[0] for line in (ROOT / "requirements-debian.txt").read_text().splitlines() if line.strip()
    }
    # Essential: no Debian is without them.
    assert {*builder["TOOLS"].values(), *builder["GRUB_PLATFORMS"].values()} - installed - {
        "tar",
        "util-linux",
    } == set()


@pytest.mark.parametrize("document", [file for file in FILES if re.fullmatch(r"docs/PEERS-[A-Z]+\.md", file)])
def test_the_tests_that_a_comparison_names_are_there(document: str) -> None:
    named = re.findall(
        r"`(?:tests/)?((?:unit|integration|e2e)/[\w/]+\.py)", (ROOT / document).read_text(encoding="utf-8")
    )
    assert named
    assert [file for file in named if not (ROOT / "tests" / file).is_file()] == []
