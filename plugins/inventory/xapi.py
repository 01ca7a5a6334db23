# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin ``hardshell.xen.xapi``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: xapi
short_description: Inventory of the virtual machines of XenServer and XCP-ng pools
version_added: 0.1.0
author:
  - hardshell.xen contributors (@hardshell)
description:
  - Reads virtual machines straight from XAPI, of one pool or of several at the same time, in the same few calls however many there are.
  - A VM's facts are in the host variable C(xapi_vm), with the keys of RV(hardshell.xen.vm_info#module:vms); C(xapi_pool) names its pool,
    C(ansible_host) is the address that O(ansible_host) chooses, and C(vm_ssh_host_key) the public SSH host key that M(hardshell.xen.vm) made for it.
  - What M(hardshell.xen.container_publish), or xscontainer, has published of a VM's containers is in C(xapi_containers), with the keys of
    RV(hardshell.xen.container_publish#module:published.containers). What cannot be read of it is a warning.
  - Needs a file whose name ends in C(xapi.yml), C(xapi.yaml), C(xen.yml) or C(xen.yaml). Its connection options and filters may be templates.
  - A pool that cannot be read is a warning, and the others are still there; with O(strict=true), and where no pool can be read, it is an error.
  - Of several VMs that would have the same name, one that carries our mark keeps it, and the others get the first digits of their UUID added.
    A name does not depend on the order in which the pools answer. A VM that is called V(all), V(ungrouped) or V(localhost) gets digits added too.
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description:
      - The name of this plugin, V(hardshell.xen.xapi).
    type: str
    required: true
    choices: [hardshell.xen.xapi]
  pools:
    description:
      - Several pools. Each entry may have C(name) and the connection options of this plugin, which take the place of those at the top of the file.
      - Without it, there is one pool, which the options at the top of the file name.
    type: list
    elements: dict
    default: []
  xapi_host:
    description:
      - Members of the pool, tried in this order until one answers. Each is a host name or address, V(host:port), or an C(https) URL.
    type: list
    elements: str
    env:
      - name: XAPI_HOST
  xapi_username:
    description:
      - The account to log in with. A read-only one is enough.
    type: str
    default: root
    env:
      - name: XAPI_USERNAME
  xapi_password:
    description:
      - Its password. Needed unless O(xapi_session) is given.
    type: str
    env:
      - name: XAPI_PASSWORD
  xapi_ca_path:
    description:
      - A PEM file with the CA certificates that the pool's certificates are verified against, instead of the system's.
    type: path
    env:
      - name: XAPI_CA_PATH
  xapi_fingerprint:
    description:
      - SHA-256 fingerprints of the certificates that are accepted, one for each pool member that may answer.
    type: list
    elements: str
    env:
      - name: XAPI_FINGERPRINT
  xapi_validate_certs:
    description:
      - Whether to verify the pool's certificate. With V(false) anybody on the way can read the password, and a warning says so.
    type: bool
    default: true
    env:
      - name: XAPI_VALIDATE_CERTS
  xapi_session:
    description:
      - A session made by M(hardshell.xen.session), used instead of logging in.
    type: str
    env:
      - name: XAPI_SESSION
  xapi_timeout:
    description:
      - Seconds to wait for the connection and for the answer to one call.
    type: int
    default: 60
    env:
      - name: XAPI_TIMEOUT
  filters:
    description:
      - Only VMs that fit. The names and meanings are those of the filters of M(hardshell.xen.vm_info), applied in the pool where it can.
    type: dict
    default: {}
    suboptions:
      names: {description: Names or shell patterns., type: list, elements: str}
      uuids: {description: UUIDs., type: list, elements: str}
      tenants: {description: Tenants., type: list, elements: str}
      inventory_hosts: {description: Inventory hosts that VMs are marked as., type: list, elements: str}
      tags: {description: Tags that they all have., type: list, elements: str}
      folder: {description: A folder that they are in or below., type: str}
      power_states: {description: Power states., type: list, elements: str}
      expression: {description: An expression of XAPI that must hold., type: str}
  hostnames:
    description:
      - What a host is named after, the first that a VM has. V(inventory_host) is the mark of M(hardshell.xen.vm), so that a VM is the same host here as
        in the inventory that it was made from.
    type: list
    elements: str
    choices: [inventory_host, name, uuid]
    default: [inventory_host, name]
  group_by:
    description:
      - Which groups are made. V(tenant) makes groups such as C(tenant_acme), V(host) of the hosts that VMs run on such as C(host_xen1), V(tag) such as
        C(tag_gold), V(state) such as C(state_running), V(folder) such as C(folder_shop) with C(folder_shop_web) in it, and V(pool) such as C(pool_xen1).
      - Characters that Ansible does not allow in a group become underscores. Values that become the same group by that are told apart by a sum at the end.
    type: list
    elements: str
    choices: [tenant, host, tag, state, folder, pool]
    default: [tenant, host, tag, state, folder, pool]
  ansible_host:
    description:
      - Rules that choose the address to connect to, the most wanted first. The first rule that any address fits gives it; where none does,
        C(ansible_host) is not set.
      - Without rules it is the first address that is not link-local, in the order of the interfaces, IPv4 before IPv6.
    type: list
    elements: dict
    default: []
    suboptions:
      network: {description: "The address is in this network, such as V(10.1.0.0/16).", type: str}
      nic: {description: The address is on the interface of this name., type: str}
  container_hosts:
    description:
      - Make each running container that is published an inventory host too, named after its VM and itself such as C(acme-shop_web), with its facts in
        C(xapi_container) and its VM's inventory host in C(xapi_container_vm).
      - It is reached over the connection to its VM, with C(docker exec) in place of C(sudo), by C(ansible_become) and its method, executable, flags and
        user. So C(ansible.builtin.raw) works in every container that has a shell. With C(ansible_pipelining), which is set too, and
        C(ansible_python_interpreter) modules work where there is Python, but for those that copy files, which would be in the VM.
        The VM's user must be allowed to use the engine.
      - Who has the collection community.docker can set C(ansible_connection=community.docker.docker) for the group instead, with C(ansible_become=false),
        C(ansible_host) as C(xapi_container.id) and C(ansible_docker_extra_args) as C(-H=ssh://USER@ADDRESS).
      - Such hosts are in the group C(containers), and in groups such as C(container_vm_acme_shop), C(container_image_shop_web_1_4) and
        C(container_tenant_acme), and in no group of their VM. O(compose), O(groups) and O(keyed_groups) are not applied to them.
    type: bool
    default: false
requirements:
  - XenAPI (Python package)
"""

EXAMPLES = r"""
# pool.xapi.yml: everything that runs for a tenant; the connection comes from XAPI_HOST, XAPI_PASSWORD and XAPI_CA_PATH
plugin: hardshell.xen.xapi
filters:
  tenants: [acme]
  power_states: [running]

---
# pools.xapi.yml: two pools, cached for five minutes
plugin: hardshell.xen.xapi
xapi_username: inventory
xapi_password: "{{ lookup('ansible.builtin.env', 'POOL_PASSWORD') }}"
pools:
  - name: paris
    xapi_host: [xen1.paris.example, xen2.paris.example]
    xapi_ca_path: /etc/ssl/paris.pem
  - name: lyon
    xapi_host: [xen1.lyon.example]
    xapi_fingerprint: [5a:0e:0c:2b:5d:1a:77:3e:25:31:47:fd:9e:10:4c:43:fa:0d:e6:3b:09:62:21:95:7b:de:14:0a:88:6f:34:c1]
# The management network first, else whatever the interface "front" has.
ansible_host:
  - network: 10.20.0.0/16
  - nic: front
# Names of the roles' variables, so that hardshell.xen.report works on this inventory alone.
compose:
  tenant_name: xapi_vm.tenant
groups:
  large: xapi_vm.memory >= 8 * 1024 ** 3
keyed_groups:
  - key: xapi_vm.networks | map(attribute='network')
    prefix: network
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/hardshell-inventory
cache_timeout: 300

---
# containers.xapi.yml: the containers too; ansible containers -i containers.xapi.yml -m ansible.builtin.raw -a "ps"
plugin: hardshell.xen.xapi
container_hosts: true
"""

import json
import typing as t

from ansible.errors import AnsibleParserError
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ..module_utils._errors import HardshellError
from ..module_utils._pool.connection import connection_arguments
from ..module_utils._pool.vm_filter import VmFilter, vm_filter
from ..plugin_utils._inventory_containers import container_hosts
from ..plugin_utils._inventory_hosts import Host, PoolVms, address_rules, hosts_of
from ..plugin_utils._inventory_pools import PoolSource, pool_sources, read_pools

ENDINGS = ("xapi.yml", "xapi.yaml", "xen.yml", "xen.yaml")


class HostsFirst:
    """An inventory in which a child that is added to a group is the host of that name, where there is one. Ansible's own takes it for a
    group first, so that a VM called like a group, say by ``keyed_groups``, would put that group into itself.
    """

    def __init__(self, inventory: t.Any) -> None:
        self._inventory = inventory

    def __getattr__(self, name: str) -> t.Any:
        return getattr(self._inventory, name)

    def add_child(self, group: str, child: str) -> None:
        if child in self._inventory.hosts:
            self._inventory.add_host(child, group)
        else:
            self._inventory.add_child(group, child)


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "hardshell.xen.xapi"
    inventory: t.Any

    def verify_file(self, path: str) -> bool:
        return bool(super().verify_file(path)) and str(path).endswith(ENDINGS)

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(t.cast(t.Any, HostsFirst(inventory)), loader, path, cache)
        self._read_config_data(path)
        try:
            sources = pool_sources(
                {option: self._plain(option) for option in connection_arguments()}, self._plain("pools")
            )
            wanted = vm_filter(self._plain("filters"), "filters.")
            rules = address_rules("ansible_host", self._plain("ansible_host"))
        except HardshellError as error:
            raise AnsibleParserError(error.message) from error
        pools = self._pools(sources, wanted, self.get_cache_key(path), cache)
        found = hosts_of(
            pools, named_by=self.get_option("hostnames"), grouped_by=self.get_option("group_by"), rules=rules
        )
        for host in found.hosts:
            self._add(host)
            self._construct(host)
        if self.get_option("container_hosts"):
            for host in container_hosts(found.hosts):
                self._add(host)
        for outer, inner in found.nested:
            inventory.add_group(outer)
            inventory.add_child(outer, inner)

    def _plain(self, option: str) -> t.Any:
        """An option with its templates rendered, as data without Ansible's tags."""
        value = self.templar.template(self.get_option(option))
        return json.loads(json.dumps(value, cls=get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)))

    def _pools(self, sources: list[PoolSource], wanted: VmFilter, cache_key: str, cache: bool) -> list[PoolVms]:
        """What the pools tell, or what the cache still holds of it."""
        caching = self.get_option("cache")
        told: dict[str, list[dict[str, t.Any]]] = {}
        for source in sources if caching and cache else ():
            try:
                told[source.name] = self._cache[f"{cache_key}_{source.digest(wanted)}"]
            except KeyError:
                continue
        asked = [source for source in sources if source.name not in told]
        problems = []
        for source, answer in zip(asked, read_pools(asked, wanted), strict=True):
            for warning in answer.warnings:
                self.display.warning(warning)
            if answer.problem:
                problems.append(answer.problem)
                continue
            told[source.name] = answer.vms
            if caching:
                self._cache[f"{cache_key}_{source.digest(wanted)}"] = answer.vms
        if problems and (not told or self.get_option("strict")):
            raise AnsibleParserError("; ".join(problems))
        for problem in problems:
            self.display.warning(problem)
        return [PoolVms(source.name, tuple(told[source.name])) for source in sources if source.name in told]

    def _add(self, host: Host) -> None:
        self.inventory.add_host(host.name)
        for name, value in host.variables.items():
            self.inventory.set_variable(host.name, name, value)
        for group in host.groups:
            self.inventory.add_group(group)
            self.inventory.add_host(host.name, group)

    def _construct(self, host: Host) -> None:
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), host.variables, host.name, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), host.variables, host.name, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), host.variables, host.name, strict=strict)
