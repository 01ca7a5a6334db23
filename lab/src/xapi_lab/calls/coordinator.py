# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Who coordinates the pool: a planned change, and what members are told when the coordinator is lost (xapi_pool.ml)."""

from __future__ import annotations

from xapi_lab import failover
from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError


def _check_no_ha(context: Context) -> None:
    if context.db.get("pool", context.lab.members.pool, "ha_enabled"):
        raise XapiError("HA_IS_ENABLED")


@call("pool.designate_new_master")
async def designate_new_master(context: Context, host: str) -> None:
    if host == context.lab.members.coordinator:
        return
    _check_no_ha(context)
    context.lab.members.check_reachable(host)
    context.background(failover.make_coordinator_after_answer(context.lab, host, everywhere=True))


@call("pool.emergency_transition_to_master")
async def emergency_transition_to_master(context: Context) -> None:
    """The member that is asked becomes coordinator; the others follow it once pool.recover_slaves has told them."""
    if context.lab.members.is_coordinator(context.host):
        return
    _check_no_ha(context)
    context.background(failover.make_coordinator_after_answer(context.lab, context.host, everywhere=False))


@call("pool.emergency_reset_master")
async def emergency_reset_master(context: Context, master_address: str) -> None:
    """The member that is asked follows the host at an address, which the lab obeys only when that is the coordinator."""
    members = context.lab.members
    if members.is_coordinator(context.host) or master_address != members.address(members.coordinator):
        return
    _check_no_ha(context)
    members.follow_coordinator([context.host])


@call("pool.recover_slaves")
async def recover_slaves(context: Context) -> list[str]:
    members = context.lab.members
    recovered = [host for host in members.up() if host in members.stranded]
    members.follow_coordinator(recovered)
    return recovered
