#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_snapshot
short_description: Snapshots of a tenant's virtual machine
version_added: 0.1.0
description:
  - Takes, removes and returns to snapshots of one VM of a tenant on a XenServer or XCP-ng pool, and removes old ones by number and age.
  - Works on VMs that carry our marks of O(tenant) and O(host) only.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.attributes
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
attributes:
  idempotent:
    description: When run twice in a row with the same arguments, the second run reports no change.
    support: partial
    details:
      - O(state=reverted) reverts on each run, since the VM changes as soon as it runs.
options:
  name:
    description:
      - The VM's name in the pool. A VM that carries our marks is found under another name too.
    type: str
    required: true
  tenant:
    description:
      - The tenant that owns the VM.
    type: str
    required: true
  host:
    description:
      - The inventory host that the VM is. Defaults to O(name).
    type: str
  uuid:
    description:
      - UUID of the VM, where several carry the same marks.
    type: str
  snapshot:
    description:
      - The snapshot's name, or the UUID of one that is there.
    type: str
    required: true
  description:
    description:
      - What the pool shows as its description. Not looked at once it is taken.
    type: str
  memory:
    description:
      - Keep the memory too, so that a revert brings the VM back as it ran. XAPI calls this a checkpoint; the VM stands still while it is taken.
      - Not looked at once it is taken.
    type: bool
    default: false
  keep_last:
    description:
      - With O(state=present), remove older snapshots of the VM, but keep so many, O(snapshot) among them.
      - Only snapshots that this module took are counted and removed. With O(keep_for) too, a snapshot stays that either of them keeps.
    type: int
  keep_for:
    description:
      - With O(state=present), remove older snapshots of the VM, but keep those of this time, such as V(12h), V(14d) or V(8w).
      - Only snapshots that this module took are removed.
    type: str
  allow_power_cycle:
    description:
      - With O(state=reverted), turn off a VM that is not halted. What it is doing is lost. If it was running, it is started or resumed afterwards.
    type: bool
    default: false
  state:
    description:
      - V(present) takes the snapshot, if the VM has none of that name.
      - V(absent) removes it with its disks, whoever took it.
      - V(reverted) brings the VM's disks and settings back to the snapshot. It is halted then, or suspended if the memory was kept. Disks that were
        added since stay unattached, and the VM's UUID, tags and marks of its owner stay as they are.
    type: str
    choices: [present, absent, reverted]
    default: present
seealso:
  - module: hardshell.xen.vm
  - module: hardshell.xen.vm_info
"""

EXAMPLES = r"""
- name: Take a snapshot before an update
  hardshell.xen.vm_snapshot:
    name: acme-shop
    tenant: acme
    snapshot: before-update

- name: Take one a night, keep a week of them and never less than three
  hardshell.xen.vm_snapshot:
    name: acme-shop
    tenant: acme
    snapshot: "nightly-{{ lookup('ansible.builtin.pipe', 'date +%F') }}"
    keep_last: 3
    keep_for: 7d

- name: Go back
  hardshell.xen.vm_snapshot:
    name: acme-shop
    tenant: acme
    snapshot: before-update
    state: reverted
    allow_power_cycle: true

- name: Remove it
  hardshell.xen.vm_snapshot:
    name: acme-shop
    tenant: acme
    snapshot: before-update
    state: absent
"""

RETURN = r"""
snapshot:
  description:
    - The snapshot as it is after the task, or as it would be in check mode. What only the pool can know is V(null) then.
    - V(null) after O(state=absent).
  type: dict
  returned: success
  contains:
    name: {description: Its name., type: str, returned: success}
    uuid: {description: Its UUID., type: str, returned: success}
    description: {description: Its description., type: str, returned: success}
    taken: {description: "When it was taken, in ISO 8601.", type: str, returned: success, sample: "2026-05-12T09:05:07Z"}
    memory: {description: Whether it holds the memory too., type: bool, returned: success}
changes:
  description: The changes made, or in check mode to be made, in order.
  type: list
  elements: dict
  returned: success
  contains:
    action: {description: "As V(create), V(delete), V(revert) or V(start).", type: str, returned: success}
    kind: {description: "V(snapshot) or V(vm).", type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
    before: {description: As it was., type: raw, returned: when there was something}
    after: {description: As it is., type: raw, returned: when there is something}
    reason: {description: Why., type: str, returned: when it is not plain}
journal:
  description: What was done of the changes, with seconds.
  type: list
  elements: dict
  returned: when something was changed
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.snapshot_module import run

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        "name": {"type": "str", "required": True},
        "tenant": {"type": "str", "required": True},
        "host": {"type": "str"},
        "uuid": {"type": "str"},
        "snapshot": {"type": "str", "required": True},
        "description": {"type": "str"},
        "memory": {"type": "bool", "default": False},
        "keep_last": {"type": "int"},
        "keep_for": {"type": "str"},
        "allow_power_cycle": {"type": "bool", "default": False},
        "state": {"type": "str", "choices": ["present", "absent", "reverted"], "default": "present"},
    },
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
