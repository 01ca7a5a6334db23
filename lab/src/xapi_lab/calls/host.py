# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Hosts: maintenance mode, evacuation, death."""

from __future__ import annotations

import asyncio

from xapi_lab import failover, high_availability, placement
from xapi_lab.calls.migration import move
from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.operations import busy

DEFAULT_BATCH = 10
"""VMs that are moved at once (xapi_globs.ml: evacuation_batch_size)."""


def _ha_enabled(context: Context) -> bool:
    return bool(context.db.get("pool", context.lab.members.pool, "ha_enabled"))


@call("host.enable")
async def enable(context: Context, host: str) -> None:
    context.lab.members.check_reachable(host)
    context.db.set("host", host, "enabled", True)


@call("host.disable")
async def disable(context: Context, host: str, auto_enable: bool = True) -> None:
    context.lab.members.check_reachable(host)
    enabled = context.db.get("host", host, "enabled")
    if high_availability.breaks_plan(context.db, lambda: context.db.set("host", host, "enabled", False)):
        context.db.set("host", host, "enabled", enabled)
        raise XapiError("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN")


@call("host.get_vms_which_prevent_evacuation")
async def get_vms_which_prevent_evacuation(context: Context, host: str) -> dict[str, list[str]]:
    plan = placement.evacuation_plan(context.db, host, _ha_enabled(context))
    return {vm: target.description for vm, target in plan.items() if isinstance(target, XapiError)}


@call("host.get_uncooperative_resident_VMs")
async def get_uncooperative_resident_vms(context: Context, host: str) -> list[str]:
    return []


@call("host.assert_can_evacuate")
async def assert_can_evacuate(context: Context, host: str) -> None:
    errors = await get_vms_which_prevent_evacuation(context, host)
    if errors:
        raise XapiError("CANNOT_EVACUATE_HOST", "|".join(",".join(error) for error in errors.values()))


@call("host.evacuate")
async def evacuate(context: Context, host: str, network: str = "", evacuate_batch_size: int = 0) -> None:
    db = context.db
    context.lab.members.check_reachable(host)
    if db.get("host", host, "current_operations"):
        raise busy("host", host, db.get("host", host, "current_operations"))
    plan = placement.evacuation_plan(db, host, _ha_enabled(context))
    moves: list[tuple[str, str]] = []
    for vm, target in plan.items():
        if isinstance(target, XapiError):
            raise target
        moves.append((vm, target))
    db.put_in_map("host", host, "current_operations", context.task, "evacuate")
    at_once = asyncio.Semaphore(evacuate_batch_size if evacuate_batch_size > 0 else DEFAULT_BATCH)
    done = 0

    async def migrate(vm: str, target: str) -> None:
        nonlocal done
        async with at_once:
            try:
                await move(context, vm, target)
            except XapiError as error:
                # A guest that was switched off meanwhile is no hindrance.
                if error.code != "VM_BAD_POWER_STATE":
                    raise
            done += 1
            context.progress(done / len(moves))

    try:
        await asyncio.gather(*(migrate(vm, target) for vm, target in moves))
    finally:
        if db.exists("host", host):
            db.remove_from_map("host", host, "current_operations", context.task)


@call("host.declare_dead")
async def declare_dead(context: Context, host: str) -> None:
    _check_gone(context, host)
    failover.declare_dead(context.lab, host)
    context.db.set("host", host, "enabled", False)


@call("host.destroy")
async def destroy(context: Context, host: str) -> None:
    db = context.db
    _check_gone(context, host)
    if _ha_enabled(context):
        raise XapiError("HA_IS_ENABLED")
    if placement.user_vms(db, host):
        raise XapiError("HOST_HAS_RESIDENT_VMS", host)
    record = db.record("host", host)
    for vm in list(record["resident_VMs"]):
        db.destroy("VM", vm)
    for class_name, field in (("PBD", "PBDs"), ("PIF", "PIFs"), ("host_cpu", "host_CPUs")):
        for ref in list(record[field]):
            db.destroy(class_name, ref)
    db.destroy("host_metrics", record["metrics"])
    db.destroy("host", host)
    context.lab.members.forget(host)


def _check_gone(context: Context, host: str) -> None:
    if host not in context.lab.members.lost:
        raise XapiError("HOST_IS_LIVE", host)


@call("host.set_power_on_mode")
async def set_power_on_mode(context: Context, host: str, mode: str, config: dict[str, str]) -> None:
    context.db.update("host", host, power_on_mode=mode, power_on_config=config)
