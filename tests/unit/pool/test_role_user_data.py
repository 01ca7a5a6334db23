# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role ``hardshell.xen.vm`` tells a guest that Ignition configures, by the judgement of Ignition's own validator."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROLE = Path(__file__).parents[3] / "roles/vm"
VARIABLES = {
    "vm_name": "acme-shop",
    "vm_ignition": True,
    "vm_ssh_authorized_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAVJ me"],
    "vm_ignition_config": {
        "storage": {"files": [{"path": "/etc/motd", "contents": {"source": "data:,hello"}}]},
        "systemd": {"units": [{"name": "locksmithd.service", "mask": True}]},
    },
}


def test_ignition_takes_what_the_role_writes(tmp_path: Path) -> None:
    validator = shutil.which("ignition-validate")
    if validator is None:
        pytest.skip("ignition-validate (ignition) checks what we write")
    playbook = [
        {
            "hosts": "localhost",
            "gather_facts": False,
            "vars_files": [str(ROLE / "defaults/main.yml"), str(ROLE / "vars/main.yml")],
            "tasks": [{"ansible.builtin.debug": {"msg": "{{ __vm_user_data | to_json }}"}}],
        }
    ]
    (tmp_path / "play.yml").write_text(json.dumps(playbook))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-e", json.dumps(VARIABLES), "play.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    message = json.loads("{" + done.stdout.partition("{")[2].rpartition("}")[0] + "}")["msg"]
    config = message if isinstance(message, dict) else json.loads(message)
    (tmp_path / "config.ign").write_text(json.dumps(config))
    checked = subprocess.run([validator, "config.ign"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert [file["path"] for file in config["storage"]["files"]] == [
        "/etc/hostname",
        "/etc/sudoers.d/hardshell",
        "/etc/motd",
    ]
    assert (
        config["storage"]["files"][1]["contents"]["source"] == "data:,hardshell%20ALL%3D%28ALL%29%20NOPASSWD%3AALL%0A"
    )
    assert config["passwd"]["users"][0]["name"] == "hardshell"
