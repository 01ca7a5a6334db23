# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Moving a running VM to another host of the pool (xapi_vm_migrate.ml, message_forwarding.ml)."""

from __future__ import annotations

from xapi_lab import guests, placement
from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.machines.contract import MachineError
from xapi_lab.values import NULL


@call("VM.pool_migrate")
async def pool_migrate(context: Context, vm_ref: str, host: str, options: dict[str, str]) -> None:
    context.db.row("host", host)
    await move(context, vm_ref, host)


@call("VM.restart_device_models")
async def restart_device_models(context: Context, vm_ref: str) -> None:
    vm = context.db.record("VM", vm_ref)
    if vm["power_state"] != "Running":
        raise XapiError("VM_BAD_POWER_STATE", vm_ref, "Running", vm["power_state"])
    await move(context, vm_ref, vm["resident_on"])


async def move(context: Context, vm_ref: str, host: str) -> None:
    """Move a running VM; a move to the host that it is on starts its machine's process anew, as XAPI's does."""
    db = context.db
    async with context.operation("VM", vm_ref, "pool_migrate"):
        source = db.get("VM", vm_ref, "resident_on")
        context.lab.members.check_reachable(source)
        refusal = placement.refusal(db, vm_ref, host)
        if refusal is not None:
            raise refusal
        await carry_over(context, vm_ref, host)
    announce_move(context, vm_ref, source, host)


async def carry_over(context: Context, vm_ref: str, host: str) -> None:
    """Let the machine of a running VM go on on a host that can take it."""
    lab, db = context.lab, context.db
    source = db.get("VM", vm_ref, "resident_on")
    lab.members.check_reachable(host)
    db.set("VM", vm_ref, "scheduled_to_be_resident_on", host)
    try:
        await lab.machines.migrate(guests.machine_spec(lab, vm_ref, attached_only=True), context.progress)
        if host in lab.members.lost:
            await lab.machines.kill(db.get("VM", vm_ref, "uuid"))
    except MachineError as error:
        names = (db.get("host", ref, "uuid") for ref in (source, host))
        raise XapiError("VM_MIGRATE_FAILED", vm_ref, *names, str(error)) from error
    finally:
        if db.exists("VM", vm_ref):
            db.set("VM", vm_ref, "scheduled_to_be_resident_on", NULL)
    if db.get("VM", vm_ref, "power_state") == "Running":
        guests.set_moved(lab, vm_ref, host)


def announce_move(context: Context, vm_ref: str, source: str, host: str) -> None:
    db = context.db
    vm = db.record("VM", vm_ref)
    where = [
        f"host '{db.get('host', ref, 'name_label')}' (uuid: {db.get('host', ref, 'uuid')})" for ref in (source, host)
    ]
    body = f"VM '{vm['name_label']}' (uuid: {vm['uuid']}) migrated from {where[0]} to {where[1]}"
    context.lab.messages.create("VM_MIGRATED", 5, "VM", vm["uuid"], body)


@call("host.migrate_receive")
async def migrate_receive(context: Context, host: str, network: str, options: dict[str, str]) -> dict[str, str]:
    """Where a VM may be sent: what migrate_send and assert_can_migrate take as their destination (xapi_host.ml)."""
    db, members, port = context.db, context.lab.members, context.lab.listeners.port
    pif = next((pif for pif in db.get("network", network, "PIFs") if db.get("PIF", pif, "host") == host), None)
    if pif is None:
        raise XapiError("HOST_CANNOT_ATTACH_NETWORK", host, network)
    if not db.get("PIF", pif, "IP"):
        configured = db.get("PIF", pif, "ip_configuration_mode") != "None"
        raise XapiError("INTERFACE_HAS_NO_IP" if configured else "PIF_HAS_NO_NETWORK_CONFIGURATION", pif)
    base = f"https://{members.address(host)}:{port}"
    return {
        "SM": f"{base}/services/SM?session_id={context.session}",
        "host": host,
        "xenops": f"{base}/services/xenops?session_id={context.session}",
        "session_id": context.session,
        "master": f"https://{members.address(members.coordinator)}:{port}/",
    }
