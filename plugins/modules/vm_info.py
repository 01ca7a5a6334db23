#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: Tell of many virtual machines
version_added: 0.1.0
description:
  - Reads the virtual machines of a XenServer or XCP-ng pool, with their hosts, disks, interfaces, addresses, snapshots and marks. Changes nothing.
  - Takes the same few calls however many VMs there are. Without a filter it tells of all; templates, snapshots and control domains are no VMs.
  - Of several filters all must fit.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.vm_filter
  - hardshell.xen.attributes.info
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
seealso:
  - module: hardshell.xen.vm
  - plugin: hardshell.xen.xapi
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Look at what acme runs
  hardshell.xen.vm_info:
    tenants: [acme]
    power_states: [running]
  register: acme

- name: Show the addresses
  ansible.builtin.debug:
    msg: "{{ dict(acme.vms | map(attribute='name') | zip(acme.vms | map(attribute='address'))) }}"

- name: Find the VMs that nobody tagged and that are protected by high availability
  hardshell.xen.vm_info:
    expression: '(field "tags" = "()") and (field "ha_restart_priority" = "restart")'
"""

RETURN = r"""
vms:
  description: The VMs, by name. Each has the keys of RV(hardshell.xen.vm#module:vm), and those below.
  type: list
  elements: dict
  returned: success
  contains:
    snapshots:
      description: Its snapshots, the oldest first.
      type: list
      elements: dict
      returned: success
      contains:
        name: {description: Its name., type: str, returned: success}
        uuid: {description: Its UUID., type: str, returned: success}
        description: {description: Its description., type: str, returned: success}
        taken: {description: "When it was taken, in ISO 8601.", type: str, returned: success, sample: "2026-05-12T09:05:07Z"}
        memory: {description: "Whether it holds the memory too, as a checkpoint does.", type: bool, returned: success}
    marks:
      description:
        - Our marks as they stand in its C(other_config).
        - Copied marks of another VM are among them; RV(hardshell.xen.vm#module:vm.tenant) is V(null) then.
      type: dict
      returned: success
      sample: {"hardshell:tenant": acme, "hardshell:host": acme-shop, "hardshell:vm": 6a4bb9e6-5a54-4f0f-9d57-b2d2f3c2f0a1}
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_filter import filter_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_info_module import run

DEFINITION = ModuleDefinition(argument_spec={**connection_arguments(), **filter_arguments()}, run=run)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
