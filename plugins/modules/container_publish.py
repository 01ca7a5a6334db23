#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_publish
short_description: Show the containers of a virtual machine in its pool
version_added: 0.1.0
description:
  - Publishes what the engine in a VM reports at the VM, in the C(other_config) keys C(docker_ps), C(docker_info), C(docker_version) and
    C(xscontainer-monitor), where Xen Orchestra and XenCenter look for containers.
  - The keys are those of xscontainer, the extension of XenServer's control domain, which is not needed for this, and which XenServer 8.2 and XCP-ng 8.2
    no longer have. Without it, a client that offers to start or stop a container is refused by the pool.
  - It is the state at the time of the task. What changes all the time is left out, so that a second run changes nothing as long as the containers are the same.
  - Works on VMs that carry our marks of O(tenant) and O(host), unless O(adopt) is set. Other keys of the VM stay as they are.
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
      - UUID of the VM, where several have the same name or carry the same marks.
    type: str
  adopt:
    description:
      - Publish at a VM of this name too that carries no marks. It is not marked by that.
    type: bool
    default: false
  engine:
    description:
      - What the engine reports, as M(hardshell.xen.container_set) and M(hardshell.xen.container_set_info) return it in C(engine).
      - Needed for O(state=present).
    type: dict
    suboptions:
      containers:
        description:
          - The containers, as entries of C(GET /containers/json) of the Docker API. Those of another collection, such as C(containers) of
            C(community.docker.docker_host_info) with C(verbose_output), will do.
          - Published are their id, name, image, state, health, ports and the time they were made; of the command the program without its arguments; of
            the labels those of this collection; and the network mode, limits and privilege from C(HostConfig).
          - All of them together are at most 64 KiB. What goes beyond is left out, by name, with a warning.
        type: list
        elements: dict
        required: true
      info:
        description:
          - The answer to C(GET /info), of which C(docker_info) has what stays as long as it is the same engine. The key stays as it is when not given.
        type: dict
      version:
        description:
          - The same of C(GET /version), for C(docker_version).
        type: dict
  state:
    description:
      - V(absent) takes the keys back.
    type: str
    choices: [present, absent]
    default: present
notes:
  - Everyone who may read the pool can read what is published. No environment is, and no argument of a command.
  - A container announced by a task in check mode has no id yet. It is accepted in check mode only.
seealso:
  - module: hardshell.xen.container_set
  - module: hardshell.xen.container_set_info
  - module: hardshell.xen.tenant_info
"""

EXAMPLES = r"""
- name: See what runs in the VM
  hardshell.xen.container_set_info:
    docker_host: ssh://hardshell@10.0.210.11
  register: shop

- name: Show it in the pool
  hardshell.xen.container_publish:
    name: acme-shop
    tenant: acme
    engine: "{{ shop.engine }}"

- name: Take it back
  hardshell.xen.container_publish:
    name: acme-shop
    tenant: acme
    state: absent
"""

RETURN = r"""
published:
  description:
    - What is published after the task, or would be after a run without check mode. V(null) after O(state=absent).
  type: dict
  returned: success
  contains:
    vm: {description: The VM's name., type: str, returned: success}
    uuid: {description: The VM's UUID., type: str, returned: success}
    containers:
      description: The containers by name. What was not told is V(null).
      type: list
      elements: dict
      returned: success
      contains:
        id: {description: Its id., type: str, returned: success}
        name: {description: Its name., type: str, returned: success, sample: shop_web}
        image: {description: The image that it was made from., type: str, returned: success, sample: "shop-web:1.4"}
        image_id: {description: The image's id., type: str, returned: success}
        command: {description: The program that it runs., type: str, returned: success}
        created: {description: "When it was made, in seconds of Unix time.", type: int, returned: success}
        state: {description: "V(created), V(running), V(paused), V(restarting), V(exited), V(removing) or V(dead).", type: str, returned: success}
        status: {description: The same as clients know it., type: str, returned: success, sample: "Exited (1)"}
        health: {description: "V(none), V(starting), V(healthy) or V(unhealthy).", type: str, returned: success}
        ports: {description: Its ports as Docker prints them., type: list, elements: str, returned: success, sample: ["0.0.0.0:8080->80/tcp"]}
        set: {description: The container set that it is a member of., type: str, returned: success}
        member: {description: Its name in the set., type: str, returned: success}
        tenant: {description: The tenant of the set., type: str, returned: success}
        links: {description: Its links., type: list, elements: str, returned: success, sample: [api]}
        memory: {description: "Its memory limit in bytes, 0 without one.", type: int, returned: success}
        cpus: {description: "How many CPUs it may use, 0 without a limit.", type: float, returned: success}
        privileged: {description: Whether it is privileged., type: bool, returned: success}
    info: {description: What C(docker_info) says of the engine., type: dict, returned: success}
    version: {description: What C(docker_version) says of the engine., type: dict, returned: success}
    left_out: {description: How many containers there was no room for., type: int, returned: success}
changes:
  description: The changes made, or in check mode to be made, in order, one a key.
  type: list
  elements: dict
  returned: success
  contains:
    action: {description: "V(create), V(update) or V(delete).", type: str, returned: success}
    kind: {description: V(published)., type: str, returned: success}
    name: {description: The key., type: str, returned: success}
    before: {description: "As it was. Of C(docker_ps), the containers that differ, by name.", type: raw, returned: when there was something}
    after: {description: As it is., type: raw, returned: when there is something}
    reason: {description: What differs and is not shown., type: str, returned: where that is so}
journal:
  description: What was done of the changes, with seconds.
  type: list
  elements: dict
  returned: when something was changed
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.publish_module import run

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        "name": {"type": "str", "required": True},
        "tenant": {"type": "str", "required": True},
        "host": {"type": "str"},
        "uuid": {"type": "str"},
        "adopt": {"type": "bool", "default": False},
        "engine": {
            "type": "dict",
            "options": {
                "containers": {"type": "list", "elements": "dict", "required": True},
                "info": {"type": "dict"},
                "version": {"type": "dict"},
            },
        },
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    },
    required_if=[["state", "present", ["engine"]]],
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
