#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: session
short_description: Log in to a pool once for many tasks
version_added: 0.1.0
description:
  - Makes a session in a XenServer or XCP-ng pool, which other tasks use through O(xapi_session), or ends one.
  - A session counts as the account that made it. Keep the result of this module out of logs with C(no_log).
  - XAPI forgets a session after 24 hours without a call, and all sessions when its toolstack restarts.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.attributes
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
attributes:
  check_mode:
    details:
      - A session is made and ended in check mode too, since the tasks that follow need it to look at the pool. Nothing in the pool changes by it.
  diff_mode:
    support: N/A
    details:
      - A session is no part of what a pool is made of.
  idempotent:
    description: When run twice in a row with the same arguments, the second run reports no change.
    support: full
    details:
      - Each run with O(state=present) makes a session of its own and reports no change, since nothing of the pool is changed.
options:
  state:
    description:
      - V(present) logs in; V(absent) ends the session O(xapi_session). One that is gone already is fine.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: hardshell.xen.vm
"""

EXAMPLES = r"""
- name: One login for the whole play
  hardshell.xen.session:
    xapi_host: [xen1.example, xen2.example]
    xapi_username: root
    xapi_password: "{{ pool_password }}"
    xapi_ca_path: /etc/ssl/pool-ca.pem
  register: login
  no_log: true

- name: Use it
  hardshell.xen.vm:
    xapi_host: "{{ login.session.url }}"
    xapi_session: "{{ login.session.ref }}"
    xapi_ca_path: /etc/ssl/pool-ca.pem
    name: web
    tenant: acme
    template: debian-12-docker

- name: End it
  hardshell.xen.session:
    xapi_host: "{{ login.session.url }}"
    xapi_session: "{{ login.session.ref }}"
    xapi_ca_path: /etc/ssl/pool-ca.pem
    state: absent
"""

RETURN = r"""
session:
  description: The session that was made.
  type: dict
  returned: when O(state=present)
  contains:
    ref:
      description: The reference to hand on as O(xapi_session). As good as a password.
      type: str
      returned: success
    url:
      description: The coordinator that answered, to hand on as O(xapi_host).
      type: str
      returned: success
      sample: https://xen1.example
    username:
      description: The account that is logged in.
      type: str
      returned: success
      sample: root
changes:
  description: What was changed. Always empty.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session_module import run

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    },
    required_if=[("state", "present", ["xapi_password"]), ("state", "absent", ["xapi_session"])],
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
