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
  - Reads the container sets of one Docker Engine, their members, links, health, ports and images, and what the engine is. Changes nothing.
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
  definition:
    description:
      - Tell also how each set would be written, as options of M(hardshell.xen.container_set), and what no set holds and could be adopted.
      - The values of the environment are in it, since without them it would be another definition. Set C(no_log) where they are secret.
    type: bool
    default: false
seealso:
  - module: hardshell.xen.container_set
  - module: hardshell.xen.container_publish
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

- name: Read how what was made by other means would be written
  hardshell.xen.container_set_info:
    docker_host: ssh://root@10.0.210.11
    definition: true
  no_log: true
  register: engine

- name: Keep it for the inventory, in a file that nobody else reads
  ansible.builtin.copy:
    content: "{{ engine.adoptable | to_nice_yaml }}"
    dest: shop.yml
    mode: "0600"
  delegate_to: localhost
  no_log: true

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
    - With O(definition=true) each set has C(definition) and C(left_out) too, as in RV(adoptable).
  returned: success
  type: list
  elements: dict
findings:
  description:
    - What opens the VM to a container of a set, or a container to others, as far as options say it, the gravest first. Privileged mode, namespaces of the VM,
      the engine's socket, disks of the VM, added capabilities, protection that is taken away, data stores published on every address.
  returned: success
  type: list
  elements: dict
  contains:
    id: {description: What kind of finding it is., type: str, returned: success, sample: engine-socket}
    severity: {description: 'V(high), V(medium) or V(low).', type: str, returned: success}
    tenant: {description: Whose it is., type: str, returned: success}
    where: {description: "The container, or the engine.", type: str, returned: success, sample: container shop_web}
    what: {description: What is so., type: str, returned: success}
    mend: {description: How to mend it., type: str, returned: success}
adoptable:
  description:
    - What no set holds. An entry for each project of Compose, and one with an empty C(name) for the containers that run beside them.
    - C(definition) holds options of M(hardshell.xen.container_set) (C(containers), C(network) and, where there are any, C(volumes)) which, with
      O(hardshell.xen.container_set#module:adopt=true) and C(name) for the name of the set, change nothing of the containers but whose they are and their
      networks. C(left_out) says, a line each, what no option can say.
  returned: O(definition=true)
  type: list
  elements: dict
  contains:
    name: {description: 'What a set of it is to be called; any name will do where this is empty.', type: str, returned: always}
    project: {description: 'The project, as Compose calls it.', type: str, returned: always}
    containers: {description: Names of the containers., type: list, elements: str, returned: always}
    definition: {description: Options of M(hardshell.xen.container_set)., type: dict, returned: always}
    left_out: {description: What the definition does not say., type: list, elements: str, returned: always}
engine:
  description:
    - The engine, and every container of it, whether of a set or not, in the engine's own words. M(hardshell.xen.container_publish) takes it.
  returned: success
  type: dict
  contains:
    containers:
      description:
        - Entries of C(GET /containers/json) by name, with the keys C(Id), C(Names), C(Image), C(ImageID), C(Command), C(Created), C(State), C(Status),
          C(Ports), C(Labels) and C(HostConfig).
        - Of C(Command) there is the program without its arguments, and of C(Labels) those of this collection, since the rest may hold secrets.
          C(HostConfig) of a member that this task looked at has C(Memory), C(NanoCpus) and C(Privileged) besides C(NetworkMode).
      type: list
      elements: dict
      returned: success
    info: {description: What of C(GET /info) stays as long as it is the same engine., type: dict, returned: success}
    version: {description: The same of C(GET /version)., type: dict, returned: success}
"""

import typing as t

from ansible_collections.hardshell.xen.plugins.module_utils._engine.transport import TRANSPORT_ARGUMENTS, connect
from ansible_collections.hardshell.xen.plugins.module_utils._module import Context, ModuleDefinition, run_as_module


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    from ansible_collections.hardshell.xen.plugins.module_utils._engine.adoptable import report_adoptable
    from ansible_collections.hardshell.xen.plugins.module_utils._engine.report import report_sets

    name, tenant, definition = parameters["name"], parameters["tenant"], parameters["definition"]
    with connect(parameters, warn=context.warn) as engine:
        told = report_sets(engine, name, tenant, usage=parameters["usage"], definition=definition)
        more = {"adoptable": report_adoptable(engine, name)} if definition else {}
    return {"changed": False, **told, **more}


DEFINITION = ModuleDefinition(
    argument_spec={
        **TRANSPORT_ARGUMENTS,
        "name": {"type": "str"},
        "tenant": {"type": "str"},
        "usage": {"type": "bool", "default": False},
        "definition": {"type": "bool", "default": False},
    },
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
