# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every module."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
GROUPS: dict[str, list[str]] = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
SECRET = re.compile(r"pass|secret|token|private|credential|session", re.IGNORECASE)
EXERCISERS = ["playbooks", "roles", "tests/integration", "tests/e2e"]

pytestmark = pytest.mark.parametrize("name", NAMES)
Options = dict[str, dict[str, t.Any]]


def module_of(name: str) -> t.Any:
    return importlib.import_module(f"ansible_collections.hardshell.xen.plugins.modules.{name}")


@functools.cache
def all_documentation() -> dict[str, t.Any]:
    command = [str(Path(sys.executable).parent / "ansible-doc"), "--json", "--type", "module"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": sysconfig.get_path("purelib")}
    told = subprocess.run(
        [*command, *(f"hardshell.xen.{name}" for name in NAMES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    documented: dict[str, t.Any] = json.loads(told.stdout)
    return documented


def documentation(name: str) -> dict[str, t.Any]:
    """The module's documentation with its fragments merged in."""
    told: dict[str, t.Any] = all_documentation()[f"hardshell.xen.{name}"]["doc"]
    return told


def source(name: str) -> str:
    return (ROOT / "plugins" / "modules" / f"{name}.py").read_text(encoding="utf-8")


def plain(options: Options, inner: str) -> dict[str, t.Any]:
    """Options as comparable data, from the documentation (``inner`` is "suboptions") or the argument spec ("options")."""
    return {
        name: {
            "type": option.get("type", "str"),
            "elements": option.get("elements"),
            "required": bool(option.get("required", False)),
            "default": option.get("default"),
            "choices": list(option["choices"]) if option.get("choices") else None,
            "aliases": sorted(option.get("aliases") or []),
            "suboptions": plain(option.get(inner) or {}, inner),
        }
        for name, option in options.items()
    }


def every_option(options: Options, path: str = "") -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    for name, option in options.items():
        yield f"{path}{name}", option
        yield from every_option(option.get("options") or {}, f"{path}{name}.")


def test_the_documented_options_are_the_argument_spec(name: str) -> None:
    documented = plain(documentation(name).get("options") or {}, "suboptions")
    assert documented == plain(module_of(name).DEFINITION.argument_spec, "options")


def test_constraints_name_options_that_exist(name: str) -> None:
    definition = module_of(name).DEFINITION
    groups = [*definition.mutually_exclusive, *definition.required_together, *definition.required_one_of]
    named = {option for group in groups for option in group}
    for condition in definition.required_if:
        named |= {condition[0], *condition[2]}
    for option, others in definition.required_by.items():
        named |= {option, *([others] if isinstance(others, str) else others)}
    assert named <= set(definition.argument_spec)


def test_every_environment_variable_is_documented(name: str) -> None:
    documented = documentation(name)["options"]
    for option, spec in module_of(name).DEFINITION.argument_spec.items():
        for variable in spec.get("fallback", (None, []))[1]:
            text = str(documented[option]["description"])
            assert variable in text, f"{option} falls back to {variable}, and its description does not say so"


def test_every_option_that_may_be_a_secret_says_whether_it_is(name: str) -> None:
    silent = [
        path
        for path, option in every_option(module_of(name).DEFINITION.argument_spec)
        if SECRET.search(path.rsplit(".", 1)[-1]) and option.get("type") != "bool" and "no_log" not in option
    ]
    assert silent == []


def test_it_has_an_action_plugin_of_the_same_definition(name: str) -> None:
    action = importlib.import_module(f"ansible_collections.hardshell.xen.plugins.action.{name}")
    assert action.ActionModule.definition is module_of(name).DEFINITION


def test_it_is_in_the_action_group_that_its_documentation_names(name: str) -> None:
    groups = sorted(group for group, members in GROUPS.items() if name in members)
    assert groups, "it is in no action group of meta/runtime.yml"
    attribute = documentation(name)["attributes"].get("action_group", {})
    assert sorted(attribute.get("membership", [])) == [f"hardshell.xen.{group}" for group in groups]


@pytest.mark.parametrize("attribute", ["check_mode", "diff_mode", "idempotent"])
def test_it_states_how_it_behaves(name: str, attribute: str) -> None:
    stated = documentation(name)["attributes"][attribute]
    assert stated["support"] in (("full",) if attribute == "check_mode" else ("full", "partial", "N/A"))
    if stated["support"] != "full":
        assert stated.get("details"), f"{attribute} is {stated['support']}: the details must say why"


def test_an_info_module_only_reads(name: str) -> None:
    options = module_of(name).DEFINITION.argument_spec
    if name.endswith("_info"):
        assert "state" not in options
        assert documentation(name)["attributes"]["diff_mode"]["support"] == "N/A"


def test_the_examples_use_its_full_name_and_options_that_it_has(name: str) -> None:
    module = module_of(name)
    tasks = DataLoader().load(module.EXAMPLES)
    own = [task[f"hardshell.xen.{name}"] for task in tasks if f"hardshell.xen.{name}" in task]
    assert own, "no example of the module itself"
    spec = module.DEFINITION.argument_spec
    known = set(spec) | {alias for option in spec.values() for alias in option.get("aliases", [])}
    for arguments in own:
        assert set(arguments or {}) <= known


def test_the_changes_that_it_makes_are_in_its_documented_result(name: str) -> None:
    returned = yaml.safe_load(module_of(name).RETURN)
    assert name.endswith("_info") or "changes" in returned


def test_it_holds_no_logic(name: str) -> None:
    functions = [node for node in ast.walk(ast.parse(source(name))) if isinstance(node, ast.FunctionDef)]
    lines = sum((function.end_lineno or 0) - function.lineno + 1 for function in functions)
    assert lines <= 25, f"{lines} lines of functions: they belong in a room below module_utils"
    assert not [node for node in ast.walk(ast.parse(source(name))) if isinstance(node, ast.ClassDef)]


def test_it_is_exercised_by_a_playbook_or_an_integration_test(name: str) -> None:
    used = re.compile(rf"hardshell\.xen\.{name}\b|modules import [^\n]*\b{name}\b|modules\.{name}\b")
    files = [
        path for folder in EXERCISERS for path in (ROOT / folder).rglob("*") if path.suffix in {".yml", ".yaml", ".py"}
    ]
    assert any(used.search(path.read_text(encoding="utf-8")) for path in files)
