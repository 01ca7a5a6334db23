# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every role and every playbook."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))
CONTENT = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("playbooks", "roles")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".yml", ".py", ".j2"}
)


def read_yaml(path: Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def options(role: str) -> dict[str, dict[str, t.Any]]:
    specs = read_yaml(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    return {name: option for entry in specs.values() for name, option in (entry.get("options") or {}).items()}


def defaults(role: str) -> dict[str, t.Any]:
    path = ROOT / "roles" / role / "defaults" / "main.yml"
    return read_yaml(path) or {} if path.exists() else {}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_what_it_takes(role: str) -> None:
    specs = read_yaml(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]
    assert specs["main"]["short_description"]
    undescribed = [name for name, option in options(role).items() if not option.get("description")]
    assert undescribed == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_a_readme_that_names_it(role: str) -> None:
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert role in readme.splitlines()[0]


@pytest.mark.parametrize("role", ROLES)
def test_the_variables_of_a_role_carry_its_name(role: str) -> None:
    names = {*options(role), *defaults(role)}
    assert [name for name in sorted(names) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_default_of_a_role_is_documented_with_its_value(role: str) -> None:
    documented = options(role)
    undocumented = [name for name in defaults(role) if name not in documented]
    assert undocumented == []
    different = [
        name
        for name, value in defaults(role).items()
        # A default that is a template is told in the description instead.
        if not (isinstance(value, str) and "{{" in value) and documented[name].get("default", value) != value
    ]
    assert different == []


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_used_by_a_playbook(role: str) -> None:
    used = re.compile(rf"(hardshell\.xen\.|name: |role: ){role}\b")
    texts = [
        path.read_text(encoding="utf-8") for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*.yml")
    ]
    assert any(used.search(text) for text in texts)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_playbook_begins_with_what_it_does(playbook: str) -> None:
    text = (ROOT / "playbooks" / playbook).read_text(encoding="utf-8")
    assert re.match(r"(---\n)?# \w", text)


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_playbook_is_named_in_the_readme(playbook: str) -> None:
    assert f"hardshell.xen.{playbook.removesuffix('.yml')}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", CONTENT)
def test_nothing_that_a_user_runs_needs_what_a_user_does_not_have(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not re.search(r"xapi_lab|xapi-lab|\.\./(lab|examples|tests)\b", text)
