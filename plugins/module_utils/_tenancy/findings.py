# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What is wrong with the tenants of a pool, by what the pool itself tells: what, where, whose, how bad, and how to mend it. Pure.

Only what is certain from the pool's own records is a finding. Of containers it is what was published of them last.
"""

from __future__ import annotations

import collections
import typing as t

from .._pool.sizes import shown
from .quota import Balance
from .quota_spec import SIZES
from .tenancy import SeenVm, Tenancy

Finding = dict[str, t.Any]
SEVERITIES = ("high", "medium", "low")


def tenant_findings(tenancy: Tenancy, balances: t.Sequence[Balance]) -> list[Finding]:
    """The findings about tenants, the gravest first."""
    found = [*_over_quota(balances), *_unfinished(tenancy), *_loose_disks(tenancy), *_together(tenancy)]
    shared = _shared_networks(tenancy)
    unlocked = {each["name"]: each["default_locking_mode"] == "unlocked" for each in tenancy.pool["networks"]}
    ha = tenancy.pool["pool"]["ha"]["enabled"]
    for vm in tenancy.vms:
        if vm.tenant is None:
            found += _copied_marks(vm)
            continue
        found += [*_containers(vm), *_unreadable(vm), *_config_drive(vm), *_nics(vm, shared, unlocked)]
        if ha:
            found += _without_ha(vm)
    return in_order(found)


def in_order(findings: t.Iterable[Finding]) -> list[Finding]:
    """The gravest first, those of the whole pool before those of a tenant."""
    return sorted(
        findings,
        key=lambda each: (
            SEVERITIES.index(each["severity"]),
            each["tenant"] or "",
            each["id"],
            each["where"],
            each["what"],
        ),
    )


def finding(identity: str, severity: str, tenant: str | None, where: str, what: str, mend: str) -> Finding:
    """One finding. ``tenant`` is None where it is the whole pool's."""
    return {"id": identity, "severity": severity, "tenant": tenant, "where": where, "what": what, "mend": mend}


def _over_quota(balances: t.Iterable[Balance]) -> t.Iterator[Finding]:
    for each in balances:
        if each.over and each.quota is not None:
            used, quota = (shown(n) if each.resource in SIZES else str(n) for n in (each.in_use, each.quota))
            what = f"it has {used} of {each.resource}, and its quota is {quota}"
            mend = "raise the quota, or take VMs away or make them smaller"
            yield finding("over-quota", "medium", each.tenant, each.tenant, what, mend)


def _unfinished(tenancy: Tenancy) -> t.Iterator[Finding]:
    for owner, name in tenancy.unfinished:
        what = "a run that was cut off has not finished it"
        mend = f"run hardshell.xen.site with --limit {owner.host}, or remove it with hardshell.xen.vm and state: absent"
        yield finding("unfinished-vm", "medium", owner.tenant, f"VM {name}", what, mend)


def _loose_disks(tenancy: Tenancy) -> t.Iterator[Finding]:
    for owner, disk in tenancy.use.loose:
        if not disk.keep:
            what = f"no VM holds it, and it counts {shown(disk.size)} against the tenant"
            mend = "list it among the VM's disks again, or destroy the VDI"
            where = f"disk {disk.name} of {owner.host} ({disk.uuid})"
            yield finding("loose-disk", "low", owner.tenant, where, what, mend)


def _together(tenancy: Tenancy) -> t.Iterator[Finding]:
    """VMs of an anti-affinity group that run on one host, where others could take them."""
    usable = [host for host in tenancy.pool["hosts"] if host["enabled"] and host["live"]]
    places: dict[tuple[str, str, str], list[str]] = collections.defaultdict(list)
    for vm in tenancy.vms:
        group, host = vm.facts["group"], vm.facts["host"]
        if vm.tenant and group and host and tenancy.groups.get(group) == "anti_affinity":
            places[vm.tenant, group, host].append(vm.facts["name"])
    for (tenant, group, host), names in places.items():
        if len(names) > 1 and len(usable) > 1:
            what = f"{', '.join(names)} are to be on different hosts, and run on {host}"
            mend = "move one of them with hardshell.xen.vm and resident_on"
            yield finding("same-host", "medium", tenant, f"group {group}", what, mend)


