# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for everything below plugins/, whatever its kind."""

from __future__ import annotations

import ast
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PLUGINS = ROOT / "plugins"
FILES = sorted(path.relative_to(ROOT).as_posix() for path in PLUGINS.rglob("*.py"))
KINDS = {
    "action", "callback", "connection", "doc_fragments", "filter", "inventory", "lookup", "module_utils", "modules", "plugin_utils", "test", "vars",
}  # fmt: skip
LICENCE = [
    "# SPDX-License-Identifier: GPL-3.0-or-later",
    "# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)",
    "# Copyright: hardshell.xen contributors",
]
# What a user has after installing ansible-core and meta/ee-requirements.txt.
RUN_TIME = {
    "ansible",
    "ansible_collections",
    "XenAPI",
    "cryptography",
    "docker",
    "jinja2",
    "jmespath",
    "requests",
    "urllib3",
    "yaml",
}
PACKAGE = "ansible_collections.hardshell.xen"


def imports(file: str) -> t.Iterator[str]:
    """The full names of the modules that a file below the root imports; ``from . import x`` counts as the module x."""
    path = ROOT / file
    package = [*PACKAGE.split("."), *Path(file).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def own(file: str) -> set[str]:
    """Those imports that are the collection's, as paths below plugins/: "module_utils._pool.spec"."""
    prefix = f"{PACKAGE}.plugins."
    return {name.removeprefix(prefix) for name in imports(file) if name.startswith(prefix)}


@pytest.mark.parametrize("file", FILES)
def test_it_carries_the_licence(file: str) -> None:
    head = (ROOT / file).read_text(encoding="utf-8").splitlines()[:8]
    assert [line for line in LICENCE if line not in head] == []


@pytest.mark.parametrize("file", FILES)
def test_its_annotations_are_not_evaluated(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert "from __future__ import annotations" in text or not ast.parse(text).body


@pytest.mark.parametrize("file", FILES)
def test_it_imports_only_what_a_user_has(file: str) -> None:
    top = {name.split(".")[0] for name in imports(file)}
    assert top - set(sys.stdlib_module_names) - RUN_TIME == set()


def test_every_third_party_package_but_those_of_ansible_core_is_a_requirement() -> None:
    required = {line.split(">")[0].strip() for line in (ROOT / "meta" / "ee-requirements.txt").read_text().splitlines()}
    assert required == {"XenAPI", "docker", "jmespath"}


def test_only_known_kinds_of_plugins() -> None:
    assert {path.name for path in PLUGINS.iterdir() if path.is_dir() and path.name != "__pycache__"} <= KINDS


@pytest.mark.parametrize(
    "file", [file for file in FILES if file.startswith(("plugins/module_utils/", "plugins/plugin_utils/"))]
)
def test_shared_code_is_private(file: str) -> None:
    assert Path(file).parts[2].startswith("_")


def room_of(name: str) -> str | None:
    """The room below module_utils that a dotted name (or a path) is in."""
    parts = name.replace("/", ".").split(".")
    return (
        parts[parts.index("module_utils") + 1]
        if "module_utils" in parts and len(parts) > parts.index("module_utils") + 1
        else None
    )


# Which rooms of module_utils a room may use, besides itself.
FOUNDATION = {"_plan", "_module", "_errors"}
BELOW: dict[str, set[str]] = {
    "_errors": set(),
    "_plan": {"_errors"},
    "_module": {"_errors", "_plan"},
    "_pool": FOUNDATION,
    "_engine": FOUNDATION,
    "_tenancy": {*FOUNDATION, "_pool", "_engine"},
}


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("plugins/module_utils/")])
def test_arrows_between_rooms_point_down(file: str) -> None:
    room = room_of(file.removesuffix(".py"))
    assert room is not None
    used = {other for name in own(file) if (other := room_of(name))} - {room}
    # A room that BELOW does not name is a foundation of its own: it may use the errors only.
    assert used <= BELOW.get(room, {"_errors"}) | (set() if room in BELOW else set()), f"{room} must not use {used}"


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("plugins/module_utils/")])
def test_module_utils_know_nothing_of_what_is_above_them(file: str) -> None:
    above = {name for name in own(file) if name.split(".")[0] not in {"module_utils"}}
    assert above == set()
    assert not [
        name for name in imports(file) if name.startswith("ansible.") and not name.startswith("ansible.module_utils")
    ]


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("plugins/modules/")])
def test_a_module_imports_nothing_of_the_controller(file: str) -> None:
    assert {name.split(".")[0] for name in own(file)} <= {"module_utils"}
    assert not [
        name for name in imports(file) if name.startswith("ansible.") and not name.startswith("ansible.module_utils")
    ]


def test_every_action_plugin_has_its_module() -> None:
    actions = {path.stem for path in (PLUGINS / "action").glob("*.py")}
    assert actions <= {path.stem for path in (PLUGINS / "modules").glob("*.py")}


def test_every_member_of_an_action_group_exists() -> None:
    groups = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]
    members = {name for group in groups.values() for name in group}
    assert members <= {path.stem for path in (PLUGINS / "modules").glob("*.py")}
