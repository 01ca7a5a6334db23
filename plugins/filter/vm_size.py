# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The size of a VM out of the limits of its containers."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils._errors import HardshellError
from ..module_utils._tenancy import vm_size as sizes

DOCUMENTATION = r"""
name: vm_size
short_description: The vCPUs and memory of a VM, held against the limits of its containers
version_added: 0.1.0
author:
  - hardshell.xen contributors (@hardshell)
description:
  - Fails where the C(cpus) of the containers are more than the VM's vCPUs, or where their C(memory) and O(reserve) are more than its memory.
  - Computes the size of the VM from them where that is V(auto).
  - A container without a limit counts nothing against a size that is given, and makes V(auto) fail.
options:
  _input:
    description:
      - The containers by name, as option O(hardshell.xen.container_set#module:containers). No containers limit nothing.
    type: dict
    required: true
  vcpus:
    description:
      - The number of vCPUs, or V(auto) for the sum of the containers' C(cpus), rounded up.
    type: str
    required: true
  memory:
    description:
      - The memory, such as V(2GiB), or V(auto) for the sum of the containers' C(memory) and O(reserve), rounded up to a multiple of 64 MiB.
    type: str
    required: true
  reserve:
    description:
      - What is left to the guest's own system and its engine, where there are containers with a memory limit.
    type: str
    default: 256MiB
"""

EXAMPLES = r"""
- name: Say how large the VM must be
  ansible.builtin.debug:
    msg: "{{ containers | hardshell.xen.vm_size(vcpus='auto', memory='auto') }}"   # {'memory': 1073741824, 'vcpus': 2}
  vars:
    containers:
      web: {image: "shop-web:1.4", cpus: 0.5, memory: 256MiB}
      db: {image: "redis:7", cpus: 1, memory: 512MiB}
"""

RETURN = r"""
_value:
  description: The number of vCPUs as C(vcpus), and the bytes of memory as C(memory).
  type: dict
"""


def vm_size(containers: t.Any, vcpus: t.Any, memory: t.Any, reserve: t.Any = "256MiB") -> dict[str, int]:
    """``vcpus`` and ``memory`` of the VM; raises AnsibleFilterError where the containers' limits do not fit."""
    try:
        return sizes.vm_size(containers, vcpus, memory, reserve)
    except HardshellError as error:
        raise AnsibleFilterError(error.message) from error


class FilterModule:
    """The collection's filter of sizes."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"vm_size": vm_size}