def _copied_marks(vm: SeenVm) -> t.Iterator[Finding]:
    if vm.copied_tenant:
        what = "it is a copy of a VM of this tenant, made by somebody else: it is nobody's, and counts against no quota"
        mend = "remove it, or take it over with hardshell.xen.vm and adopt: true"
        yield finding(
            "copied-vm", "medium", vm.copied_tenant, f"VM {vm.facts['name']} ({vm.facts['uuid']})", what, mend
        )


def _containers(vm: SeenVm) -> t.Iterator[Finding]:
    where = f"VM {vm.facts['name']}"
    for container in vm.published.containers:
        inside = f"container {container['name']} in {where}"
        if container["privileged"]:
            what = "it is privileged, and can do in the VM what root can"
            mend = "name the capabilities and devices that it needs in place of privileged"
            yield finding("privileged-container", "high", vm.tenant, inside, what, mend)
        if container["tenant"] not in (None, "", vm.tenant):
            what = f"it belongs to {container['tenant']}, and its VM does not: the VM is the boundary between tenants"
            yield finding("foreign-container", "high", vm.tenant, inside, what, "move it to a VM of its tenant")
    limits = sum(each["memory"] or 0 for each in vm.published.containers if each["state"] == "running")
    if limits > vm.facts["memory"]:
        what = f"its containers may use {shown(limits)} of memory together, and it has {shown(vm.facts['memory'])}"
        mend = "make the VM larger, or say vm_memory: auto"
        yield finding("too-small-vm", "medium", vm.tenant, where, what, mend)


def _unreadable(vm: SeenVm) -> t.Iterator[Finding]:
    if vm.published.problem:
        what = f"{vm.published.problem}; Xen Orchestra may not show the VM at all"
        mend = "publish anew, or take it back, with hardshell.xen.container_publish"
        yield finding("unreadable-containers", "medium", vm.tenant, f"VM {vm.facts['name']}", what, mend)


def _config_drive(vm: SeenVm) -> t.Iterator[Finding]:
    if vm.facts["config_drive"]["state"] == "attached" and vm.facts["power_state"] == "running":
        what = "its config drive, with the secrets on it, is still in the pool while the VM runs"
        mend = (
            "once the guest has taken it, run hardshell.xen.vm with config_drive: {state: absent}, as the role vm does"
        )
        yield finding("config-drive", "low", vm.tenant, f"VM {vm.facts['name']}", what, mend)


def _shared_networks(tenancy: Tenancy) -> set[str]:
    """Networks on which there are VMs of several owners, or of none."""
    owners: dict[str, set[str | None]] = collections.defaultdict(set)
    for vm in tenancy.vms:
        for nic in vm.facts["networks"]:
            owners[nic["network"]].add(vm.tenant)
    return {network for network, those in owners.items() if len(those) > 1}


def _nics(vm: SeenVm, shared: t.Collection[str], unlocked: t.Mapping[str, bool]) -> t.Iterator[Finding]:
    for nic in vm.facts["networks"]:
        network, mode = nic["network"], nic["locking_mode"]
        is_open = mode == "unlocked" or (mode == "network_default" and unlocked.get(network, True))
        if network in shared and is_open:
            where = f"VM {vm.facts['name']}, interface {nic['name'] or nic['device']}"
            what = f"it may take any address on {network!r}, where VMs of others are too"
            mend = "give the interface locking_mode: locked and its addresses, or the tenant a network of its own"
            yield finding("unlocked-interface", "medium", vm.tenant, where, what, mend)


def _without_ha(vm: SeenVm) -> t.Iterator[Finding]:
    if vm.facts["power_state"] == "running" and vm.facts["ha_restart_priority"] != "restart":
        what = (
            "the pool has high availability, and does not see to it that this VM is started again when its host is lost"
        )
        mend = "give it ha_restart_priority: restart"
        yield finding("without-ha", "medium", vm.tenant, f"VM {vm.facts['name']}", what, mend)
