# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Holding what VMs ask for against what a tenant may have and what a pool has left. Pure. Sizes are bytes.

What counts: each disk once, by its virtual size, be its VM halted or not; vCPUs and memory of VMs that are running or paused, since the others
use none. A snapshot counts nothing: its vCPUs and memory are nobody's, and its disks are earlier states of disks that count.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .._pool.pool_facts import StorageRepository
from .._pool.pool_use import AWAKE, HeldVm, PoolUse
from .quota_spec import RESOURCES, AskedVm, QuotaSpec

_STATE_AFTER = {"restarted": "running"}
Amounts = dict[str, int]


@dataclass(frozen=True)
class Balance:
    """One resource of one tenant. ``quota`` is None where there is no limit. ``asked`` is what comes on top of what is in use."""

    tenant: str
    resource: str
    quota: int | None
    in_use: int
    asked: int

    @property
    def over(self) -> int:
        """By how much the tenant would be over its quota."""
        return 0 if self.quota is None else max(0, self.in_use + self.asked - self.quota)

    @property
    def refused(self) -> bool:
        """A tenant that is over already may do what makes it no worse."""
        return self.over > 0 and self.asked > 0


@dataclass(frozen=True)
class Shortage:
    """What the pool does not have. ``vms`` are the inventory hosts that ask for it."""

    resource: str
    where: str
    free: int
    asked: int
    vms: tuple[str, ...]

    @property
    def over(self) -> int:
        return self.asked - self.free


@dataclass(frozen=True)
class Verdict:
    """``refused`` are the inventory hosts that must not be converged."""

    balances: tuple[Balance, ...]
    shortages: tuple[Shortage, ...]
    refused: tuple[str, ...]


@dataclass(frozen=True)
class _Need:
    """What one VM takes now and what it asks for on top of that; ``storage`` by storage repository.

    ``memory_after`` is what a host must have free to hold it.
    """

    vm: AskedVm
    held: HeldVm | None
    asked: Amounts
    memory_after: int
    storage: t.Mapping[str, int]


def judge(spec: QuotaSpec, use: PoolUse) -> Verdict:
    """What may be done of what is asked for."""
    needs = [_need(vm, use) for vm in spec.vms]
    balances = tuple(
        Balance(tenant, resource, quota.get(resource), _in_use(tenant, use)[resource], asked[resource])
        for tenant, quota in spec.quotas.items()
        for asked in [_total(need.asked for need in needs if need.vm.owner.tenant == tenant)]
        for resource in RESOURCES
    )
    shortages = (*_memory_shortages(needs, use), *_storage_shortages(needs, use))
    over = {balance.tenant for balance in balances if balance.refused}
    without = {host for shortage in shortages for host in shortage.vms}
    refused = [vm.owner.host for vm in spec.vms if vm.owner.tenant in over or vm.owner.host in without]
    return Verdict(balances, shortages, tuple(sorted(refused)))


def _total(each: t.Iterable[t.Mapping[str, int]]) -> Amounts:
    listed = list(each)
    return {resource: sum(amounts[resource] for amounts in listed) for resource in RESOURCES}


def _in_use(tenant: str, use: PoolUse) -> Amounts:
    own = [vm for vm in use.vms if vm.owner is not None and vm.owner.tenant == tenant]
    disks = {disk.vdi: disk.size for vm in own for disk in vm.disks}
    disks |= {disk.vdi: disk.size for owner, disk in use.loose if owner.tenant == tenant}
    awake = [vm for vm in own if vm.power_state in AWAKE]
    return {
        "vcpus": sum(vm.vcpus for vm in awake),
        "memory": sum(vm.memory for vm in awake),
        "disk": sum(disks.values()),
        "vms": len(own),
    }


def _need(vm: AskedVm, use: PoolUse) -> _Need:
    held = _find(vm, use)
    ours = held is not None and held.owner is not None
    before = held if held is not None and held.power_state in AWAKE else None
    basis = held or _template(vm, use)
    state = _STATE_AFTER.get(vm.state, vm.state)
    if state == "present":
        state = held.power_state if held else "halted"
    awake = state in AWAKE
    vcpus = (vm.vcpus or (basis.vcpus if basis else 1)) if awake else 0
    memory = (vm.memory or (basis.memory if basis else 0)) if awake else 0
    more_disk, storage = _disk_need(vm, held, basis, use)
    adopted = 0 if ours or held is None else sum(disk.size for disk in held.disks)
    asked = {
        "vcpus": vcpus - (before.vcpus if before and ours else 0),
        "memory": memory - (before.memory if before and ours else 0),
        "disk": more_disk + adopted,
        "vms": 0 if ours else 1,
    }
    return _Need(vm, held, asked, min(memory, vm.memory_dynamic_min or memory), storage)


