#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_group
short_description: Groups of a tenant's virtual machines that run on different hosts
version_added: 0.1.0
description:
  - Makes, changes and removes one group of VMs of a tenant on a XenServer or XCP-ng pool. The VMs of an anti-affinity group are started on
    different hosts, as far as there are hosts enough.
  - Needs XAPI 24.19.1 or later and a licence that allows VM groups. Elsewhere it fails and says which of them is missing.
  - A pool's groups have no place for marks, so that the group is named C(TENANT/NAME) in the pool and is the tenant's by that. Only VMs that carry
    the marks of O(tenant) are put into it or taken out.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.attributes
  - hardshell.xen.attributes.idempotent
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
options:
  name:
    description:
      - The group's name, without the tenant.
    type: str
    required: true
  tenant:
    description:
      - The tenant that owns the group, a DNS label.
    type: str
    required: true
  description:
    description:
      - What the pool shows as its description. Not touched when not given; empty for a new group.
    type: str
  placement:
    description:
      - V(anti_affinity) keeps its VMs on different hosts, V(normal) does nothing with them. It is fixed once the group is made.
    type: str
    choices: [anti_affinity, normal]
    default: anti_affinity
  vms:
    description:
      - The tenant's VMs that are to be in the group, by name or by inventory host; its others leave it. Not touched when not given.
      - A VM is in one group at most, so one that is in another group of the tenant leaves that.
    type: list
    elements: str
  state:
    description:
      - V(absent) removes the group. Its VMs stay.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: hardshell.xen.vm
"""

EXAMPLES = r"""
- name: Keep the two web servers on different hosts
  hardshell.xen.vm_group:
    name: web
    tenant: acme
    vms: [acme-web-1, acme-web-2]

- name: Remove the group
  hardshell.xen.vm_group:
    name: web
    tenant: acme
    state: absent
"""

RETURN = r"""
group:
  description:
    - The group as it is after the task, or as it would be in check mode. What only the pool can know is V(null) then.
    - V(null) after O(state=absent).
  type: dict
  returned: success
  contains:
    uuid: {description: Its UUID., type: str, returned: success}
    name: {description: Its name in the pool., type: str, returned: success, sample: acme/web}
    description: {description: Its description., type: str, returned: success}
    placement: {description: V(anti_affinity) or V(normal)., type: str, returned: success}
    vms: {description: Names of the VMs in it., type: list, elements: str, returned: success}
changes:
  description: The changes made, or in check mode to be made, in order.
  type: list
  elements: dict
  returned: success
  contains:
    action: {description: "V(create), V(update), V(delete), and V(join) and V(leave) for a VM.", type: str, returned: success}
    kind: {description: V(vm group)., type: str, returned: success}
    name: {description: The name of the group or of the VM., type: str, returned: success}
    before: {description: As it was., type: raw, returned: when there was something}
    after: {description: As it is., type: raw, returned: when there is something}
journal:
  description: What was done of the changes, with seconds.
  type: list
  elements: dict
  returned: when something was changed
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.group_module import run

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        "name": {"type": "str", "required": True},
        "tenant": {"type": "str", "required": True},
        "description": {"type": "str"},
        "placement": {"type": "str", "choices": ["anti_affinity", "normal"], "default": "anti_affinity"},
        "vms": {"type": "list", "elements": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    },
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
