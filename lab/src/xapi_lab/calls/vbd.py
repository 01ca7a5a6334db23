# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""VBDs: disks and CD drives of VMs."""

from __future__ import annotations

import re
from typing import Any

from xapi_lab import guests
from xapi_lab.calls import generic
from xapi_lab.calls.registry import Context, call
from xapi_lab.database import Record
from xapi_lab.errors import XapiError
from xapi_lab.machines.contract import MachineError
from xapi_lab.operations import bad_power_state
from xapi_lab.values import NULL

_DEVICE = re.compile(r"-?[0-9]{1,18}|(?:xvd|hd|sd)[a-z]{1,2}")
LARGEST_POSITION = 254


def used_positions(context: Context, vm: str) -> set[int]:
    vbds = context.db.get("VM", vm, "VBDs")
    return {guests.device_number(context.db.get("VBD", vbd, "userdevice")) for vbd in vbds}


@call("VM.get_allowed_VBD_devices")
async def get_allowed_vbd_devices(context: Context, vm: str) -> list[str]:
    used = used_positions(context, vm)
    return [str(number) for number in range(LARGEST_POSITION + 1) if number not in used]


def _free_position(context: Context, vm: str, kind: str) -> str:
    used = used_positions(context, vm)
    order = [3, *range(LARGEST_POSITION + 1)] if kind == "CD" else list(range(LARGEST_POSITION + 1))
    for number in order:
        if number not in used:
            return str(number)
    raise XapiError("INVALID_DEVICE", "autodetect")


def create_vbd(context: Context, record: Record) -> str:
    """A VBD from a constructor's record; not plugged."""
    db = context.db
    vm, vdi = record["VM"], record["VDI"]
    db.row("VM", vm)
    if not record["empty"]:
        db.row("VDI", vdi)
    elif record["type"] == "Disk":
        raise XapiError("VBD_NOT_REMOVABLE_MEDIA", "in constructor")
    if record["type"] == "CD" and record["mode"] != "RO":
        raise XapiError("VBD_CDS_MUST_BE_READONLY")
    if not record["empty"] and record["mode"] == "RW" and db.get("VDI", vdi, "read_only"):
        raise XapiError("VDI_READONLY", vdi)
    return add_vbd(context, record)


def add_vbd(context: Context, record: Record) -> str:
    """A VBD at a position that is free, whatever its disk is; not plugged."""
    db, vm, vdi, device = context.db, record["VM"], record["VDI"], record["userdevice"]
    if device == "autodetect":
        device = _free_position(context, vm, record["type"])
    if not _DEVICE.fullmatch(device):
        raise XapiError("INVALID_DEVICE", device)
    if guests.device_number(device) in used_positions(context, vm):
        raise XapiError("DEVICE_ALREADY_EXISTS", device)
    return db.create(
        "VBD", {**record, "userdevice": device, "VDI": NULL if record["empty"] else vdi, "device": "",
                "currently_attached": False}
    )  # fmt: skip


@call("VBD.create")
async def create(context: Context, given: dict[str, Any]) -> str:
    return create_vbd(context, generic.constructor_record(context.lab.model.classes["VBD"], given))


@call("VBD.destroy")
async def destroy(context: Context, vbd: str) -> None:
    record = context.db.record("VBD", vbd)
    if record["currently_attached"]:
        vm = context.db.get("VM", record["VM"], "uuid")
        raise XapiError("OPERATION_NOT_ALLOWED", f"VBD '{record['uuid']}' still attached to '{vm}'")
    context.db.destroy("VBD", vbd)


@call("VBD.plug")
async def plug(context: Context, vbd: str) -> None:
    async with context.operation("VBD", vbd, "plug"):
        record = context.db.record("VBD", vbd)
        disk = guests.disk_spec(context.lab, record)
        try:
            await context.lab.machines.plug_disk(context.db.get("VM", record["VM"], "uuid"), disk)
        except MachineError as error:
            raise guests.machine_failure(error) from error
        context.db.update("VBD", vbd, device=guests.device_name(disk.device), currently_attached=True)


async def _unplug(context: Context, vbd: str, operation: str) -> None:
    async with context.operation("VBD", vbd, operation):
        record = context.db.record("VBD", vbd)
        number = guests.device_number(record["userdevice"])
        try:
            await context.lab.machines.unplug_disk(context.db.get("VM", record["VM"], "uuid"), number)
        except MachineError as error:
            raise XapiError("DEVICE_DETACH_REJECTED", "VBD", vbd, str(error)) from error
        context.db.set("VBD", vbd, "currently_attached", False)


@call("VBD.unplug")
async def unplug(context: Context, vbd: str) -> None:
    await _unplug(context, vbd, "unplug")


@call("VBD.unplug_force")
async def unplug_force(context: Context, vbd: str) -> None:
    await _unplug(context, vbd, "unplug_force")


async def change_medium(context: Context, vbd: str, vdi: str) -> None:
    """Put another medium, or NULL for none, into a CD drive."""
    record = context.db.record("VBD", vbd)
    vm = context.db.record("VM", record["VM"])
    changed = {**record, "VDI": vdi}
    if vm["power_state"] in {"Running", "Paused"} and record["currently_attached"]:
        disk = guests.disk_spec(context.lab, changed)
        try:
            await context.lab.machines.change_medium(vm["uuid"], disk.device, disk.path)
        except MachineError as error:
            raise guests.machine_failure(error) from error
    context.db.update("VBD", vbd, VDI=vdi, empty=vdi == NULL)


@call("VBD.insert")
async def insert(context: Context, vbd: str, vdi: str) -> None:
    context.db.row("VDI", vdi)
    async with context.operation("VBD", vbd, "insert"):
        await change_medium(context, vbd, vdi)


@call("VBD.eject")
async def eject(context: Context, vbd: str) -> None:
    async with context.operation("VBD", vbd, "eject"):
        await change_medium(context, vbd, NULL)


@call("VBD.set_mode")
async def set_mode(context: Context, vbd: str, value: str) -> None:
    vm = context.db.get("VBD", vbd, "VM")
    state = context.db.get("VM", vm, "power_state")
    if state != "Halted":
        raise bad_power_state(vm, ("Halted",), state)
    context.db.set("VBD", vbd, "mode", value)


@call("VBD.assert_attachable")
async def assert_attachable(context: Context, vbd: str) -> None:
    await context.wait_until_allowed("VBD", vbd, "attach")
