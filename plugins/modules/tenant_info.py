#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tenant_info
short_description: Tell who has what in a pool, and what is wrong with it
version_added: 0.1.0
description:
  - Tells of the tenants of a XenServer or XCP-ng pool which VMs they have and what those take, which containers are in them and on which host they
    are, and what is amiss. Changes nothing.
  - Asks the pool alone, in the same four calls however much there is. The containers are those that M(hardshell.xen.container_publish), or xscontainer,
    has published, as they were then; M(hardshell.xen.container_set_info) asks an engine.
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
      - Tell of these tenants only, and hold what they have against their quotas. Without it, all that own something are told of.
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
seealso:
  - module: hardshell.xen.tenant_quota
  - module: hardshell.xen.vm_info
  - module: hardshell.xen.pool_info
  - module: hardshell.xen.container_publish
"""

EXAMPLES = r"""
- name: Look at everyone
  hardshell.xen.tenant_info:
  register: pool

- name: Say where the containers of one image are, and whose they are
  ansible.builtin.debug:
    msg: "{{ pool.containers | selectattr('image', 'equalto', 'redis:7') | map(attribute='tenant') | unique }}"

- name: Say who is hit when a host is lost
  ansible.builtin.debug:
    msg: "{{ pool.containers | selectattr('host', 'equalto', 'xen1') | groupby('tenant') }}"

- name: Hold acme against its quota
  hardshell.xen.tenant_info:
    tenants:
      - {name: acme, vcpus: 8, memory: 8GiB, disk: 100GiB, vms: 4}
  register: acme

- name: Fail for what is grave
  ansible.builtin.assert:
    that: acme.findings | selectattr('severity', 'equalto', 'high') | length == 0
    fail_msg: "{{ acme.findings }}"
"""

RETURN = r"""
tenants:
  description: The tenants by name.
  type: list
  elements: dict
  returned: success
  contains:
    name: {description: The tenant., type: str, returned: success}
    quota: {description: "C(vcpus), C(memory), C(disk) and C(vms); V(null) without a limit. Memory and disk are bytes.", type: dict, returned: success}
    in_use:
      description: The same four of what it has, counted as M(hardshell.xen.tenant_quota) does.
      type: dict
      returned: success
    vms:
      description: Its VMs by name.
      type: list
      elements: dict
      returned: success
      contains:
        uuid: {description: Its UUID., type: str, returned: success}
        name: {description: Its name., type: str, returned: success}
        inventory_host: {description: The inventory host that it is., type: str, returned: success}
        host: {description: The host that it runs on; V(null) for a halted VM., type: str, returned: success}
        power_state: {description: Its power state., type: str, returned: success}
        vcpus: {description: How many vCPUs it has., type: int, returned: success}
        memory: {description: "Its memory, in bytes.", type: int, returned: success}
        disk: {description: "The size of its disks together, in bytes.", type: int, returned: success}
        address: {description: The address at which it is reached., type: str, returned: success}
        ssh_host_key: {description: "Its public SSH host key, where one was made for it.", type: str, returned: success}
        containers:
          description: What is published of its containers, with the keys of RV(hardshell.xen.container_publish#module:published.containers).
          type: list
          elements: dict
          returned: success
containers:
  description: Where each container is.
  type: list
  elements: dict
  returned: success
  contains:
    name: {description: Its name., type: str, returned: success}
    id: {description: Its id., type: str, returned: success}
    image: {description: The image that it was made from., type: str, returned: success}
    state: {description: Its state., type: str, returned: success}
    health: {description: Its health., type: str, returned: success}
    vm: {description: The VM that it is in., type: str, returned: success}
    inventory_host: {description: The inventory host that the VM is., type: str, returned: success}
    host: {description: The host that the VM runs on., type: str, returned: success}
    tenant: {description: The tenant that owns the VM., type: str, returned: success}
findings:
  description: What is wrong, the gravest first.
  type: list
  elements: dict
  returned: success
  contains:
    id:
      description:
        - What kind of finding it is. V(privileged-container) and V(foreign-container), which is in a VM of another tenant; V(unreadable-containers),
          what is published cannot be read; V(too-small-vm) for the memory limits of the containers in it; V(unlocked-interface), on a network where
          VMs of others are too; V(config-drive), still attached to a running VM; V(without-ha), in a pool that has it; V(same-host), for an
          anti-affinity group; V(over-quota); V(unfinished-vm), left by a run that was cut off; V(copied-vm), a copy that carries a tenant's marks and is
          nobody's; V(loose-disk), one that no VM holds and that is not marked to be kept; V(unverified-pool), when O(xapi_validate_certs=false).
        - For the pool as a whole those of RV(hardshell.xen.pool_info#module:findings).
      type: str
      returned: success
    severity: {description: "V(high), V(medium) or V(low).", type: str, returned: success}
    tenant: {description: Whose it is; V(null) for the pool as a whole., type: str, returned: success}
    where: {description: What it is about., type: str, returned: success}
    what: {description: What is wrong., type: str, returned: success}
    mend: {description: What to do., type: str, returned: success}
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota_spec import quota_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.tenant_info_module import run

DEFINITION = ModuleDefinition(
    argument_spec={**connection_arguments(), "tenants": quota_arguments()["tenants"]},
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
