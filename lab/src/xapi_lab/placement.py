# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Where a VM may run, and where it is started (xapi_vm_helpers.ml, xapi_vm_placement.ml). Reads the database only."""

from __future__ import annotations

from collections.abc import Iterable

from xapi_lab import memory
from xapi_lab.database import Database, Record
from xapi_lab.errors import XapiError
from xapi_lab.operations import vm_refusal


def refusal(
    db: Database, vm_ref: str, host: str, *, storage: bool = True, enough_memory: bool = True
) -> XapiError | None:
    """Why a VM cannot run on a host: the first of XAPI's tests that fails; `storage` and `enough_memory` may be left out."""
    vm, record = db.record("VM", vm_ref), db.record("host", host)
    limits = [vm[f"memory_{name}"] for name in ("static_min", "dynamic_min", "dynamic_max", "static_max")]
    if not is_live(db, host):
        return XapiError("HOST_NOT_LIVE")
    if not record["enabled"] and not (vm["power_state"] == "Running" and vm["resident_on"] == host):
        return XapiError("HOST_DISABLED", host)
    if vm["VCPUs_max"] < 1:
        return XapiError("VALUE_NOT_SUPPORTED", "VCPUs-max", vm["VCPUs_max"], "value should be a positive integer")
    if limits != sorted(limits):
        return XapiError("MEMORY_CONSTRAINT_VIOLATION_ORDER")
    sr = next((sr for sr in required_srs(db, vm) if host not in hosts_of_sr(db, sr)), None) if storage else None
    if sr is not None:
        return XapiError("VM_REQUIRES_SR", vm_ref, sr)
    network = next((network for network in required_networks(db, vm) if not has_network(db, host, network)), None)
    if network is not None:
        return XapiError("VM_REQUIRES_NETWORK", vm_ref, network)
    needed, available = memory.needed(vm), memory.free(db, host)
    if enough_memory and vm["resident_on"] != host and needed > available:
        return XapiError("HOST_NOT_ENOUGH_FREE_MEMORY", needed, available)
    pcpus = int(record["cpu_info"].get("cpu_count", "1"))
    if vm["VCPUs_max"] > pcpus and vm["platform"].get("vcpu-unrestricted") != "true":
        return XapiError("HOST_NOT_ENOUGH_PCPUS", vm["VCPUs_max"], pcpus)
    return None


def possible_hosts(db: Database, vm_ref: str) -> list[str]:
    return [host for host in db.refs("host") if refusal(db, vm_ref, host) is None]


def choose(db: Database, vm_ref: str) -> str:
    """The host to start a VM on; raises NO_HOSTS_AVAILABLE.

    A VM of an anti-affinity group goes to its affinity host, then to where fewest of its group run; others to their
    affinity host, then to the one with most memory free (XAPI: at random).
    """
    candidates = [host for host in possible_hosts(db, vm_ref) if not _is_evacuating(db, host)]
    if not candidates:
        raise XapiError("NO_HOSTS_AVAILABLE")
    affinity = db.get("VM", vm_ref, "affinity")
    if affinity in candidates:
        return str(affinity)
    group = _group_members(db, vm_ref)
    return min(candidates, key=lambda host: (running_of(db, host, group), -memory.free(db, host)))


def _is_evacuating(db: Database, host: str) -> bool:
    return "evacuate" in db.get("host", host, "current_operations").values()


def is_live(db: Database, host: str) -> bool:
    metrics = db.get("host", host, "metrics")
    return db.exists("host_metrics", metrics) and bool(db.get("host_metrics", metrics, "live"))


def hosts_of_sr(db: Database, sr: str) -> list[str]:
    """The hosts that have an SR attached."""
    pbds = [db.record("PBD", pbd) for pbd in db.get("SR", sr, "PBDs")]
    return [pbd["host"] for pbd in pbds if pbd["currently_attached"]]


def required_srs(db: Database, vm: Record) -> list[str]:
    vdis = [db.get("VBD", vbd, "VDI") for vbd in vm["VBDs"]]
    if vm["power_state"] == "Suspended":
        vdis.append(vm["suspend_VDI"])
    return [db.get("VDI", vdi, "SR") for vdi in vdis if db.exists("VDI", vdi)]


def required_networks(db: Database, vm: Record) -> list[str]:
    networks = [db.get("VIF", vif, "network") for vif in vm["VIFs"]]
    return [network for network in networks if db.exists("network", network)]


def has_network(db: Database, host: str, network: str) -> bool:
    """A network with PIFs is there where one of them is; one without can be made on any host."""
    pifs = [pif for pif in db.get("network", network, "PIFs") if db.exists("PIF", pif)]
    return not pifs or any(db.get("PIF", pif, "host") == host for pif in pifs)


def is_agile(db: Database, vm_ref: str) -> bool:
    """Whether HA may restart a VM on any host: all of its disks are on shared SRs."""
    return all(db.get("SR", sr, "shared") for sr in required_srs(db, db.record("VM", vm_ref)))


def running_of(db: Database, host: str, members: Iterable[str]) -> int:
    """How many of some VMs run on a host, or are about to."""
    return sum(
        host in {db.get("VM", member, "resident_on"), db.get("VM", member, "scheduled_to_be_resident_on")}
        for member in members
    )


def _group_members(db: Database, vm_ref: str) -> set[str]:
    """The other members of a VM's anti-affinity groups."""
    groups = [group for group in db.get("VM", vm_ref, "groups") if db.exists("VM_group", group)]
    members = {
        member
        for group in groups
        if db.get("VM_group", group, "placement") == "anti_affinity"
        for member in db.get("VM_group", group, "VMs")
    }
    return members - {vm_ref}


def user_vms(db: Database, host: str) -> list[str]:
    """The VMs on a host beside its control domain."""
    return [vm for vm in db.get("host", host, "resident_VMs") if not db.get("VM", vm, "is_control_domain")]


def evacuation_plan(db: Database, host: str, ha_enabled: bool) -> dict[str, str | XapiError]:
    """Where each VM of a host would move, or why it cannot (xapi_host.ml: compute_evacuation_plan_no_wlb)."""
    plan: dict[str, str | XapiError] = {}
    targets = [other for other in db.refs("host") if other != host and db.get("host", other, "enabled")]
    free = {target: memory.free(db, target) for target in targets}
    vms = sorted(user_vms(db, host), key=lambda vm: -memory.needed(db.record("VM", vm)))
    for vm in vms:
        plan[vm] = _evacuation_of(db, vm, targets, free, ha_enabled)
    return plan


def _evacuation_of(
    db: Database, vm: str, targets: list[str], free: dict[str, int], ha_enabled: bool
) -> str | XapiError:
    """One VM's move; its memory is taken from `free`."""
    record = db.record("VM", vm)
    if not targets:
        return XapiError("NO_HOSTS_AVAILABLE", vm)
    impediment = vm_refusal(db, vm, "pool_migrate")
    if impediment is not None:
        return impediment
    if ha_enabled and not (record["ha_always_run"] and record["ha_restart_priority"] == "restart"):
        return XapiError("HOST_EVACUATE_VM_NOT_HA_PROTECTED", vm)
    refusals = {target: refusal(db, vm, target, enough_memory=False) for target in targets}
    for refused in refusals.values():
        if refused is not None:
            return refused
    group, needed = _group_members(db, vm), memory.needed(record)
    fitting = [target for target in targets if free[target] >= needed]
    if not fitting:
        return XapiError("HOST_NOT_ENOUGH_FREE_MEMORY", vm)
    target = min(fitting, key=lambda other: (running_of(db, other, group), -free[other]))
    free[target] -= needed
    return target
