# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Making and removing VMs: create, clone, copy, provision, destroy."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from xapi_lab import guests, memory
from xapi_lab.calls import generic
from xapi_lab.calls.registry import Context, call
from xapi_lab.calls.vbd import create_vbd
from xapi_lab.calls.vdi import clone_vdi, copy_vdi, create_vdi, destroy_vdi
from xapi_lab.calls.vif import generated_mac, remove_vif
from xapi_lab.calls.vm_power import drop_suspend_image
from xapi_lab.calls.vtpm import copy_vtpms
from xapi_lab.database import Record, new_uuid
from xapi_lab.errors import XapiError, internal_error
from xapi_lab.model.types import Type
from xapi_lab.operations import bad_power_state, is_default_template, vm_refusal
from xapi_lab.values import EPOCH, NULL, copy_value, decode, now

_RUNTIME = {
    "allowed_operations", "current_operations", "VBDs", "VIFs", "VUSBs", "VGPUs", "VTPMs", "consoles", "crash_dumps",
    "snapshots", "children", "attached_PCIs", "blobs",
}  # fmt: skip
_NOT_COPIED = {
    "power_state": "Halted", "resident_on": NULL, "scheduled_to_be_resident_on": NULL, "domid": -1, "memory_target": 0,
    "is_default_template": False, "is_control_domain": False, "is_a_snapshot": False, "snapshot_of": NULL,
    "snapshot_time": EPOCH, "snapshot_info": {}, "snapshot_metadata": "", "transportable_snapshot_id": "",
    "parent": NULL, "blocked_operations": {}, "ha_always_run": False, "appliance": NULL, "order": 0, "start_delay": 0,
    "shutdown_delay": 0, "suspend_SR": NULL, "suspend_VDI": NULL, "version": 0, "snapshot_schedule": NULL,
    "groups": [], "requires_reboot": False, "is_vmss_snapshot": False,
}  # fmt: skip


# --- create and destroy


@call("VM.create")
async def create(context: Context, given: dict[str, Any]) -> str:
    record = generic.constructor_record(context.lab.model.classes["VM"], given)
    if record["domain_type"] == "unspecified":
        record["domain_type"] = "hvm" if record["HVM_boot_policy"] else "pv"
    other_config = dict(record["other_config"])
    other_config.setdefault("mac_seed", new_uuid())
    metrics = context.db.create("VM_metrics", {"current_domain_type": "unspecified"})
    return context.db.create(
        "VM",
        {**record, "power_state": "Halted", "other_config": other_config, "metrics": metrics, "domid": -1,
         "memory_overhead": memory.overhead(record["memory_static_max"], record["VCPUs_max"])},
    )  # fmt: skip


@call("VM.destroy")
async def destroy(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "destroy"):
        if is_default_template(context.db.record("VM", vm_ref)):
            raise XapiError("VM_CANNOT_DELETE_DEFAULT_TEMPLATE")
        destroy_vm(context, vm_ref)


def destroy_vm(context: Context, vm_ref: str) -> None:
    """Remove a VM's record and devices; its disks stay."""
    db = context.db
    vm = db.record("VM", vm_ref)
    if vm["power_state"] == "Suspended":
        drop_suspend_image(context, vm_ref)
    for vbd in list(vm["VBDs"]):
        db.destroy("VBD", vbd)
    for vif in list(vm["VIFs"]):
        remove_vif(context, vif)
    for class_name, field in (("console", "consoles"), ("VTPM", "VTPMs"), ("VUSB", "VUSBs"), ("VGPU", "VGPUs")):
        for ref in list(vm[field]):
            db.destroy(class_name, ref)
    for class_name, field in (("VM_metrics", "metrics"), ("VM_guest_metrics", "guest_metrics")):
        if db.exists(class_name, vm[field]):
            db.destroy(class_name, vm[field])
    for snapshot in list(vm["snapshots"]):
        db.set("VM", snapshot, "snapshot_of", vm_ref)
    for child in list(vm["children"]):
        db.set("VM", child, "parent", vm["parent"])
    db.destroy("VM", vm_ref)


# --- clone and copy


def _copied_metrics(context: Context, class_name: str, ref: str) -> str:
    if not context.db.exists(class_name, ref):
        return NULL
    record = copy_value(context.db.record(class_name, ref))
    del record["uuid"]
    return context.db.create(class_name, record)


