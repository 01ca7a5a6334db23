# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role container_set: what a play sets reaches the module, and the set goes when its definition is taken out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml

from .conftest import Engine

pytestmark = pytest.mark.engine

ROLE = Path(__file__).parents[3] / "roles" / "container_set"
COMPOSE = """
services:
  web:
    image: box:${TAG}
    networks: [front]
  db:
    image: box:${TAG}
    networks: [back]
    volumes: ["data:/data"]
  extra:
    image: box:${TAG}
    networks: [back]
    profiles: [metrics]
networks: {front: , back: }
volumes: {data: }
"""


def converge(engine: Engine, tmp_path: Path, variables: dict[str, t.Any], entry: str = "main") -> dict[str, t.Any]:
    """What a play that runs the role found: the result of its task."""
    given = {
        "container_set_name": "shop",
        "container_set_tenant": "acme",
        "container_set_docker_host": engine.host,
        "container_set_pull": "never",
        **variables,
    }
    tasks = [
        {"ansible.builtin.include_role": {"name": "hardshell.xen.container_set", "tasks_from": entry}},
        {
            "ansible.builtin.copy": {
                "content": "{{ __container_set_converged | default({}) | to_json }}",
                "dest": str(tmp_path / "outcome"),
            },
            "check_mode": False,
        },
    ]
    play = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "vars": given, "tasks": tasks}]
    (tmp_path / "play.json").write_text(json.dumps(play))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), str(tmp_path / "play.json")]
    environment = {**os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "false"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return t.cast("dict[str, t.Any]", json.loads((tmp_path / "outcome").read_text()))


def test_a_compose_file_with_its_variables_profiles_and_network_and_no_definition_at_all(
    engine: Engine, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    (tmp_path / "settings").write_text("TAG=2\n")
    variables: dict[str, t.Any] = {
        "container_set_compose_file": [str(tmp_path / "compose.yaml")],
        "container_set_compose_env_files": [str(tmp_path / "settings")],
        "container_set_compose_profiles": ["metrics"],
        "container_set_remove_volumes": True,
    }
    converge(engine, tmp_path, variables, "check")
    assert engine.daemon.containers() == {}
    made = converge(engine, tmp_path, variables)
    assert made["container_set"]["network"] == "declared"
    assert {name: member["image"] for name, member in made["container_set"]["members"].items()} == {
        "web": "box:2",
        "db": "box:2",
        "extra": "box:2",
    }
    fewer = {
        **variables,
        "container_set_compose_environment": {"TAG": "1"},
        "container_set_compose_profiles": [],
        "container_set_remove_orphans": False,
        "container_set_network": "per-link",
    }
    kept = converge(engine, tmp_path, fewer)
    assert (kept["container_set"]["network"], kept["container_set"]["members"]["db"]["image"]) == ("per-link", "box:1")
    assert "shop_extra" in engine.daemon.running()
    gone = converge(engine, tmp_path, {"container_set_remove_volumes": True})
    assert gone["container_set"]["state"] == "absent"
    assert (engine.daemon.containers(), engine.daemon.volumes()) == ({}, set())


def test_every_option_of_the_module_can_be_given_to_the_role() -> None:
    task = yaml.safe_load((ROLE / "tasks" / "main.yml").read_text(encoding="utf-8"))[0]["hardshell.xen.container_set"]
    from ansible_collections.hardshell.xen.plugins.modules import container_set

    # The way to the engine belongs to the inventory, or to module_defaults.
    own = {name for name in container_set.DEFINITION.argument_spec if not name.startswith("docker_")}
    assert own - task.keys() == set()
