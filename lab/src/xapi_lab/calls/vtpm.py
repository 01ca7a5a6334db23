# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Virtual TPMs: at most one a VM, added to and taken from halted VMs (xapi_vtpm.ml)."""

from __future__ import annotations

from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.operations import bad_power_state, vm_refusal
from xapi_lab.values import copy_value


@call("VTPM.create")
async def create(context: Context, vm_ref: str, is_unique: bool) -> str:
    refusal = vm_refusal(context.db, vm_ref, "create_vtpm")
    if refusal is not None:
        raise refusal
    there = context.db.get("VM", vm_ref, "VTPMs")
    if there:
        raise XapiError("VTPM_MAX_AMOUNT_REACHED", len(there))
    return context.db.create("VTPM", {"VM": vm_ref, "is_unique": is_unique, "persistence_backend": "xapi"})


@call("VTPM.destroy")
async def destroy(context: Context, vtpm: str) -> None:
    vm_ref = context.db.get("VTPM", vtpm, "VM")
    state = context.db.get("VM", vm_ref, "power_state")
    if state != "Halted":
        raise bad_power_state(vm_ref, ("Halted",), state)
    context.db.destroy("VTPM", vtpm)


def copy_vtpms(context: Context, source: str, target: str) -> None:
    """Give a clone, a copy or a snapshot a virtual TPM of its own where its source has one."""
    for vtpm in context.db.get("VM", source, "VTPMs"):
        record = copy_value(context.db.record("VTPM", vtpm))
        for field in ("uuid", "allowed_operations", "current_operations"):
            del record[field]
        context.db.create("VTPM", {**record, "VM": target})
