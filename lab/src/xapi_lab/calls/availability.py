# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""High availability: turning it on and off, and what it has room for (xapi_ha.ml, xapi_pool.ml)."""

from __future__ import annotations

from xapi_lab import high_availability, placement
from xapi_lab.calls.registry import Context, call
from xapi_lab.calls.vdi import create_vdi
from xapi_lab.config import GIB
from xapi_lab.errors import XapiError

_HEARTBEAT_DISKS = {"ha_statefile": ("Statefile for HA", GIB // 256), "redo_log": ("Metadata for HA", GIB // 4)}
"""Name and bytes of the disks that HA keeps on its SR, by type."""


@call("pool.enable_ha")
async def enable_ha(context: Context, heartbeat_srs: list[str], configuration: dict[str, str]) -> None:
    db, pool = context.db, context.lab.members.pool
    if db.get("pool", pool, "ha_enabled"):
        raise XapiError("HA_IS_ENABLED")
    for host in db.refs("host"):
        if not placement.is_live(db, host) or host in context.lab.members.lost:
            raise XapiError("HOST_OFFLINE", host)
    for sr in heartbeat_srs:
        db.row("SR", sr)
        if not db.get("SR", sr, "shared"):
            raise XapiError("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", sr)
    candidates = heartbeat_srs or [sr for sr, record in db.records("SR") if record["shared"]]
    usable = [sr for sr in candidates if set(placement.hosts_of_sr(db, sr)) >= set(db.refs("host"))]
    if not usable:
        raise XapiError("CANNOT_CREATE_STATE_FILE")
    disks = {kind: await _heartbeat_disk(context, usable[0], kind) for kind in _HEARTBEAT_DISKS}
    db.update(
        "pool", pool, ha_enabled=True, ha_statefiles=[disks["ha_statefile"]], ha_configuration=dict(configuration),
        allowed_operations=["ha_disable"],
    )  # fmt: skip
    high_availability.update_pool(db)


async def _heartbeat_disk(context: Context, sr: str, kind: str) -> str:
    """The disk of an earlier time, or a new one."""
    for vdi in context.db.get("SR", sr, "VDIs"):
        if context.db.get("VDI", vdi, "type") == kind:
            return str(vdi)
    name, size = _HEARTBEAT_DISKS[kind]
    return await create_vdi(
        context,
        {"name_label": name, "name_description": "Used for heartbeating", "SR": sr, "virtual_size": size, "type": kind,
         "sharable": True, "read_only": False, "other_config": {}, "xenstore_data": {}, "sm_config": {}, "tags": []},
    )  # fmt: skip


@call("pool.disable_ha")
async def disable_ha(context: Context) -> None:
    db, pool = context.db, context.lab.members.pool
    if not db.get("pool", pool, "ha_enabled"):
        raise XapiError("HA_NOT_ENABLED")
    db.update(
        "pool", pool, ha_enabled=False, ha_statefiles=[], ha_configuration={},
        allowed_operations=["ha_enable", "designate_new_master"],
    )  # fmt: skip
    high_availability.update_pool(db)


@call("pool.set_ha_host_failures_to_tolerate")
async def set_ha_host_failures_to_tolerate(context: Context, pool: str, value: int) -> None:
    db = context.db
    if value < 0:
        raise XapiError("INVALID_VALUE", "ha_host_failures_to_tolerate", value)
    if db.get("pool", pool, "ha_plan_exists_for") > 0 and value > high_availability.most_failures(db):
        raise XapiError("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN")
    db.set("pool", pool, "ha_host_failures_to_tolerate", value)
    high_availability.update_pool(db)


@call("pool.ha_compute_max_host_failures_to_tolerate")
async def compute_max_failures(context: Context) -> int:
    return high_availability.most_failures(context.db)


@call("pool.ha_compute_hypothetical_max_host_failures_to_tolerate")
async def compute_hypothetical_max_failures(context: Context, configuration: dict[str, str]) -> int:
    return high_availability.most_failures(context.db, configuration)


@call("pool.ha_failover_plan_exists")
async def failover_plan_exists(context: Context, n: int) -> bool:
    return n <= high_availability.most_failures(context.db)


@call("pool.ha_compute_vm_failover_plan")
async def compute_vm_failover_plan(
    context: Context, failed_hosts: list[str], failed_vms: list[str]
) -> dict[str, dict[str, str]]:
    plan = high_availability.fits(context.db, failed_hosts, failed_vms) or {}
    return {
        vm: {"host": context.db.get("host", plan[vm], "uuid")} if vm in plan else {"error_code": "NO_HOSTS_AVAILABLE"}
        for vm in failed_vms
    }