def copied_vm(context: Context, source: str, name: str, *, snapshot: bool) -> str:
    db = context.db
    vm = db.record("VM", source)
    record = {field: copy_value(value) for field, value in vm.items() if field not in _RUNTIME and field != "uuid"}
    kept = {"ha_always_run", "appliance", "order", "start_delay", "shutdown_delay", "suspend_SR", "version",
            "snapshot_schedule"} if snapshot else set()  # fmt: skip
    record.update({field: copy_value(value) for field, value in _NOT_COPIED.items() if field not in kept})
    other_config = record["other_config"]
    if not snapshot:
        if vm["is_a_template"] and not vm["is_a_snapshot"]:
            other_config.pop("default_template", None)
            other_config.pop("xensource_internal", None)
            other_config.setdefault("base_template_name", vm["name_label"])
        other_config["mac_seed"] = new_uuid()
    record.update(name_label=name, generation_id="", metrics=_copied_metrics(context, "VM_metrics", vm["metrics"]))
    record["guest_metrics"] = _copied_metrics(context, "VM_guest_metrics", vm["guest_metrics"])
    new = db.create("VM", record)
    copy_vtpms(context, source, new)
    return new


def copied_vifs(context: Context, source: str, target: str, *, keep_mac: bool) -> None:
    db = context.db
    mac_seed = db.get("VM", target, "other_config").get("mac_seed", "")
    for vif in reversed(db.get("VM", source, "VIFs")):
        record = copy_value(db.record("VIF", vif))
        for field in ("uuid", "allowed_operations", "current_operations", "metrics"):
            del record[field]
        record.update(VM=target, currently_attached=False)
        if not keep_mac:
            record.update(MAC=generated_mac(int(record["device"]), mac_seed), MAC_autogenerated=True)
        db.create("VIF", record)


def attach_copy(context: Context, vbd: Record, vm: str, vdi: str) -> str:
    record = copy_value(vbd)
    for field in ("uuid", "allowed_operations", "current_operations", "metrics"):
        del record[field]
    record.update(VM=vm, VDI=vdi, currently_attached=False, device="")
    return context.db.create("VBD", record)


async def copied_disks(context: Context, source: str, target: str, how: str, sr: str, ignored: list[str]) -> None:
    """Give `target` the disks of `source`: cloned, copied to an SR or snapshotted; CDs keep their medium."""
    db = context.db
    made: list[str] = []
    try:
        vbds = [db.record("VBD", vbd) for vbd in reversed(db.get("VM", source, "VBDs"))]
        for number, vbd in enumerate(vbds):
            vdi = vbd["VDI"]
            if vbd["type"] != "Disk" or vdi == NULL or not db.exists("VDI", vdi):
                attach_copy(context, vbd, target, vdi)
                continue
            if vdi in ignored:
                continue
            async with context.operation("VDI", vdi, how):
                if how == "copy":
                    destination = sr if db.exists("SR", sr) else db.get("VDI", vdi, "SR")
                    new = await copy_vdi(context, vdi, destination)
                else:
                    new = await clone_vdi(context, vdi, snapshot=how == "snapshot")
            made.append(new)
            attach_copy(context, vbd, target, new)
            context.progress((number + 1) / (len(vbds) + 1))
    except XapiError:
        destroy_vm(context, target)
        for vdi in made:
            if db.exists("VDI", vdi):
                await destroy_vdi(context, vdi)
        raise


async def _duplicate(context: Context, vm_ref: str, name: str, how: str, sr: str = NULL) -> str:
    new = copied_vm(context, vm_ref, name, snapshot=False)
    await copied_disks(context, vm_ref, new, how, sr, [])
    copied_vifs(context, vm_ref, new, keep_mac=False)
    return new


@call("VM.clone")
async def clone(context: Context, vm_ref: str, name: str) -> str:
    async with context.operation("VM", vm_ref, "clone"):
        return await _duplicate(context, vm_ref, name, "clone")


@call("VM.copy")
async def copy(context: Context, vm_ref: str, name: str, sr: str) -> str:
    if context.db.exists("SR", sr) and context.db.get("SR", sr, "type") == "iso":
        raise XapiError("OPERATION_NOT_ALLOWED", "Cannot copy a VM to an ISO SR")
    async with context.operation("VM", vm_ref, "copy"):
        return await _duplicate(context, vm_ref, name, "copy", sr)


# --- provision


_DISK_TYPES = ("user", "ephemeral", "suspend", "crashdump")


def _disks_to_provision(text: str) -> list[dict[str, Any]]:
    """The disks of a template's `disks` (xapi_templates.ml, disks_of_xml)."""
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise internal_error(f"Xmlm.Error({error})") from None
    if root.tag != "provision" or root.attrib:
        raise internal_error("Xapi_templates.Parse_failure")
    return [_disk_to_provision(element) for element in root]