def _find(vm: AskedVm, use: PoolUse) -> HeldVm | None:
    """The VM that is meant: by its marks, or the unmarked one that is to be taken over."""
    for held in use.vms:
        if held.owner == vm.owner:
            return held
    unmarked = [held for held in use.vms if held.owner is None and held.name == vm.name]
    return unmarked[0] if vm.adopt and unmarked else None


def _template(vm: AskedVm, use: PoolUse) -> HeldVm | None:
    if vm.source:
        named = [each for each in (*use.vms, *use.snapshots) if vm.source in (each.uuid, each.name)]
    else:
        named = [template for template in use.templates if vm.template in (template.uuid, template.name)]
    return named[0] if named else None


def _disk_need(vm: AskedVm, held: HeldVm | None, basis: HeldVm | None, use: PoolUse) -> tuple[int, t.Mapping[str, int]]:
    """How much more disk the VM asks for, and of which storage repositories. A fast clone takes none there until it is
    written to; a full copy takes all."""
    there = {disk.name or f"disk{disk.device}": disk for disk in (basis.disks if basis else ())}
    loose = {disk.name: disk for owner, disk in use.loose if owner == vm.owner and (disk.keep or not disk.copied)}
    total = sum(disk.size for disk in there.values()) if held is None else 0
    storage: dict[str, int] = {}
    if held is None and vm.full_copy:
        for original in there.values():
            repository = _repository(vm, vm.sr, use) if vm.sr else (use.storage_of or {}).get(original.vdi or "")
            if repository:
                storage[repository] = storage.get(repository, 0) + original.size
    for disk in vm.disks:
        current = there.get(disk.name) or loose.get(disk.name)
        if disk.size is None:
            continue
        more = max(0, disk.size - current.size) if current else disk.size
        repository = (use.storage_of or {}).get(current.vdi or "") if current else _repository(vm, disk.sr, use)
        total += more
        if repository and more:
            storage[repository] = storage.get(repository, 0) + more
    return total, storage


def _repository(vm: AskedVm, wanted: str | None, use: PoolUse) -> str | None:
    """The storage repository of a new disk. One that is not there is for the module ``vm`` to tell of."""
    try:
        return use.pool.storage_repository("sr", wanted or vm.sr).ref
    except OptionError:
        return None


def _memory_shortages(needs: t.Sequence[_Need], use: PoolUse) -> t.Iterator[Shortage]:
    """Memory that cannot be there however XAPI spreads the VMs: more than all hosts have, or more for one VM than any host has."""
    hosts = use.hosts or {}
    growing = [(need, _more_memory(need)) for need in needs if _more_memory(need) > 0]
    asked = sum(_more_memory(need) for need in needs)
    free = sum(hosts.values())
    if growing and asked > free:
        yield Shortage(
            "memory", "all hosts together", free, asked, tuple(need.vm.owner.host for need, _more in growing)
        )
    for need, _more in growing:
        own = need.held.memory if need.held and need.held.power_state in AWAKE else 0
        most = max(
            (room + (own if need.held and need.held.host == name else 0) for name, room in hosts.items()), default=0
        )
        if need.memory_after > most:
            yield Shortage("memory", "the host with the most", most, need.memory_after, (need.vm.owner.host,))


def _more_memory(need: _Need) -> int:
    own = need.held.memory if need.held and need.held.power_state in AWAKE else 0
    return need.memory_after - own


def _storage_shortages(needs: t.Sequence[_Need], use: PoolUse) -> t.Iterator[Shortage]:
    repositories: dict[str, StorageRepository] = {each.ref: each for each in use.pool.storage}
    for ref, repository in repositories.items():
        asking = [need for need in needs if need.storage.get(ref, 0) > 0]
        asked = sum(need.storage[ref] for need in asking)
        if asked > repository.free:
            where = f"storage repository {repository.name!r}"
            yield Shortage("disk", where, repository.free, asked, tuple(need.vm.owner.host for need in asking))
