#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: usage_info
short_description: Tell what virtual machines and tenants used
version_added: 0.1.0
description:
  - Sums up what a XenServer or XCP-ng pool measured of virtual machines over a time, one by one and by tenant, such as to bill it. Changes nothing.
  - The figures come from XAPI's own archives (RRDs). It keeps rows of 5 seconds for ten minutes, of a minute for two hours, of an hour for a week, and of
    a day for a year, and this module takes for each moment the finest of them that reaches back to it. So a start or a stop of a VM is seen
    to the minute when it was less than two hours ago, to the hour within a week, and to the day before that. A row of which less than half was
    measured counts nothing, any other counts whole.
  - A VM's figures go with it to another host, and stay when it is halted. They go when it is destroyed, so ask before that.
  - Takes at most four requests to each host on which one of the VMs runs, however many do, and one for each VM that does not run. A host that cannot be
    asked, as one that is down, costs the figures of its own VMs and a warning.
  - Of several filters all must fit. The account needs no more than the role C(read-only).
author:
  - hardshell.xen contributors (@hardshell)
options:
  since:
    description:
      - The begin of the time, in ISO 8601 such as V(2026-05-01T00:00:00Z), or how long before its end, with a unit of C(s), C(m), C(h), C(d) or C(w).
      - A time without a zone is in UTC. XAPI keeps nothing for longer than a year.
    type: str
    default: 24h
  until:
    description:
      - The end of the time, in the same form; a length counts back from now. Now, by the clock of the pool's coordinator, when not given.
    type: str
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.vm_filter
  - hardshell.xen.attributes.info
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
seealso:
  - module: hardshell.xen.tenant_info
  - module: hardshell.xen.vm_info
"""

EXAMPLES = r"""
- name: Ask what each tenant used in April
  hardshell.xen.usage_info:
    since: "2026-04-01"
    until: "2026-05-01"
  register: april

- name: Show the hours of CPUs and the gibibyte-hours of memory
  ansible.builtin.debug:
    msg: >-
      {{ item.name }}: {{ (item.usage.cpu_seconds / 3600) | round(1) }} h,
      {{ (item.usage.memory_byte_hours / 1024 ** 3) | round(1) }} GiB h{{ '' if item.complete else ', and more that is not known' }}
  loop: "{{ april.tenants }}"
  loop_control:
    label: "{{ item.name }}"

- name: See how busy the shop was in the last hour
  hardshell.xen.usage_info:
    since: 1h
    inventory_hosts: [acme-shop]
"""

RETURN = r"""
since:
  description: The begin of the time that the figures are of.
  type: str
  returned: success
  sample: "2026-04-01T00:00:00Z"
until:
  description: Its end.
  type: str
  returned: success
  sample: "2026-05-01T00:00:00Z"
vms:
  description: The VMs, by name.
  type: list
  elements: dict
  returned: success
  contains:
    name: {description: Its name., type: str, returned: success}
    uuid: {description: Its UUID., type: str, returned: success}
    tenant: {description: "Whose it is by our marks, V(null) where it has none.", type: str, returned: success}
    inventory_host: {description: "Which inventory host it is by our marks, V(null) where it has none.", type: str, returned: success}
    power_state: {description: Its power state now., type: str, returned: success}
    host: {description: "The host that it is on now, V(null) where it is on none.", type: str, returned: success}
    disk_bytes: {description: "The virtual sizes of its disks now, in bytes, without its config drive and snapshots.", type: int, returned: success}
    usage:
      description: What it used. V(null) where the host that knows could not be asked.
      type: dict
      returned: success
      contains:
        measured_seconds:
          description: For how many seconds of the time something was measured, which is as long as it ran.
          type: int
          returned: success
        cpu_seconds:
          description: Seconds of physical CPUs, over all of its vCPUs.
          type: float
          returned: success
        memory_byte_hours:
          description: The memory that it had, in bytes times hours. Divided by 1073741824 it is in GiB-hours.
          type: int
          returned: success
        disk_read_bytes: {description: Bytes that it read from its disks., type: int, returned: success}
        disk_written_bytes: {description: Bytes that it wrote to its disks., type: int, returned: success}
        network_received_bytes: {description: Bytes that came into the guest over all of its interfaces., type: int, returned: success}
        network_sent_bytes: {description: Bytes that the guest sent., type: int, returned: success}
tenants:
  description: The sums of the VMs above that are a tenant's, by its name.
  type: list
  elements: dict
  returned: success
  contains:
    name: {description: The tenant., type: str, returned: success}
    vms: {description: How many VMs were summed up., type: int, returned: success}
    complete: {description: "Whether all of them could be. V(false) where RV(vms[].usage) of one is V(null).", type: bool, returned: success}
    usage: {description: "The sums, with the keys of RV(vms[].usage).", type: dict, returned: success}
    disk_bytes: {description: "The virtual sizes of their disks now, in bytes, each disk once.", type: int, returned: success}
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.usage_module import run
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_filter import filter_arguments

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        **filter_arguments(),
        "since": {"type": "str", "default": "24h"},
        "until": {"type": "str"},
    },
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
