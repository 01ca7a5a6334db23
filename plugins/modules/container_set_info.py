#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_set_info
short_description: Tell which container sets an engine runs, and how they are
version_added: 0.1.0
author:
  - hardshell.xen contributors (@hardshell)
description:
  - Reads the container sets of one Docker Engine, their members, links, health, ports and images. Changes nothing.
  - What a definition would change is told by M(hardshell.xen.container_set) with C(check_mode) and C(diff).
extends_documentation_fragment:
  - hardshell.xen.docker
  - hardshell.xen.attributes.info
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_docker
options:
  name:
    description:
      - Only the set of this name.
    type: str
  tenant:
    description:
      - Only sets of this tenant.
    type: str
  usage:
    description:
      - Tell also what each running member uses at this moment. This costs the engine one more request for each.
    type: bool
    default: false
seealso:
  - module: hardshell.xen.container_set
"""

EXAMPLES = r"""
- name: See what runs in the VM
  hardshell.xen.container_set_info:
    docker_host: ssh://root@10.0.210.11
  register: engine

- name: Name every member that is not healthy
  ansible.builtin.debug:
    msg: >-
      {{ engine.container_sets | map(attribute='members') | map('dict2items') | flatten
      | rejectattr('value.health', 'in', ['healthy', 'none']) | map(attribute='key') }}

- name: See what the members use
  hardshell.xen.container_set_info:
    docker_host: ssh://root@10.0.210.11
    usage: true

- name: See what a new definition would change
  hardshell.xen.container_set:
    docker_host: ssh://root@10.0.210.11
    tenant: acme
    name: shop
    compose_file: [shop/compose.yaml]
  check_mode: true
  diff: true
"""

RETURN = r"""
container_sets:
  description:
    - The sets, by name. Each entry has the keys of RV(hardshell.xen.container_set#module:container_set).
    - With O(usage=true) each member has C(usage) too, empty for one that does not run. C(cpu_seconds) since the container was started,
      C(memory) in bytes without what the kernel can drop at once, C(pids), and the bytes moved since the start, C(network_received), C(network_sent),
      C(disk_read) and C(disk_written).
  returned: success
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.hardshell.xen.plugins.module_utils._engine.transport import TRANSPORT_ARGUMENTS, connect
from ansible_collections.hardshell.xen.plugins.module_utils._module import Context, ModuleDefinition, run_as_module


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    from ansible_collections.hardshell.xen.plugins.module_utils._engine.report import report_sets

    with connect(parameters, warn=context.warn) as engine:
        sets = report_sets(engine, name=parameters["name"], tenant=parameters["tenant"], usage=parameters["usage"])
    return {"changed": False, "container_sets": sets}


DEFINITION = ModuleDefinition(
    argument_spec={
        **TRANSPORT_ARGUMENTS,
        "name": {"type": "str"},
        "tenant": {"type": "str"},
        "usage": {"type": "bool", "default": False},
    },
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
