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


async def move(context: Context, vm_ref: str, host: str) -> None:
    """Move a running VM; a move to the host that it is on starts its machine's process anew, as XAPI's does."""
    lab, db = context.lab, context.db
    async with context.operation("VM", vm_ref, "pool_migrate"):
        source = db.get("VM", vm_ref, "resident_on")
        lab.members.check_reachable(source)
        refusal = placement.refusal(db, vm_ref, host)
        if refusal is not None:
            raise refusal
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
    _announce(context, vm_ref, source, host)


def _announce(context: Context, vm_ref: str, source: str, host: str) -> None:
    db = context.db
    vm = db.record("VM", vm_ref)
    where = [
        f"host '{db.get('host', ref, 'name_label')}' (uuid: {db.get('host', ref, 'uuid')})" for ref in (source, host)
    ]
    body = f"VM '{vm['name_label']}' (uuid: {vm['uuid']}) migrated from {where[0]} to {where[1]}"
    context.lab.messages.create("VM_MIGRATED", 5, "VM", vm["uuid"], body)


@call("VM.assert_can_migrate")
async def assert_can_migrate(
    context: Context, vm_ref: str, dest: dict[str, str], live: bool, vdi_map: dict[str, str], vif_map: dict[str, str],
    options: dict[str, str] | None = None, vgpu_map: dict[str, str] | None = None,
) -> None:  # fmt: skip
    db = context.db
    host = dest.get("host", "")
    if not db.exists("host", host):
        raise XapiError("HANDLE_INVALID", "host", host)
    for vdi in _moving_disks(context, vm_ref):
        if vdi not in vdi_map:
            raise XapiError("VDI_NOT_IN_MAP", vdi)
        if vdi_map[vdi] != db.get("VDI", vdi, "SR"):
            raise XapiError("SR_DOES_NOT_SUPPORT_MIGRATION", db.get("VDI", vdi, "SR"), "VDI_MIRROR")
    refusal = placement.refusal(db, vm_ref, host, storage=False)
    if refusal is not None:
        raise refusal
    if vif_map:
        reason = "VIF mapping is not allowed for intra-pool migration -all VIFs must be on the same network"
        raise XapiError("OPERATION_NOT_ALLOWED", reason)


def _moving_disks(context: Context, vm_ref: str) -> list[str]:
    """The disks of a VM that a migration must have a place for: those in its CD drives are none."""
    vbds = [context.db.record("VBD", vbd) for vbd in context.db.get("VM", vm_ref, "VBDs")]
    return [vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk" and context.db.exists("VDI", vbd["VDI"])]


@call("host.migrate_receive")
async def migrate_receive(context: Context, host: str, network: str, options: dict[str, str]) -> dict[str, str]:
    """Where a VM may be sent: what assert_can_migrate takes as its destination."""
    members, port = context.lab.members, context.lab.listeners.port
    context.db.row("network", network)
    if not placement.has_network(context.db, host, network):
        raise XapiError("CANNOT_FIND_NETWORK_ON_HOST", network, host)
    base = f"https://{members.address(host)}:{port}"
    return {
        "SM": f"{base}/services/SM?session_id={context.session}",
        "host": host,
        "xenops": f"{base}/services/xenops?session_id={context.session}",
        "session_id": context.session,
        "master": f"https://{members.address(members.coordinator)}:{port}/",
    }
