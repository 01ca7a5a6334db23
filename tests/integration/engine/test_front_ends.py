# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same playbook through both front ends: in the controller, and as an ordinary module (by async)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from .conftest import Engine, archive

pytestmark = pytest.mark.engine


def play(tmp_path: Path, arguments: dict[str, t.Any], *flags: str, module: bool) -> dict[str, t.Any]:
    """The task's result, of a real ansible-playbook run."""
    task: dict[str, t.Any] = {"hardshell.xen.container_set": arguments, "register": "outcome", "ignore_errors": True}
    if module:
        task["become"] = True
        task["become_method"] = "ansible.builtin.sudo"
        task["vars"] = {"ansible_become_exe": str(_as_is(tmp_path))}
    save = {
        "ansible.builtin.copy": {"content": "{{ outcome | to_json }}", "dest": str(tmp_path / "outcome")},
        "check_mode": False,
        "diff": False,
    }
    playbook = [{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task, save]}]
    (tmp_path / "play.json").write_text(json.dumps(playbook))
    python = Path(sys.executable)
    environment = {**os.environ, "ANSIBLE_PYTHON_INTERPRETER": sys.executable, "ANSIBLE_LOCALHOST_WARNING": "false"}
    command = [
        str(python.parent / "ansible-playbook"),
        "-e",
        f"ansible_python_interpreter={sys.executable}",
        *flags,
        str(tmp_path / "play.json"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return t.cast("dict[str, t.Any]", json.loads((tmp_path / "outcome").read_text()))


def _as_is(tmp_path: Path) -> Path:
    """A stand-in for sudo where the user is root already: runs the command."""
    program = tmp_path / "sudo"
    program.write_text('#!/bin/sh\nwhile [ "$1" != /bin/sh ]; do shift; done\nexec "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("module", [False, True], ids=["controller", "module"])
def test_load_create_again_and_remove(engine: Engine, tmp_path: Path, module: bool) -> None:
    (tmp_path / "app.tar").write_bytes(archive("app:1", Env=["APP=1"]))
    images = [{"archive": str(tmp_path / "app.tar"), "image": "app:1"}]
    if "app:1" in str(engine.daemon.request("GET", "/images/json")):
        engine.daemon.request("DELETE", "/images/app:1?force=1")
    definition = {"web": {"image": "app:1", "links": ["db"]}, "db": {"image": "app:1"}}
    arguments = engine.arguments(definition, images=images)
    announced = play(tmp_path, arguments, "--check", "--diff", module=module)
    assert engine.daemon.containers() == {}
    done = play(tmp_path, arguments, "--diff", module=module)
    assert (done["changed"], done["changes"], done["diff"]) == (
        announced["changed"],
        announced["changes"],
        announced["diff"],
    )
    assert done["changes"][0]["action"] == "load"
    assert set(engine.daemon.running()) == {"shop_web", "shop_db"}
    again = play(tmp_path, arguments, module=module)
    assert (again["changed"], again["changes"]) == (False, [])
    failed = play(tmp_path, {**arguments, "containers": {"web": {"image": "app:1", "memory": "2 Gigs"}}}, module=module)
    assert failed["msg"].startswith("containers.web.memory: '2 Gigs' cannot be used")
    removed = play(tmp_path, {**engine.arguments(), "state": "absent"}, module=module)
    assert removed["changed"]
    assert engine.daemon.containers() == {}


def test_an_archive_is_loaded_when_it_holds_another_image(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "app.tar"
    images = [{"archive": str(path), "image": "changing:1"}]
    definition = {"web": {"image": "changing:1"}}
    path.write_bytes(archive("changing:1", Env=["V=1"]))
    assert ("load", "image", "changing:1") in engine.deploy(definition, images=images).actions
    assert not engine.deploy(definition, images=images).changed
    path.write_bytes(archive("changing:1", Env=["V=2"]))
    announced = engine.deploy(definition, images=images, check=True)
    done = engine.deploy(definition, images=images)
    assert announced.result["changes"] == done.result["changes"]
    assert done.actions == [("load", "image", "changing:1"), ("replace", "container", "web")]
    assert "V=2" in engine.daemon.execute("shop_web", "env")[1]
    engine.remove()
    engine.daemon.request("DELETE", "/images/changing:1?force=1")
