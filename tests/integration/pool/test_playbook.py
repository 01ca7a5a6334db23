# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules as a playbook uses them: options from the action group, a session handed on, and both front ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xapi_lab.testing import Lab

PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  module_defaults:
    group/hardshell.xen.xapi:
      xapi_host: "{{ lookup('env', 'LAB_URL') }}"
      xapi_ca_path: "{{ lookup('env', 'LAB_CA') }}"
  tasks:
    - hardshell.xen.session:
        xapi_password: "{{ lookup('env', 'LAB_PASSWORD') }}"
      register: login
      no_log: true
    - hardshell.xen.vm: &web
        xapi_session: "{{ login.session.ref }}"
        name: web
        tenant: acme
        template: Debian Bookworm 12
        memory: 1GiB
        networks: [{network: "Pool-wide network associated with eth0", name: front}]
        config_drive: {user_data: {hostname: web, count: 1, password: hunter2}}
        ssh_host_key: true
        state: running
        wait_for: {address: 127.0.0.0/8, timeout: 60}
      register: made
    - hardshell.xen.vm: *web
      register: again
    - hardshell.xen.vm: *web
      async: 60
      poll: 1
      register: as_a_module
    - assert:
        that:
          - made is changed
          - again is not changed
          - as_a_module is not changed
          - made.vm == again.vm == as_a_module.vm
    - hardshell.xen.vm: {name: web, tenant: acme, state: absent, xapi_session: "{{ login.session.ref }}"}
    - hardshell.xen.session: {xapi_session: "{{ login.session.ref }}", state: absent}
"""


def test_a_playbook(lab: Lab, tmp_path: Path) -> None:
    playbook = tmp_path / "play.yml"
    playbook.write_text(PLAYBOOK)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-vv", "--diff", str(playbook)],
        env={
            **os.environ,
            "LAB_URL": lab.url,
            "LAB_CA": str(lab.ca_path),
            "LAB_PASSWORD": lab.password,
            "ANSIBLE_NOCOLOR": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert lab.password not in done.stdout + done.stderr
