# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Snapshots and checkpoints of VMs, and the way back to them."""

from __future__ import annotations

import json

from xapi_lab import guest_metrics
from xapi_lab.calls.registry import Context, call
from xapi_lab.calls.vdi import clone_vdi, destroy_vdi
from xapi_lab.calls.vif import remove_vif
from xapi_lab.calls.vm_objects import attach_copy, copied_disks, copied_vifs, copied_vm
from xapi_lab.calls.vm_power import copy_suspend_image, kill_machine, resume_machine, suspend_machine
from xapi_lab.database import Record
from xapi_lab.errors import XapiError
from xapi_lab.operations import vm_refusal
from xapi_lab.values import NULL, now

_NOT_REVERTED = {
    "tags", "affinity", "groups", "power_state", "last_booted_record", "suspend_VDI", "is_vmss_snapshot",
    "is_snapshot_from_vmpp",
}  # fmt: skip


async def _snapshot(context: Context, vm_ref: str, name: str, ignored: list[str]) -> str:
    db = context.db
    state = db.get("VM", vm_ref, "power_state")
    metadata = json.dumps(_constructor_fields(context, db.record("VM", vm_ref)))
    new = copied_vm(context, vm_ref, name, snapshot=True)
    await copied_disks(context, vm_ref, new, "snapshot", NULL, ignored)
    copied_vifs(context, vm_ref, new, keep_mac=True)
    db.update(
        "VM", new, is_a_snapshot=True, is_a_template=True, snapshot_of=vm_ref, snapshot_time=now(),
        snapshot_info={"power-state-at-snapshot": state, "disk-snapshot-type": "crash_consistent"},
        snapshot_metadata=metadata, parent=db.get("VM", vm_ref, "parent"),
    )  # fmt: skip
    db.set("VM", vm_ref, "parent", new)
    return new


def _constructor_fields(context: Context, vm: Record) -> Record:
    fields = context.lab.model.classes["VM"].fields
    return {"uuid": vm["uuid"], **{name: vm[name] for name, field in fields.items() if field.in_constructor}}


@call("VM.snapshot")
async def snapshot(context: Context, vm_ref: str, name: str, ignore_vdis: list[str] | None = None) -> str:
    async with context.operation("VM", vm_ref, "snapshot"):
        return await _snapshot(context, vm_ref, name, ignore_vdis or [])


@call("VM.checkpoint")
async def checkpoint(context: Context, vm_ref: str, name: str) -> str:
    async with context.operation("VM", vm_ref, "checkpoint"):
        db = context.db
        state, host = db.get("VM", vm_ref, "power_state"), db.get("VM", vm_ref, "resident_on")
        if state == "Suspended":
            return await _checkpointed(context, vm_ref, name, state)
        if state == "Paused":
            if guest_metrics.guest_kind(context.lab, db.record("VM", vm_ref)) == "silent":
                raise XapiError("VM_LACKS_FEATURE", vm_ref)
            return await _snapshot(context, vm_ref, name, [])
        await suspend_machine(context, vm_ref)
        try:
            return await _checkpointed(context, vm_ref, name, state)
        finally:
            await resume_machine(context, vm_ref, host, paused=False)


async def _checkpointed(context: Context, vm_ref: str, name: str, state: str) -> str:
    new = await _snapshot(context, vm_ref, name, [])
    context.db.put_in_map("VM", new, "snapshot_info", "power-state-at-snapshot", state)
    copy_suspend_image(context, vm_ref, new)
    return new


# --- revert


@call("VM.revert")
async def revert(context: Context, snapshot_ref: str) -> None:
    db = context.db
    refusal = vm_refusal(db, snapshot_ref, "revert")
    if refusal is not None:
        raise refusal
    if not db.exists("VM", db.get("VM", snapshot_ref, "snapshot_of")):
        _recreate(context, snapshot_ref)
    vm_ref = db.get("VM", snapshot_ref, "snapshot_of")
    async with context.operations(("VM", snapshot_ref, "revert"), ("VM", vm_ref, "reverting")):
        await _revert(context, snapshot_ref, vm_ref)


async def _revert(context: Context, snapshot_ref: str, vm_ref: str) -> None:
    db = context.db
    if db.get("VM", vm_ref, "power_state") != "Halted":
        await kill_machine(context, vm_ref)
    saved, vm = db.record("VM", snapshot_ref), db.record("VM", vm_ref)
    saved_disks = {
        db.get("VDI", vdi, "snapshot_of")
        for vbd in saved["VBDs"]
        if (vdi := db.get("VBD", vbd, "VDI")) != NULL and db.exists("VDI", vdi)
    }
    for vbd in list(vm["VBDs"]):
        vdi = db.get("VBD", vbd, "VDI")
        db.destroy("VBD", vbd)
        if vdi in saved_disks and db.exists("VDI", vdi):
            await destroy_vdi(context, vdi)
    for vif in list(vm["VIFs"]):
        remove_vif(context, vif)
    fields = _saved_fields(saved)
    db.update("VM", vm_ref, **{name: fields[name] for name in fields.keys() - _NOT_REVERTED - {"uuid"}})
    await _restore_disks(context, snapshot_ref, vm_ref)
    copied_vifs(context, snapshot_ref, vm_ref, keep_mac=True)
    db.set("VM", vm_ref, "parent", snapshot_ref)
    if saved["power_state"] == "Suspended":
        copy_suspend_image(context, snapshot_ref, vm_ref)


def _saved_fields(saved: Record) -> Record:
    try:
        fields: Record = json.loads(saved["snapshot_metadata"])
    except ValueError:
        raise XapiError("INTERNAL_ERROR", "the snapshot's metadata is not what the lab wrote") from None
    return fields


def _recreate(context: Context, snapshot_ref: str) -> None:
    """Bring back the VM of a snapshot that outlived it: with its old uuid, and a new reference."""
    db = context.db
    gone = db.get("VM", snapshot_ref, "snapshot_of")
    metrics = db.create("VM_metrics", {"current_domain_type": "unspecified"})
    fields = _saved_fields(db.record("VM", snapshot_ref))
    vm_ref = db.create("VM", {**fields, "power_state": "Halted", "metrics": metrics, "domid": -1})
    for ref in db.refs("VM"):
        if db.get("VM", ref, "snapshot_of") == gone:
            db.set("VM", ref, "snapshot_of", vm_ref)


async def _restore_disks(context: Context, snapshot_ref: str, vm_ref: str) -> None:
    db = context.db
    for vbd in [db.record("VBD", ref) for ref in reversed(db.get("VM", snapshot_ref, "VBDs"))]:
        vdi = vbd["VDI"]
        if vbd["type"] != "Disk" or vdi == NULL or not db.exists("VDI", vdi):
            attach_copy(context, vbd, vm_ref, vdi)
            continue
        new = await clone_vdi(context, vdi, snapshot=False)
        attach_copy(context, vbd, vm_ref, new)
        db.set("VDI", vdi, "snapshot_of", new)
