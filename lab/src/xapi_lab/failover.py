# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Hosts that are lost and come back, restarts of XAPI, and who is the coordinator afterwards.

The machines of a lost host end at once. What the pool makes of it comes `host_assumed_dead_after` seconds later: with HA
its VMs become Halted and the protected ones are started elsewhere; without, only host_metrics.live tells, until somebody
calls host.declare_dead (xapi_ha.ml, xapi_ha_vm_failover.ml, db_gc.ml).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from xapi_lab import guests, high_availability, memory, placement
from xapi_lab.faults import ConnectionCut, Fault
from xapi_lab.machines.contract import MachineError
from xapi_lab.values import NULL, now

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

_LOG = logging.getLogger(__name__)
FUSE = 0.2
"""Seconds from the answer to a call that ends XAPI to its end (xapi_fuse.ml)."""
GUEST_SECONDS = 10.0
"""How long a host that is shut down waits for its guests."""
BOOT_SECONDS = 1.0
"""How long a host that restarts is away."""


class FailoverError(Exception):
    """What was asked of the hosts cannot be done; the message says why."""


def after_start(lab: Lab) -> None:
    """Hosts that are up say so; the others stay as they were left."""
    for host in lab.members.up():
        lab.database.set("host", host, "enabled", True)
        _set_live(lab, host, True)
        memory.publish(lab.database, host)


def notice_losses(lab: Lab) -> None:
    """Let the pool notice the losses of which an earlier lab process had not told it."""
    for host in lab.members.lost:
        was_coordinator = host == lab.members.coordinator
        if placement.is_live(lab.database, host) and not lab.members.emergency:
            lab.background(_notice_loss(lab, host, was_coordinator))


def find_host(lab: Lab, wanted: str) -> str:
    """A host by name, uuid or address; raises FailoverError."""
    for host, record in lab.database.records("host"):
        if wanted in {record["name_label"], record["uuid"], record["address"]}:
            return host
    names = ", ".join(record["name_label"] for _, record in lab.database.records("host"))
    raise FailoverError(f"no host of the pool is called {wanted}; there are {names}")


# --- faults


async def strike(lab: Lab, faults: list[Fault], asked: str, moment: str) -> None:
    """Let happen what the faults of a call do to the pool; ConnectionCut when the host that was asked is no longer there."""
    for fault in faults:
        if fault.is_event and (fault.cut or "after") == moment:
            try:
                lost = await lab.to_the_end(carry_out(lab, fault))
            except FailoverError as error:
                _LOG.warning("fault %d: %s", fault.id, error)
                continue
            if lost in {asked, None}:
                raise ConnectionCut


async def carry_out(lab: Lab, fault: Fault) -> str | None:
    """Do to the pool what a fault says; the host that was lost, None when it was all connections."""
    if fault.host_loss:
        coordinator = lab.members.coordinator
        host = coordinator if fault.host_loss == "coordinator" else find_host(lab, fault.host_loss)
        await lose(lab, host)
        return host
    if fault.failover:
        others = [host for host in lab.members.up() if host != lab.members.coordinator]
        if not others:
            raise FailoverError("there is no other host that could become coordinator")
        make_coordinator(lab, others[0], everywhere=True)
    else:
        await restart_xapi(lab, fault.downtime)
    return None


# --- hosts


async def lose(lab: Lab, host: str) -> None:
    """Take the power from a host: its machines end, its port closes, what it was doing is cut off."""
    members = lab.members
    if host in members.lost:
        return
    if len(members.up()) == 1:
        raise FailoverError("this is the last host that is up; use `xapi-lab down` to end the lab")
    was_coordinator = members.is_coordinator(host)
    members.lost.add(host)
    members.stranded.pop(host, None)
    if was_coordinator:
        _drop_sessions_and_tasks(lab)
        members.stranded = dict.fromkeys(members.up(), members.address(host))
    members.save()
    await lab.listeners.close(members.address(host))
    for vm in placement.user_vms(lab.database, host):
        try:
            await lab.machines.kill(lab.database.get("VM", vm, "uuid"))
        except MachineError as error:
            _LOG.warning("a machine of the lost host did not end: %s", error)
    lab.background(_notice_loss(lab, host, was_coordinator))


