# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Who has what in a pool: container -> VM -> host -> tenant, and what of the pool each tenant takes. Pure, but for ``read_tenancy``."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._pool import marks
from .._pool.bulk_reads import POOL_CLASSES, Records, field_is, records_where, snapshot_of
from .._pool.fleet_observe import fleet_of
from .._pool.pool_survey import CLASSES, survey
from .._pool.pool_use import PoolUse, pool_use
from .._pool.session import Session
from .._pool.vm_identity import is_vm
from .published import Published, read_published
from .quota import Balance, judge
from .quota_spec import QuotaSpec

Facts = dict[str, t.Any]
Quotas = t.Mapping[str, t.Mapping[str, int]]

_DEVICES = ("vbd", "vif", "vdi", "vm_metrics", "vm_guest_metrics")
_VM_KEYS = ("uuid", "name", "inventory_host", "host", "power_state", "vcpus", "memory", "address", "ssh_host_key")


@dataclass(frozen=True)
class SeenVm:
    """A VM with its facts, as ``vm_info`` returns them, and what is published of its containers."""

    facts: Facts
    published: Published = field(default_factory=Published)

    @property
    def tenant(self) -> str | None:
        owner: str | None = self.facts["tenant"]
        return owner

    @property
    def copied_tenant(self) -> str | None:
        """Whose marks it carries that were copied from another VM."""
        return None if self.tenant else self.facts["marks"].get(marks.TENANT)


@dataclass(frozen=True)
class Tenancy:
    """All that is known of a pool and its tenants. ``pool`` are the facts of ``pool_info``, ``groups`` the placements of groups of VMs by name.

    ``unfinished`` are VMs that an interrupted run has marked and not made whole.
    """

    vms: tuple[SeenVm, ...]
    pool: Facts
    use: PoolUse
    groups: t.Mapping[str, str]
    unfinished: tuple[tuple[marks.Owner, str], ...] = ()

    def tenants(self) -> list[str]:
        """Everyone who owns a VM, finished or not, or a disk that no VM holds."""
        owners = [vm.owner for vm in self.use.vms if vm.owner] + [owner for owner, _disk in self.use.loose]
        return sorted({owner.tenant for owner in owners})


def read_tenancy(session: Session) -> Tenancy:
    """Two calls, however many VMs, disks and interfaces there are."""
    vms = records_where(session, "VM", field_is("is_a_snapshot", "false"))
    return tenancy_of(snapshot_of(session, *dict.fromkeys((*CLASSES, *POOL_CLASSES, *_DEVICES))), vms)


def tenancy_of(seen: t.Mapping[str, Records], records: Records) -> Tenancy:
    """The same out of records."""
    own = {ref: record for ref, record in records.items() if is_vm(record)}
    surveyed = {ref: record for ref, record in records.items() if not record["is_a_template"]}
    vms = [
        SeenVm(each.facts(), read_published(each.other_config, str(each.vm.uuid)))
        for each in fleet_of(own, seen, seen.get("vdi", {}), {})
    ]
    unfinished = [
        (owner, record["name_label"])
        for record in records.values()
        if marks.MAKING in record["other_config"]
        and (owner := marks.owner_of_vm(record["other_config"], record["uuid"])) is not None
    ]
    return Tenancy(
        vms=tuple(sorted(vms, key=lambda vm: (vm.facts["name"], vm.facts["uuid"]))),
        pool=survey(seen, surveyed),
        use=pool_use(seen, records),
        groups={group["name_label"]: group["placement"] for group in seen.get("vm_group", {}).values()},
        unfinished=tuple(unfinished),
    )


def balances_of(tenancy: Tenancy, quotas: Quotas) -> tuple[Balance, ...]:
    """What each tenant has in use, against its quota where one is given."""
    everyone = {tenant: quotas.get(tenant, {}) for tenant in sorted({*tenancy.tenants(), *quotas})}
    return judge(QuotaSpec(everyone, ()), tenancy.use).balances


def tenant_facts(tenancy: Tenancy, balances: t.Sequence[Balance]) -> list[Facts]:
    """The tenants by name, with their VMs and the containers in those."""
    return [
        {
            "name": tenant,
            "quota": {each.resource: each.quota for each in balances if each.tenant == tenant},
            "in_use": {each.resource: each.in_use for each in balances if each.tenant == tenant},
            "vms": [_vm(vm) for vm in tenancy.vms if vm.tenant == tenant],
        }
        for tenant in sorted({balance.tenant for balance in balances})
    ]


def container_facts(tenancy: Tenancy) -> list[Facts]:
    """Where each container of a tenant is."""
    return [
        {
            **{key: container[key] for key in ("name", "id", "image", "state", "health")},
            "vm": vm.facts["name"],
            "inventory_host": vm.facts["inventory_host"],
            "host": vm.facts["host"],
            "tenant": vm.tenant,
        }
        for vm in tenancy.vms
        if vm.tenant
        for container in vm.published.containers
    ]


def _vm(vm: SeenVm) -> Facts:
    return {
        **{key: vm.facts[key] for key in _VM_KEYS},
        "disk": sum(disk["size"] for disk in vm.facts["disks"]),
        "containers": list(vm.published.containers),
    }
