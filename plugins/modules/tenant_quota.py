#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_quota
short_description: Refuse VMs that a tenant may not have or that the pool cannot hold
version_added: 0.1.0
description:
  - Adds up what tenants have in a pool and what a run asks for, and fails with a table where that is more than a tenant's quota, or more than
    the pool has free. Run it before the first task that makes or changes a VM, as the role P(hardshell.xen.tenant#role) does.
  - Changes nothing, in the pool or anywhere, and takes the same four calls however many VMs there are.
  - VMs are found by their marks, so those that are in the pool and not in O(vms) count as they are, also when a play was limited to one host.
  - A disk counts once, by its virtual size, whether its VM runs or not; so do disks that were kept when their VM was removed.
  - vCPUs and memory count for VMs that are running or paused, and for those that O(vms) will leave so. Halted and suspended VMs count as VMs and by
    their disks.
  - A disk that is attached by O(hardshell.xen.vm#module:disks[].vdi) counts from then on.
  - Snapshots count nothing, and neither do templates and config drives.
  - A tenant that is over its quota already is warned of, and refused only what asks for more of that resource.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.attributes.info
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
options:
  tenants:
    description:
      - The quotas. A tenant that is not listed has none; neither has a resource that is not given.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The tenant, a DNS label.
        type: str
        required: true
      vcpus:
        description: How many vCPUs its VMs may have together.
        type: int
      memory:
        description: How much memory, as V(8GiB).
        type: str
      disk:
        description: How much disk space, as V(100GiB).
        type: str
      vms:
        description: How many VMs.
        type: int
  vms:
    description:
      - The VMs that the run makes or changes, as it is to leave them. What is not given stays as it is; a new VM has it of its template.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the VM.
        type: str
        required: true
      tenant:
        description: The tenant that owns it.
        type: str
        required: true
      host:
        description: The inventory host that it is. Defaults to O(vms[].name).
        type: str
      state:
        description: As option O(hardshell.xen.vm#module:state).
        type: str
        choices: [present, running, halted, suspended, paused, restarted]
        default: running
      vcpus:
        description: Its number of vCPUs.
        type: int
      memory:
        description: Its memory, as V(2GiB).
        type: str
      memory_dynamic_min:
        description: What the pool may take its memory down to. A host needs only that free to start it; the quota counts O(vms[].memory).
        type: str
      template:
        description: Name or UUID of the template of a new VM, whose disks count.
        type: str
      source:
        description: Name or UUID of the VM or snapshot that a new VM is made from.
        type: str
      clone:
        description: How the disks of a new VM are made. V(full) copies take space in their storage repository at once.
        type: str
        choices: [fast, full]
        default: fast
      sr:
        description: Name or UUID of the storage repository for new disks and full copies. Defaults to the pool's default SR.
        type: str
      disks:
        description: Its disks by name. A disk that it has and that is not listed stays, and counts.
        type: list
        elements: dict
        default: []
        suboptions:
          name:
            description: The disk's name.
            type: str
            required: true
          size:
            description: Its size, as V(10GiB).
            type: str
          sr:
            description: Name or UUID of the storage repository for a new disk. Defaults to O(vms[].sr).
            type: str
      adopt:
        description: Whether a VM of that name without marks is to be taken over, and counts from then on.
        type: bool
        default: false
seealso:
  - plugin: hardshell.xen.vm_size
    plugin_type: filter
  - module: hardshell.xen.pool_info
  - module: hardshell.xen.vm
notes:
  - What the pool has free is the memory of its hosts with all VMs at the least of their range, and the space of storage repositories that nothing
    is written to yet. Memory is refused where no way to spread the VMs can be enough. What XAPI takes for itself with each new VM is not counted.
  - New disks, the growth of disks and full copies count in full against their storage repository. A fast clone does not, since it shares the blocks
    of its original.
"""

EXAMPLES = r"""
- name: See that two more VMs are within the quota of acme
  hardshell.xen.tenant_quota:
    tenants:
      - {name: acme, vcpus: 8, memory: 8GiB, disk: 100GiB, vms: 4}
    vms:
      - {name: acme-shop, tenant: acme, vcpus: 2, memory: 1GiB, template: debian-12-docker}
      - {name: acme-wiki, tenant: acme, vcpus: 1, memory: 1GiB, template: debian-12-docker, disks: [{name: data, size: 10GiB}]}

- name: Look what tenants use
  hardshell.xen.tenant_quota:
    tenants:
      - {name: acme}
      - {name: globex}
  register: usage

- name: Show it
  ansible.builtin.debug:
    msg: "{{ usage.tenants }}"
"""

RETURN = r"""
tenants:
  description: What each of O(tenants) may have, has and asks for. Memory and disk are bytes.
  type: list
  elements: dict
  returned: when the pool was read
  contains:
    name: {description: The tenant., type: str, returned: success}
    quota: {description: "C(vcpus), C(memory), C(disk) and C(vms); V(null) without a limit.", type: dict, returned: success}
    in_use: {description: The same four of what is in the pool., type: dict, returned: success}
    asked: {description: The same four of what O(vms) ask for on top of it., type: dict, returned: success}
refused:
  description: The inventory hosts of O(vms) that must not be converged, by name.
  type: list
  elements: str
  returned: when the pool was read
table:
  description: The lines of the table that the message of a failure ends with.
  type: list
  elements: str
  returned: when something is refused
  sample:
    - "TENANT  RESOURCE  QUOTA  IN USE  ASKED  OVER BY"
    - "acme    memory    8 GiB  6 GiB   4 GiB  2 GiB"
changes:
  description: What was changed. Always empty.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota_module import run
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota_spec import quota_arguments

DEFINITION = ModuleDefinition(argument_spec={**connection_arguments(), **quota_arguments()}, run=run)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
