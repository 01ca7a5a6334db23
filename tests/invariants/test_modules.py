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
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible_collections.hardshell.xen.plugins.module_utils._engine import spec as container_set
from ansible_collections.hardshell.xen.plugins.module_utils._pool.group_plan import group_spec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.image_plan import image_spec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.network_facts import network_spec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_filter import vm_filter
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import vm_spec
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota_spec import quota_spec

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


def tasks_of(value: t.Any, defaults: t.Mapping[str, t.Any]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
    """The tasks of the collection's modules in examples, in plays and blocks too: the module, and its arguments with the defaults around it."""
    for entry in value or []:
        around = {**defaults, **(entry.get("module_defaults") or {})}
        for key in ("tasks", "pre_tasks", "post_tasks", "block", "rescue", "always"):
            yield from tasks_of(entry.get(key), around)
        for module in NAMES:
            if f"hardshell.xen.{module}" in entry:
                groups = [f"group/hardshell.xen.{group}" for group, members in GROUPS.items() if module in members]
                merged: dict[str, t.Any] = {}
                for source_ in (*groups, f"hardshell.xen.{module}"):
                    merged.update(around.get(source_) or {})
                yield module, {**merged, **(entry[f"hardshell.xen.{module}"] or {})}


def filled_in(value: t.Any, option: dict[str, t.Any]) -> t.Any:
    """An argument with what a template could give in the place of each: only the form of what is written out can be checked."""
    kind, inner = option.get("type", "str"), option.get("options") or {}
    if isinstance(value, str) and "{{" in value:
        needed = {name: own for name, own in inner.items() if own.get("required")}
        whole = {name: filled_in("{{ }}", own) for name, own in needed.items()}
        stands_for: dict[str, t.Any] = {"bool": True, "int": 1, "float": 1.0, "list": [], "dict": whole}
        return stands_for.get(kind, (option.get("choices") or ["a-value"])[0])
    if kind == "list" and isinstance(value, list):
        element = {"type": option.get("elements", "str"), "options": inner, "choices": option.get("choices")}
        return [filled_in(item, element) for item in value]
    if isinstance(value, dict) and inner:
        return {key: filled_in(item, inner.get(key, {})) for key, item in value.items()}
    return value


def container_set_spec(parameters: dict[str, t.Any]) -> None:
    if parameters["containers"]:
        container_set.parse(parameters)


# What checks the parameters of a module further than its argument spec does, and says what is wrong by raising.
SPECS: dict[str, t.Callable[[dict[str, t.Any]], t.Any]] = {
    "container_set": container_set_spec,
    "image": image_spec,
    "network": network_spec,
    "tenant_quota": quota_spec,
    "usage_info": vm_filter,
    "vm": vm_spec,
    "vm_group": group_spec,
    "vm_info": vm_filter,
}
# What the connection fragments let come from the environment, as the examples say.
ENVIRONMENT = {"XAPI_HOST": "pool.example", "XAPI_USERNAME": "root", "XAPI_PASSWORD": "a password"}


def test_its_argument_spec_accepts_every_example(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in ENVIRONMENT.items():
        monkeypatch.setenv(variable, value)
    tasks = list(tasks_of(DataLoader().load(module_of(name).EXAMPLES), {}))
    assert name in {module for module, _arguments in tasks}, "no example of the module itself"
    for module, arguments in tasks:
        definition = module_of(module).DEFINITION
        given = filled_in(arguments, {"type": "dict", "options": definition.argument_spec})
        # As data, which Ansible's strings with tags are not.
        plain_arguments = yaml.safe_load(json.dumps(given, default=str))
        validation = ModuleArgumentSpecValidator(definition.argument_spec, **definition.constraints()).validate(
            plain_arguments
        )
        assert validation.error_messages == [], arguments
        if module in SPECS:
            SPECS[module](validation.validated_parameters)


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
