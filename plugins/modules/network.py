#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: network
short_description: Networks of a tenant
version_added: 0.1.0
description:
  - Makes, changes and removes one network of a tenant on a XenServer or XCP-ng pool. It is private to the VMs of one host, or a VLAN that all hosts carry.
  - The network carries marks of its tenant in C(other_config) and the tag C(tenant:NAME). A network without them is changed only with
    O(adopt=true), one of another tenant never, and neither the pool's own networks nor those of physical interfaces.
  - A network that VMs have interfaces on is never removed, and is not moved to another VLAN.
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
      - The network's name in the pool. A network that carries our marks of this name and O(tenant) is named so again, if somebody renamed it.
    type: str
    required: true
  tenant:
    description:
      - The tenant that owns the network, a DNS label.
    type: str
    required: true
  description:
    description:
      - What the pool shows as its description. Not touched when not given; empty for a new network.
    type: str
  vlan:
    description:
      - VLAN tag, from 1 to 4094. Every live host gets the VLAN on its interface O(device); hosts that joined the pool later get it in the next run.
      - Without it a new network is private, which keeps the VMs on it on one host, and an existing one stays as it is.
    type: int
  device:
    description:
      - The hosts' interface that carries the VLAN, such as V(eth1) or V(bond0). Needed where the hosts have several.
    type: str
  mtu:
    description:
      - Largest packet in bytes. V(1500) for a new network. VMs take up a change when they start the next time.
    type: int
  default_locking_mode:
    description:
      - What interfaces of VMs may do that have no locking mode of their own. V(disabled) drops all their traffic, so that each VM must be let through by name.
      - V(unlocked) for a new network. The pool does not change it while interfaces on the network are in use.
    type: str
    choices: [unlocked, disabled]
  purpose:
    description:
      - What the pool uses the network for besides VMs. V(nbd) has the hosts serve disks on it by NBD with TLS, V(insecure_nbd) without;
        one pool does one of them. An empty list takes the purpose away. The pool wants the role C(pool-admin) for it.
    type: list
    elements: str
    choices: [nbd, insecure_nbd]
  tags:
    description:
      - Tags that the network is to have, besides those that others gave it. The tag C(tenant:NAME) is always there.
    type: list
    elements: str
  adopt:
    description:
      - Take over a network of that name that carries no marks.
    type: bool
    default: false
  state:
    description:
      - V(absent) removes the network and its VLANs, if it is ours and no VM has an interface on it.
    type: str
    choices: [present, absent]
    default: present
  planned_removals:
    description:
      - Names of VMs that an earlier task of the same run removes, as M(hardshell.xen.vm) does.
      - In check mode that task removed none, so there a network with no others on it can be removed. Otherwise this changes nothing.
    type: list
    elements: str
    default: []
seealso:
  - module: hardshell.xen.vm
"""

EXAMPLES = r"""
- name: A VLAN for acme alone
  hardshell.xen.network:
    name: acme-private
    tenant: acme
    vlan: 210
    device: bond0

- name: A network between the VMs of one host, on which nothing is let through that is not named
  hardshell.xen.network:
    name: acme-backend
    tenant: acme
    default_locking_mode: disabled

- name: Remove it
  hardshell.xen.network:
    name: acme-backend
    tenant: acme
    state: absent
"""

RETURN = r"""
network:
  description:
    - The network as it is after the task, or as it would be in check mode. What only the pool can know is V(null) then.
    - V(null) after O(state=absent).
  type: dict
  returned: success
  contains:
    uuid: {description: Its UUID., type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
    description: {description: Its description., type: str, returned: success}
    tenant: {description: The tenant that owns it., type: str, returned: success}
    bridge: {description: Its bridge on the hosts., type: str, returned: success}
    vlan: {description: "Its VLAN tag, V(null) if it is private.", type: int, returned: success}
    device: {description: The interface that carries the VLAN., type: str, returned: success}
    hosts: {description: The hosts that have the VLAN., type: list, elements: str, returned: success}
    mtu: {description: Largest packet in bytes., type: int, returned: success}
    default_locking_mode: {description: V(unlocked) or V(disabled)., type: str, returned: success}
    purpose: {description: "What the pool uses it for, V(nbd) or V(insecure_nbd).", type: list, elements: str, returned: success}
    tags: {description: Its tags., type: list, elements: str, returned: success}
changes:
  description: The changes made, or in check mode to be made, in order.
  type: list
  elements: dict
  returned: success
  contains:
    action: {description: "V(create), V(update), V(adopt) or V(delete).", type: str, returned: success}
    kind: {description: "V(network) or V(vlan).", type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
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
from ansible_collections.hardshell.xen.plugins.module_utils._pool.network_facts import PURPOSES
from ansible_collections.hardshell.xen.plugins.module_utils._pool.network_module import run

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        "name": {"type": "str", "required": True},
        "tenant": {"type": "str", "required": True},
        "description": {"type": "str"},
        "vlan": {"type": "int"},
        "device": {"type": "str"},
        "mtu": {"type": "int"},
        "default_locking_mode": {"type": "str", "choices": ["unlocked", "disabled"]},
        "purpose": {"type": "list", "elements": "str", "choices": list(PURPOSES)},
        "tags": {"type": "list", "elements": "str"},
        "adopt": {"type": "bool", "default": False},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "planned_removals": {"type": "list", "elements": "str", "default": []},
    },
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