def _disk_to_provision(element: ElementTree.Element) -> dict[str, Any]:
    given = element.attrib
    try:
        if element.tag != "disk" or len(element):
            raise KeyError(element.tag)
        return {
            "device": given["device"], "size": decode(Type("int"), given["size"]), "sr": given["sr"],
            "bootable": given["bootable"] == "true",
            "type": given["type"] if given.get("type") in _DISK_TYPES else "system",
        }  # fmt: skip
    except (KeyError, XapiError):
        raise internal_error("Xapi_templates.Parse_failure") from None


@call("VM.provision")
async def provision(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "provision"):
        db = context.db
        vm = db.record("VM", vm_ref)
        db.update("VM_metrics", guests.ensure_metrics(context.lab, vm_ref), install_time=now())
        db.set("VM", vm_ref, "is_a_template", False)
        disks = _disks_to_provision(vm["other_config"].get("disks", "<provision/>"))
        srs = [_sr_by_uuid(context, disk["sr"]) for disk in disks]
        for disk, sr in zip(disks, srs, strict=True):
            vdi = await create_vdi(
                context,
                {"name_label": "", "name_description": "Created by template provisioner", "SR": sr,
                 "virtual_size": disk["size"], "type": disk["type"], "sharable": False,
                 "read_only": False, "other_config": {}, "xenstore_data": {}, "sm_config": {}, "tags": []},
            )  # fmt: skip
            vbd = create_vbd(
                context,
                {"VM": vm_ref, "VDI": vdi, "userdevice": disk["device"], "bootable": disk["bootable"],
                 "mode": "RW", "type": "Disk", "unpluggable": disk["type"] != "system", "empty": False,
                 "other_config": {"owner": ""}, "qos_algorithm_type": "", "qos_algorithm_params": {}},
            )  # fmt: skip
            db.set("VDI", vdi, "name_label", db.get("VBD", vbd, "userdevice"))
        db.remove_from_map("VM", vm_ref, "other_config", "disks")


def _sr_by_uuid(context: Context, uuid: str) -> str:
    sr = context.db.find_uuid("SR", uuid)
    if sr is None:
        raise XapiError("UUID_INVALID", "sr", uuid)
    return sr


@call("VM.set_is_a_template")
async def set_is_a_template(context: Context, vm_ref: str, value: bool) -> None:
    if value:
        refusal = vm_refusal(context.db, vm_ref, "make_into_template")
        if refusal is not None:
            raise refusal
        metrics = context.db.get("VM", vm_ref, "guest_metrics")
        context.db.set("VM", vm_ref, "guest_metrics", NULL)
        if context.db.exists("VM_guest_metrics", metrics):
            context.db.destroy("VM_guest_metrics", metrics)
    context.db.set("VM", vm_ref, "is_a_template", value)


# --- appliance and groups


@call("VM.set_appliance")
async def set_appliance(context: Context, vm_ref: str, appliance: str) -> None:
    if appliance != NULL:
        context.db.row("VM_appliance", appliance)
    context.db.set("VM", vm_ref, "appliance", appliance)


@call("VM.set_groups")
async def set_groups(context: Context, vm_ref: str, groups: list[str]) -> None:
    vm = context.db.record("VM", vm_ref)
    if vm["is_control_domain"] or vm["is_a_template"] or vm["is_a_snapshot"]:
        raise XapiError("OPERATION_NOT_ALLOWED", "Control domains, templates and snapshots cannot be in VM groups")
    if len(groups) > 1:
        raise XapiError("TOO_MANY_GROUPS")
    for group in groups:
        context.db.row("VM_group", group)
    context.db.set("VM", vm_ref, "groups", list(groups))


@call("VM.assert_operation_valid")
async def assert_operation_valid(context: Context, vm_ref: str, operation: str) -> None:
    refusal = vm_refusal(context.db, vm_ref, operation)
    if refusal is not None:
        raise refusal


@call("VM.update_allowed_operations")
async def update_allowed_operations(context: Context, vm_ref: str) -> None:
    context.db.touch("VM", vm_ref)


@call("VM.set_suspend_VDI")
async def set_suspend_vdi(context: Context, vm_ref: str, vdi: str) -> None:
    state = context.db.get("VM", vm_ref, "power_state")
    if state != "Suspended":
        raise bad_power_state(vm_ref, ("Suspended",), state)
    context.db.row("VDI", vdi)
    raise XapiError("NOT_IMPLEMENTED", "VM.set_suspend_VDI")
