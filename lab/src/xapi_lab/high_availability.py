# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""High availability: which VMs are protected, for how many lost hosts there is room, and what is restarted after a loss.

XAPI's planner packs VMs into hosts with a search; here the largest goes first to where most is free, which finds the same
answer for pools of like hosts (xapi_ha_vm_failover.ml).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

from xapi_lab import guests, memory, placement
from xapi_lab.calls.registry import CALLS
from xapi_lab.database import Database, Record
from xapi_lab.errors import XapiError

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

_LOG = logging.getLogger(__name__)


def is_protected(vm: Record) -> bool:
    return bool(vm["ha_always_run"]) and vm["ha_restart_priority"] == "restart"


def protected(db: Database) -> list[str]:
    """The VMs that HA keeps running, in the order in which it starts them."""
    vms = [ref for ref, vm in db.records("VM") if is_protected(vm) and not vm["is_a_template"]]
    return sorted(vms, key=lambda vm: db.get("VM", vm, "order"))


def fits(db: Database, failed: Iterable[str], vms: Iterable[str]) -> dict[str, str] | None:
    """Where VMs would be restarted when hosts have failed; None when there is no room for all.

    VMs with a disk on a local SR are left out: no plan can help them (Plan_exists_excluding_non_agile_VMs).
    """
    failed = set(failed)
    hosts = [
        h for h in db.refs("host") if h not in failed and db.get("host", h, "enabled") and placement.is_live(db, h)
    ]
    free = {host: memory.free(db, host) for host in hosts}
    plan = {}
    agile = [vm for vm in vms if placement.is_agile(db, vm)]
    for vm in sorted(agile, key=lambda vm: -memory.needed(db.record("VM", vm))):
        needed = memory.needed(db.record("VM", vm))
        room = [host for host in hosts if free[host] >= needed]
        if not room:
            return None
        plan[vm] = max(room, key=free.__getitem__)
        free[plan[vm]] -= needed
    return plan


def most_failures(db: Database, priorities: Mapping[str, str] | None = None) -> int:
    """How many hosts may fail, the ones with most protected memory first, before a protected VM has no place.

    `priorities`: restart priorities by VM, to plan with in the place of what the VMs have.
    """
    vms = [vm for vm, priority in priorities.items() if priority == "restart"] if priorities else protected(db)
    by_host: dict[str, list[str]] = {host: [] for host in db.refs("host") if placement.is_live(db, host)}
    for vm in vms:
        record = db.record("VM", vm)
        host = record["resident_on"] if record["resident_on"] in by_host else record["scheduled_to_be_resident_on"]
        by_host.setdefault(host, []).append(vm)
    load = {host: sum(memory.needed(db.record("VM", vm)) for vm in vms) for host, vms in by_host.items()}
    worst = sorted((host for host in by_host if host in db.refs("host")), key=lambda host: -load[host])
    for n in range(1, len(worst)):
        if fits(db, worst[:n], [vm for host in worst[:n] for vm in by_host[host]]) is None:
            return n - 1
    return max(0, len(worst) - 1)


def breaks_plan(db: Database, change: Callable[[], None]) -> bool:
    """Make a change; True when the pool could lose as many hosts as it wants to before it, and no longer can."""
    pool = db.record("pool", db.refs("pool")[0])
    wanted = pool["ha_host_failures_to_tolerate"]
    held = bool(pool["ha_enabled"]) and most_failures(db) >= wanted
    change()
    return held and most_failures(db) < wanted


def update_pool(db: Database) -> None:
    """Bring pool.ha_plan_exists_for and ha_overcommitted up to date."""
    pool = db.refs("pool")[0]
    possible = most_failures(db) if db.get("pool", pool, "ha_enabled") else 0
    wanted = db.get("pool", pool, "ha_host_failures_to_tolerate")
    db.update("pool", pool, ha_plan_exists_for=min(possible, wanted), ha_overcommitted=wanted > possible)


async def recover(lab: Lab, host: str, lost: Iterable[str]) -> None:
    """After the death of a host, whose VMs are Halted now: start the protected ones, then those of best effort.

    Protected VMs go by `order`, each group at once and after the start delays of the one before; the others when those are
    up. A protected VM that finds no host is told of in a message.
    """
    db = lab.database
    record = db.record("host", host)
    lab.messages.create("HA_HOST_FAILED", 3, "Host", record["uuid"], f"Server '{record['name_label']}' has failed")
    halted = [vm for vm in protected(db) if db.get("VM", vm, "power_state") == "Halted"]
    for _, group in groupby(halted, key=lambda vm: db.get("VM", vm, "order")):
        await asyncio.gather(*(_restart(lab, vm, alert=True) for vm in list(group)))
    effort = [vm for vm in lost if db.exists("VM", vm) and db.get("VM", vm, "ha_restart_priority") == "best-effort"]
    await asyncio.gather(*(_restart(lab, vm, alert=False) for vm in effort))
    update_pool(db)


async def keep_running(lab: Lab, vm_uuid: str) -> None:
    """Start a protected VM that has ended without a call that asked for it (restart_auto_run_vms in xapi_ha_vm_failover.ml)."""
    db = lab.database
    vm = db.find_uuid("VM", vm_uuid)
    if vm is None or not db.get("pool", db.refs("pool")[0], "ha_enabled"):
        return
    if is_protected(db.record("VM", vm)) and db.get("VM", vm, "power_state") == "Halted":
        await _restart(lab, vm, alert=True)
        update_pool(db)


async def _restart(lab: Lab, vm: str, *, alert: bool) -> None:
    try:
        await CALLS["VM.start"](lab.system_context("VM.start"), vm, False, True)
    except XapiError as error:
        _LOG.warning("HA could not restart VM %s: %s", vm, error)
        if alert and lab.database.exists("VM", vm):
            guests.announce(lab, "HA_PROTECTED_VM_RESTART_FAILED", vm, "could not be restarted")
