# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Environment files of a member."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import parse_task
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .model import parameters


def environment(**member: t.Any) -> dict[str, str]:
    found: dict[str, str] = (
        parse_task(parameters({"web": {"image": "box:1", **member}})).members["web"].asked["environment"]
    )
    return found


def test_later_files_and_the_definition_take_precedence_and_values_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("# first\nA=1\nB='x y' $HOME\nC=1\n")
    (tmp_path / "b").write_text("C=2\nD=2\n")
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert environment(env_file=files, environment={"D": 3}) == {"A": "1", "B": "'x y' $HOME", "C": "2", "D": "3"}
    assert environment(env_file=files[1]) == {"C": "2", "D": "2"}


def test_what_cannot_be_read_is_refused_without_its_values(tmp_path: Path) -> None:
    with pytest.raises(HardshellError, match=r"containers\.web\.env_file\[0\]: .*no such file on the controller"):
        environment(env_file=str(tmp_path / "none"))
    (tmp_path / "a").write_text("s3cret value\n")
    with pytest.raises(HardshellError, match="line 1") as refusal:
        environment(env_file=str(tmp_path / "a"))
    assert "s3cret" not in refusal.value.message
