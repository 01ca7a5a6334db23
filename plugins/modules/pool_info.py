#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_info
short_description: Tell of a pool's hosts, capacity, features and security
version_added: 0.1.0
description:
  - Reads what a XenServer or XCP-ng pool is made of, what of it is used and free, what its licence allows, and what is not as it should be
    in a pool that holds tenants. Changes nothing.
  - Takes the same four calls however large the pool is. All sizes are bytes.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.attributes.info
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
seealso:
  - module: hardshell.xen.vm_info
"""

EXAMPLES = r"""
- name: Look at the pool
  hardshell.xen.pool_info:
  register: pool

- name: Refuse to go on in a pool that is not safe for tenants
  ansible.builtin.assert:
    that: pool.findings | selectattr('severity', 'equalto', 'high') | length == 0
    fail_msg: "{{ pool.findings }}"

- name: See that a VM of 16 GiB fits on some host
  ansible.builtin.assert:
    that: pool.hosts | map(attribute='memory.free') | max > 16 * 1024 ** 3
"""

RETURN = r"""
pool:
  description: The pool itself.
  type: dict
  returned: success
  contains:
    uuid: {description: Its UUID., type: str, returned: success}
    name: {description: "Its name, which may be empty.", type: str, returned: success}
    description: {description: Its description., type: str, returned: success}
    coordinator: {description: Name of the host that coordinates it., type: str, returned: success}
    default_sr: {description: Name of its default storage repository., type: str, returned: success}
    suspend_sr: {description: Name of the storage repository for suspended VMs., type: str, returned: success}
    ha:
      description: "High availability: C(enabled), C(failures_to_tolerate) and C(plan_exists_for), both numbers of hosts."
      type: dict
      returned: success
    tls_verification: {description: Whether its hosts verify each other's certificates., type: bool, returned: success}
hosts:
  description: Its hosts, by name.
  type: list
  elements: dict
  returned: success
  contains:
    uuid: {description: Its UUID., type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
    address: {description: Its management address., type: str, returned: success}
    coordinator: {description: Whether it coordinates the pool., type: bool, returned: success}
    enabled: {description: Whether VMs may be started on it., type: bool, returned: success}
    live: {description: Whether the pool hears of it., type: bool, returned: success}
    cpus: {description: Number of physical CPUs., type: int, returned: success}
    vcpus: {description: Number of virtual CPUs of the VMs on it., type: int, returned: success}
    vms: {description: Number of VMs on it., type: int, returned: success}
    memory:
      description: C(total), C(used) and C(free). Free is what a new VM can have, with the others at the least of their range.
      type: dict
      returned: success
    versions: {description: "C(product), C(version), C(xapi), C(xen), C(linux), C(db_schema) and the build's C(date).", type: dict, returned: success}
    https_only: {description: "Whether XAPI answers on TLS only, V(null) where the pool does not tell.", type: bool, returned: success}
    ssl_legacy: {description: Whether it accepts old versions of TLS., type: bool, returned: success}
    pending_guidances: {description: What is to be done before installed updates take effect., type: list, elements: str, returned: success}
storage:
  description: Its storage repositories, by name.
  type: list
  elements: dict
  returned: success
  contains:
    uuid: {description: Its UUID., type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
    type: {description: "Its type, as V(nfs).", type: str, returned: success}
    content: {description: "What it is for, as V(user) or V(iso).", type: str, returned: success}
    shared: {description: Whether all hosts share it., type: bool, returned: success}
    default: {description: Whether it is the pool's default., type: bool, returned: success}
    hosts: {description: The hosts that it is attached to., type: list, elements: str, returned: success}
    space:
      description: C(total), C(used) and C(free) of what is physically there, and C(allocated), the virtual sizes of its disks.
      type: dict
      returned: success
networks:
  description: Its networks, by name. Each has the keys of RV(hardshell.xen.network#module:network), and those below.
  type: list
  elements: dict
  returned: success
  contains:
    interfaces: {description: Number of interfaces of VMs on it., type: int, returned: success}
certificates:
  description: The certificates that its hosts show and trust.
  type: list
  elements: dict
  returned: success
  contains:
    name: {description: Its name., type: str, returned: success}
    type: {description: "What it is for, as V(host), V(host_internal) or V(ca).", type: str, returned: success}
    host: {description: "The host that shows it, V(null) for one that is trusted.", type: str, returned: success}
    fingerprint: {description: Its SHA-256 fingerprint., type: str, returned: success}
    not_before: {description: "From when it is valid, in ISO 8601.", type: str, returned: success}
    not_after: {description: Until when it is valid., type: str, returned: success}
features:
  description: What the licence knows, and whether it allows it.
  type: dict
  returned: success
  sample: {checkpoint: true, vif_locking: true, vm_groups: false}
restrictions:
  description: What the licence does not allow.
  type: list
  elements: str
  returned: success
  sample: [vm_groups]
capacity:
  description:
    - The sums of what VMs can use, of hosts that are live and enabled and of storage for disks that is attached.
    - Has C(hosts), C(cpus), C(vcpus), C(vms), and C(memory) and C(disk) with C(total), C(used) and C(free) each.
  type: dict
  returned: success
findings:
  description: What is not as it should be, the gravest first.
  type: list
  elements: dict
  returned: success
  contains:
    id: {description: What kind of finding it is., type: str, returned: success, sample: XSA-489}
    severity: {description: "V(high), V(medium) or V(low).", type: str, returned: success}
    where: {description: The host or the pool., type: str, returned: success}
    what: {description: What was found., type: str, returned: success}
    mend: {description: What to do., type: str, returned: success}
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_info_module import run

DEFINITION = ModuleDefinition(argument_spec=connection_arguments(), run=run)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