async def _notice_loss(lab: Lab, host: str, was_coordinator: bool) -> None:
    await asyncio.sleep(lab.config.host_assumed_dead_after)
    members = lab.members
    if host not in members.lost:
        return
    ha_enabled = lab.database.get("pool", members.pool, "ha_enabled")
    if was_coordinator and members.coordinator == host:
        if not ha_enabled:
            members.emergency = True
            members.save()
            return
        make_coordinator(lab, members.up()[0], everywhere=True)
    _set_live(lab, host, False)
    if ha_enabled:
        await high_availability.recover(lab, host, declare_dead(lab, host))


async def bring_back(lab: Lab, host: str) -> None:
    """A lost host boots: nothing runs on it, and it joins the pool that there is now."""
    members = lab.members
    if host not in members.lost:
        return
    members.lost.discard(host)
    for vm in placement.user_vms(lab.database, host):
        guests.set_halted(lab, vm)
    if members.coordinator == host:
        members.stranded, members.emergency = {}, False
    members.save()
    lab.database.set("host", host, "enabled", True)
    _set_live(lab, host, True)
    memory.publish(lab.database, host)
    await lab.listeners.open(members.address(host))


def declare_dead(lab: Lab, host: str) -> list[str]:
    """Make the VMs of a dead host Halted; which they were."""
    vms = placement.user_vms(lab.database, host)
    for vm in vms:
        guests.set_halted(lab, vm)
    memory.publish(lab.database, host)
    return vms


async def shut_down_after_answer(lab: Lab, host: str, *, restart: bool) -> None:
    """Shut a host down with its guests once the call that asked for it has its answer; `restart`: and boot it."""
    await asyncio.sleep(FUSE)
    for vm in placement.user_vms(lab.database, host):
        uuid = lab.database.get("VM", vm, "uuid")
        try:
            if not await lab.machines.shutdown(uuid, GUEST_SECONDS):
                await lab.machines.kill(uuid)
        except MachineError as error:
            _LOG.warning("a machine of a host that was shut down did not end: %s", error)
        guests.set_halted(lab, vm)
    if len(lab.members.up()) > 1:
        await lose(lab, host)
        if restart:
            await asyncio.sleep(BOOT_SECONDS)
            await bring_back(lab, host)
    else:
        lab.database.set("host", host, "enabled", True)
        await restart_xapi(lab, BOOT_SECONDS)


# --- the coordinator


def make_coordinator(lab: Lab, host: str, *, everywhere: bool) -> None:
    """Give the pool another coordinator; `everywhere`: the other members follow it, else only once they are told to.

    Sessions and tasks are those of the coordinator before, and end with it.
    """
    members = lab.members
    lab.database.set("pool", members.pool, "master", host)
    members.follow_coordinator(list(members.stranded) if everywhere else [host])
    _begin_anew(lab)


async def restart_xapi_after_answer(lab: Lab) -> None:
    await asyncio.sleep(FUSE)
    await restart_xapi(lab)


async def restart_xapi(lab: Lab, downtime: float = 0.0) -> None:
    """Restart XAPI on the coordinator: sessions and tasks end, objects stay; its port is closed for `downtime` seconds."""
    address = lab.members.address(lab.members.coordinator)
    _begin_anew(lab)
    if downtime:
        await lab.listeners.close(address)
        lab.background(_open_later(lab, address, downtime))


def _begin_anew(lab: Lab) -> None:
    _drop_sessions_and_tasks(lab)
    lab.save()
    lab.listeners.cut()


async def _open_later(lab: Lab, address: str, seconds: float) -> None:
    await asyncio.sleep(seconds)
    if lab.members.at(address) not in lab.members.lost:
        await lab.listeners.open(address)


async def make_coordinator_after_answer(lab: Lab, host: str, *, everywhere: bool) -> None:
    """Make a host the coordinator once the call that asked for it has its answer."""
    await asyncio.sleep(FUSE)
    make_coordinator(lab, host, everywhere=everywhere)


def _drop_sessions_and_tasks(lab: Lab) -> None:
    lab.sessions.logout_all()
    for task in lab.database.refs("task"):
        lab.tasks.forget(task)
    lab.wake()


def _set_live(lab: Lab, host: str, live: bool) -> None:
    metrics = lab.database.get("host", host, "metrics")
    if metrics != NULL:
        lab.database.update("host_metrics", metrics, live=live, last_updated=now())
