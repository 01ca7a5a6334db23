# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Memory arithmetic: overheads, order of limits, and what is free on a host. All sizes in bytes."""

from __future__ import annotations

from xapi_lab.database import Database, Record
from xapi_lab.errors import XapiError

MIB = 2**20
HYPERVISOR_OVERHEAD = 128 * MIB


def overhead(memory_static_max: int, vcpus: int) -> int:
    """Memory that an HVM guest costs beside its own: shadow memory and video memory (memory.ml, HVM figures)."""
    return (max(memory_static_max, 0) // MIB // 128 + 3 + max(vcpus, 1)) * MIB


def check_order(static_min: int, static_max: int, dynamic_min: int, dynamic_max: int) -> None:
    if not static_min <= dynamic_min <= dynamic_max <= static_max:
        raise XapiError("MEMORY_CONSTRAINT_VIOLATION_ORDER")


def needed(vm: Record) -> int:
    """What a host must have free to start a VM."""
    return vm["memory_dynamic_max"] + overhead(vm["memory_static_max"], vm["VCPUs_max"])


def free(database: Database, host: str) -> int:
    """What is left on a host beside its hypervisor, its control domain and its VMs."""
    total = database.get("host_metrics", database.get("host", host, "metrics"), "memory_total")
    used = HYPERVISOR_OVERHEAD
    for vm_ref in database.get("host", host, "resident_VMs"):
        vm = database.row("VM", vm_ref).record
        used += vm["memory_target"] + vm["memory_overhead"]
    for vm_ref, row in database.tables["VM"].items():
        if row.record["scheduled_to_be_resident_on"] == host and row.record["resident_on"] != host:
            used += needed(database.row("VM", vm_ref).record)
    return int(total - used)


def publish(database: Database, host: str) -> None:
    """Bring host_metrics.memory_free of a host up to date."""
    if database.exists("host", host):
        metrics = database.get("host", host, "metrics")
        database.update("host_metrics", metrics, memory_free=max(0, free(database, host)))
