# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback plugin ``hardshell.xen.audit_log``, in a real run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from xapi_lab.testing import Lab

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Make it
      hardshell.xen.vm: &web
        name: web
        tenant: acme
        template: Debian Bookworm 12
        config_drive: {user_data: "#cloud-config\\nhostname: hunter2"}
    - hardshell.xen.vm: *web
    - hardshell.xen.vm: {name: web, tenant: acme, state: absent}
      check_mode: true
    - hardshell.xen.vm: {name: web, tenant: globex, state: absent}
      ignore_errors: true
    - hardshell.xen.network: {name: "{{ item }}", tenant: acme}
      loop: [back, front]
    - ansible.builtin.debug: {msg: changed}
      changed_when: true
    - hardshell.xen.vm: {name: web, tenant: acme, state: absent}
      no_log: true
"""


def test_one_line_for_each_change(lab: Lab, tmp_path: Path) -> None:
    playbook, log = tmp_path / "play.yml", tmp_path / "state" / "audit.jsonl"
    playbook.write_text(PLAYBOOK)
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            str(playbook),
            "-e",
            "awx_user_name=jo awx_job_id=17",
        ],
        env={
            **os.environ,
            "XAPI_HOST": lab.url,
            "XAPI_CA_PATH": str(lab.ca_path),
            "XAPI_PASSWORD": lab.password,
            "ANSIBLE_CALLBACKS_ENABLED": "hardshell.xen.audit_log",
            "HARDSHELL_AUDIT_LOG": str(log),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["module"].rpartition(".")[2], line["tenant"], line["failed"]) for line in lines] == [
        ("vm", "acme", False),
        ("network", "acme", False),
        ("network", "acme", False),
        ("vm", "acme", False),
    ]
    made, hidden = lines[0], lines[3]
    assert (made["user"], made["job"], made["host"], made["task"]) == ("jo", "17", "localhost", "Make it")
    assert {"action": "create", "kind": "vm", "name": "web"}.items() <= made["changes"][0].items()
    assert hidden["changes"] is None
    assert "hunter2" not in log.read_text()
    assert lab.password not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
