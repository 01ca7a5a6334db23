# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""From the facts of VMs to inventory hosts with their variables and groups. Pure."""

from __future__ import annotations

import ipaddress
import typing as t
from dataclasses import dataclass

from ..module_utils._errors import OptionError
from ..module_utils._pool.marks import TENANT_TAG
from ..module_utils._pool.wait_spec import WaitSpec
from ._inventory_names import Claim, GroupKey, group_names, host_names

Facts = dict[str, t.Any]


@dataclass(frozen=True)
class PoolVms:
    """What one pool told: its name in this inventory, and the facts of its VMs with their ``containers``."""

    name: str
    vms: tuple[Facts, ...]


@dataclass(frozen=True)
class Host:
    """An inventory host. Of groups inside of each other, ``groups`` has the innermost."""

    name: str
    variables: dict[str, t.Any]
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Hosts:
    """The hosts, and which groups are inside of which: pairs of parent and child."""

    hosts: tuple[Host, ...]
    nested: tuple[tuple[str, str], ...]


def address_rules(option: str, given: t.Any) -> tuple[WaitSpec, ...]:
    """Rules that choose an address, the most wanted first. Raises ``OptionError``."""
    rules = []
    for index, rule in enumerate(given or ()):
        where = f"{option}[{index}]"
        if not isinstance(rule, t.Mapping) or not rule or set(rule) - {"network", "nic"}:
            raise OptionError(where, rule, "give network, nic or both, such as {network: 10.0.0.0/8}")
        network = rule.get("network")
        try:
            parsed = ipaddress.ip_network(str(network), strict=False) if network else None
        except ValueError:
            raise OptionError(
                f"{where}.network", network, "give a network such as 10.1.0.0/16 or 2001:db8::/32"
            ) from None
        rules.append(WaitSpec(parsed, str(rule["nic"]) if rule.get("nic") else None, 0))
    return tuple(rules)


def chosen_address(facts: Facts, rules: t.Sequence[WaitSpec]) -> str | None:
    """The address that the first rule allows which allows any; without rules the VM's own choice."""
    if not rules:
        address: str | None = facts["address"]
        return address
    return next(
        (
            address
            for rule in rules
            for nic in facts["networks"]
            if rule.nic in (None, nic["name"])
            for address in nic["addresses"]
            if rule.accepts(address)
        ),
        None,
    )


def hosts_of(
    pools: t.Sequence[PoolVms], *, named_by: t.Sequence[str], grouped_by: t.Collection[str], rules: t.Sequence[WaitSpec]
) -> Hosts:
    """The inventory hosts that the VMs of some pools are."""
    vms = [(pool.name, facts) for pool in pools for facts in pool.vms]
    names = host_names([_claim(pool, facts, named_by) for pool, facts in vms])
    keys = [[path for path in _group_paths(pool, facts) if path[0][0] in grouped_by] for pool, facts in vms]
    groups = group_names(key for paths in keys for path in paths for key in path)
    hosts = tuple(
        Host(name, _variables(pool, facts, rules), tuple(groups[path[-1]] for path in paths))
        for name, (pool, facts), paths in zip(names, vms, keys, strict=True)
    )
    nested = {
        (groups[outer], groups[inner])
        for paths in keys
        for path in paths
        for outer, inner in zip(path, path[1:], strict=False)
    }
    return Hosts(hosts, tuple(sorted(nested)))


def _claim(pool: str, facts: Facts, named_by: t.Sequence[str]) -> Claim:
    source = next((each for each in named_by if (facts[each] or "").strip()), "uuid")  # a VM may have an empty name
    return Claim(facts[source], source == "inventory_host", facts["uuid"], pool)


def _variables(pool: str, facts: Facts, rules: t.Sequence[WaitSpec]) -> dict[str, t.Any]:
    own = {name: value for name, value in facts.items() if name != "containers"}
    variables: dict[str, t.Any] = {"xapi_vm": own, "xapi_containers": facts["containers"], "xapi_pool": pool}
    address = chosen_address(facts, rules)
    if address:
        variables["ansible_host"] = address
    if facts["ssh_host_key"]:
        variables["vm_ssh_host_key"] = facts["ssh_host_key"]
    return variables


def _group_paths(pool: str, facts: Facts) -> t.Iterator[list[GroupKey]]:
    """The groups of a VM; each with those it is inside of, the outermost first."""
    if facts["tenant"]:
        yield [("tenant", facts["tenant"])]
    if facts["host"]:
        yield [("host", facts["host"])]
    for tag in facts["tags"]:
        if tag != f"{TENANT_TAG}{facts['tenant']}":
            yield [("tag", tag)]
    yield [("state", facts["power_state"])]
    steps = [step for step in facts["folder"].split("/") if step]
    if steps:
        yield [("folder", "/".join(steps[: number + 1])) for number in range(len(steps))]
    yield [("pool", pool)]
