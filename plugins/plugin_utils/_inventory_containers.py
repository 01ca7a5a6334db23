# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Inventory hosts for the containers of inventory hosts, reached through those. Pure.

ansible-core has no connection into a container. But what a become plugin puts before a command can be anything: over the connection to the VM,
``docker exec`` takes the place of ``sudo``. Modules that send their program over the connection work like that, and ``raw`` does without Python;
files that are copied stay in the VM.
"""

from __future__ import annotations

import re
import typing as t

from ._inventory_hosts import Host
from ._inventory_names import Claim, group_names, host_names

GROUP = "containers"
_VIA_DOCKER = {
    "ansible_become": True,
    "ansible_become_method": "ansible.builtin.sudo",
    "ansible_become_user": "",
    "ansible_become_flags": "",
    "ansible_pipelining": True,
}
Facts = dict[str, t.Any]


def container_hosts(vms: t.Sequence[Host]) -> tuple[Host, ...]:
    """A host for each running container that is published of VMs.

    A container is in no group of its VM's: what is set for those, such as a tenant's name, is meant for VMs.
    """
    pairs = [(vm, each) for vm in vms for each in vm.variables["xapi_containers"] if _is_reachable(each)]
    claims = [Claim(vm.name, True, vm.variables["xapi_vm"]["uuid"], vm.variables["xapi_pool"]) for vm in vms]
    claims += [Claim(_name(vm, each), False, each["id"], vm.variables["xapi_pool"]) for vm, each in pairs]
    names = host_names(claims)[len(vms) :]
    keys = [_groups(vm, each) for vm, each in pairs]
    groups = group_names(key for those in keys for key in those)
    return tuple(
        Host(name, _variables(vm, each), (GROUP, *(groups[key] for key in those)))
        for name, (vm, each), those in zip(names, pairs, keys, strict=True)
    )


def _is_reachable(container: Facts) -> bool:
    """What a guest has written into its pool must not become a part of a command, but for a plain id."""
    return container["state"] == "running" and re.fullmatch(r"[0-9a-f]{12,64}", container["id"]) is not None


def _name(vm: Host, container: Facts) -> str:
    """The name of a container begins with that of its set, and that is often the VM's already."""
    own = f"{vm.name}_"
    return own + container["name"].removeprefix(own)


def _variables(vm: Host, container: Facts) -> dict[str, t.Any]:
    through: Facts = {name: vm.variables[name] for name in ("ansible_host", "vm_ssh_host_key") if name in vm.variables}
    return {
        **through,
        **_VIA_DOCKER,
        "ansible_become_exe": f"docker exec -i {container['id']}",
        "xapi_container": container,
        "xapi_container_vm": vm.name,
        "xapi_pool": vm.variables["xapi_pool"],
    }


def _groups(vm: Host, container: Facts) -> list[tuple[str, str]]:
    tenant = vm.variables["xapi_vm"]["tenant"]
    return [
        ("container_vm", vm.name),
        ("container_image", container["image"]),
        *([("container_tenant", tenant)] if tenant else []),
    ]
