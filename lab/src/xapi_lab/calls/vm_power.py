# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Power states of VMs: start, stop, pause, suspend, and where a VM may run."""

from __future__ import annotations

import asyncio
import shutil

from xapi_lab import guest_metrics, guests, high_availability, placement
from xapi_lab.calls.registry import Context, call
from xapi_lab.database import Record, new_uuid
from xapi_lab.errors import XapiError
from xapi_lab.machines.contract import MachineError
from xapi_lab.operations import is_pv, vdi_sharing_refusal, vm_refusal
from xapi_lab.values import NULL

GENERIC_BIOS_STRINGS = {
    "bios-vendor": "Xen", "bios-version": "", "system-manufacturer": "Xen", "system-product-name": "HVM domU",
    "system-version": "", "system-serial-number": "", "baseboard-manufacturer": "", "baseboard-product-name": "",
    "baseboard-version": "", "baseboard-serial-number": "", "baseboard-asset-tag": "",
    "baseboard-location-in-chassis": "", "enclosure-asset-tag": "", "hp-rombios": "", "oem-1": "Xen",
    "oem-2": "MS_VM_CERT/SHA1/bdbeb6e0a816d43fa6d3fe8aaef04c2bad9d3e3d",
}  # fmt: skip


# --- placement


@call("VM.assert_can_boot_here")
async def assert_can_boot_here(context: Context, vm_ref: str, host: str) -> None:
    refusal = placement.refusal(context.db, vm_ref, host)
    if refusal is not None:
        raise refusal


@call("VM.get_possible_hosts")
async def get_possible_hosts(context: Context, vm_ref: str) -> list[str]:
    scheduled = context.db.get("VM", vm_ref, "scheduled_to_be_resident_on")
    return [scheduled] if scheduled != NULL else placement.possible_hosts(context.db, vm_ref)


# --- start


def _check_configuration(context: Context, vm_ref: str) -> None:
    """What XAPI looks at only when a VM starts."""
    vm = context.db.record("VM", vm_ref)
    firmware = vm["HVM_boot_params"].get("firmware", "bios")
    if firmware not in {"bios", "uefi"}:
        raise XapiError("INVALID_VALUE", "HVM_boot_params['firmware']", firmware)
    cores = vm["platform"].get("cores-per-socket", "1")
    if not cores.isdigit() or int(cores) < 1:
        raise XapiError("INVALID_VALUE", "platform:cores-per-socket", cores)
    for vbd in vm["VBDs"]:
        record = context.db.record("VBD", vbd)
        refusal = vdi_sharing_refusal(context.db, vbd, record) or _same_disk_twice(context, vm, vbd, record)
        if refusal is not None:
            raise refusal
        if record["type"] == "Disk" and record["mode"] == "RO" and not is_pv(vm):
            raise XapiError("DISK_VBD_MUST_BE_READWRITE_FOR_HVM", vbd)


def _check_topology(vm: Record) -> None:
    cores = int(vm["platform"].get("cores-per-socket", "1"))
    if vm["VCPUs_max"] % cores:
        raise XapiError("VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE", vm["VCPUs_max"], cores)


def _same_disk_twice(context: Context, vm: Record, vbd: str, record: Record) -> XapiError | None:
    if record["VDI"] == NULL or context.db.get("VDI", record["VDI"], "sharable"):
        return None
    for other in vm["VBDs"]:
        other_record = context.db.record("VBD", other)
        shared = other != vbd and other_record["VDI"] == record["VDI"]
        if shared and "RW" in {record["mode"], other_record["mode"]}:
            return XapiError("VDI_IN_USE", record["VDI"])
    return None


def _prepare(context: Context, vm_ref: str) -> None:
    """What a start writes into the VM's own record."""
    db = context.db
    vm = db.record("VM", vm_ref)
    guest_metrics.forget(context.lab, vm_ref)
    uefi = vm["HVM_boot_params"].get("firmware") == "uefi"
    platform = dict(vm["platform"])
    platform.setdefault("timeoffset", "0")
    platform.setdefault("device-model", "qemu-upstream-uefi" if uefi else "qemu-upstream-compat")
    if platform.get("secureboot") == "auto":
        platform["secureboot"] = "false"
    db.set("VM", vm_ref, "platform", platform)
    if not vm["bios_strings"]:
        db.set("VM", vm_ref, "bios_strings", dict(GENERIC_BIOS_STRINGS))


async def start_machine(context: Context, vm_ref: str, host: str, *, paused: bool) -> None:
    db, lab = context.db, context.lab
    _check_topology(db.record("VM", vm_ref))
    _prepare(context, vm_ref)
    always_run = db.get("VM", vm_ref, "ha_always_run")
    if high_availability.breaks_plan(db, lambda: _schedule(context, vm_ref, host)):
        db.update("VM", vm_ref, scheduled_to_be_resident_on=NULL, ha_always_run=always_run)
        raise XapiError("HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN")
    try:
        await lab.machines.start(guests.machine_spec(lab, vm_ref), paused=paused)
        if host in lab.members.lost:
            await lab.machines.kill(db.get("VM", vm_ref, "uuid"))
        lab.members.check_reachable(host)
    except XapiError:
        db.set("VM", vm_ref, "scheduled_to_be_resident_on", NULL)
        raise
    except MachineError as error:
        db.set("VM", vm_ref, "scheduled_to_be_resident_on", NULL)
        raise guests.machine_failure(error) from error
    guests.set_running(lab, vm_ref, host, paused=paused)


def _schedule(context: Context, vm_ref: str, host: str) -> None:
    """Give a VM its place before it runs there: from now on its memory counts, and HA keeps it up if it is to."""
    protected = context.db.get("VM", vm_ref, "ha_restart_priority") == "restart"
    context.db.update("VM", vm_ref, scheduled_to_be_resident_on=host)
    if protected:
        context.db.set("VM", vm_ref, "ha_always_run", True)


@call("VM.start")
async def start(context: Context, vm_ref: str, start_paused: bool, force: bool) -> None:
    async with context.operation("VM", vm_ref, "start"):
        _check_configuration(context, vm_ref)
        await start_machine(context, vm_ref, placement.choose(context.db, vm_ref), paused=start_paused)
        await _after_start(context, vm_ref)


@call("VM.start_on")
async def start_on(context: Context, vm_ref: str, host: str, start_paused: bool, force: bool) -> None:
    context.db.row("host", host)
    async with context.operation("VM", vm_ref, "start_on"):
        _check_configuration(context, vm_ref)
        await assert_can_boot_here(context, vm_ref, host)
        await start_machine(context, vm_ref, host, paused=start_paused)
        await _after_start(context, vm_ref)


async def _after_start(context: Context, vm_ref: str) -> None:
    guests.announce(context.lab, "VM_STARTED", vm_ref, "started")
    delay = context.db.get("VM", vm_ref, "start_delay")
    if delay > 0:
        await context.cancellable(asyncio.sleep(delay))


# --- stop


@call("VM.clean_shutdown")
async def clean_shutdown(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "clean_shutdown"):
        context.db.set("VM", vm_ref, "ha_always_run", False)
        await _shut_down(context, vm_ref, context.lab.config.shutdown_timeout)


async def _shut_down(context: Context, vm_ref: str, timeout: float) -> None:
    uuid = context.db.get("VM", vm_ref, "uuid")
    try:
        off = await context.cancellable(context.lab.machines.shutdown(uuid, timeout))
    except MachineError as error:
        raise guests.machine_failure(error) from error
    if not off:
        raise XapiError("VM_SHUTDOWN_TIMEOUT", vm_ref, float(timeout))
    guests.announce(context.lab, "VM_SHUTDOWN", vm_ref, "shutdown")
    guests.set_halted(context.lab, vm_ref)
    await _shutdown_delay(context, vm_ref)


async def _shutdown_delay(context: Context, vm_ref: str) -> None:
    delay = context.db.get("VM", vm_ref, "shutdown_delay")
    if delay > 0:
        await context.cancellable(asyncio.sleep(delay))


@call("VM.hard_shutdown")
async def hard_shutdown(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "hard_shutdown"):
        context.db.set("VM", vm_ref, "ha_always_run", False)
        await kill_machine(context, vm_ref)
        await _shutdown_delay(context, vm_ref)


async def kill_machine(context: Context, vm_ref: str) -> None:
    """Take the power from a VM, or drop its suspend image; it is Halted afterwards."""
    lab, vm = context.lab, context.db.record("VM", vm_ref)
    if vm["power_state"] == "Suspended":
        drop_suspend_image(context, vm_ref)
    else:
        try:
            await lab.machines.kill(vm["uuid"])
        except MachineError as error:
            raise guests.machine_failure(error) from error
        guests.announce(lab, "VM_SHUTDOWN", vm_ref, "shutdown forcibly")
    guests.set_halted(lab, vm_ref)


@call("VM.shutdown")
async def shutdown(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "shutdown"):
        context.db.set("VM", vm_ref, "ha_always_run", False)
        delay = context.db.get("VM", vm_ref, "shutdown_delay")
        refusal = vm_refusal(context.db, vm_ref, "clean_shutdown", concurrent=True)
        if refusal is None:
            try:
                await _shut_down(context, vm_ref, delay or context.lab.config.shutdown_timeout)
                return
            except XapiError as error:
                if error.code != "VM_SHUTDOWN_TIMEOUT":
                    raise
        await kill_machine(context, vm_ref)


@call("VM.clean_reboot")
async def clean_reboot(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "clean_reboot"):
        lab, vm = context.lab, context.db.record("VM", vm_ref)
        try:
            timeout = lab.config.shutdown_timeout
            if not await context.cancellable(lab.machines.shutdown(vm["uuid"], timeout)):
                raise XapiError("VM_SHUTDOWN_TIMEOUT", vm_ref, float(timeout))
            await lab.machines.start(guests.machine_spec(lab, vm_ref))
        except MachineError as error:
            raise guests.machine_failure(error) from error
        guests.attach_devices(lab, vm_ref)
        guests.new_domain(lab, vm_ref)
        guests.announce(lab, "VM_REBOOTED", vm_ref, "rebooted")


@call("VM.hard_reboot")
async def hard_reboot(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "hard_reboot"):
        lab, vm = context.lab, context.db.record("VM", vm_ref)
        try:
            await lab.machines.kill(vm["uuid"])
            await lab.machines.start(guests.machine_spec(lab, vm_ref))
        except MachineError as error:
            raise guests.machine_failure(error) from error
        context.db.set("VM", vm_ref, "power_state", "Running")
        guests.attach_devices(lab, vm_ref)
        guests.new_domain(lab, vm_ref)
        guests.announce(lab, "VM_REBOOTED", vm_ref, "rebooted forcibly")


@call("VM.power_state_reset")
async def power_state_reset(context: Context, vm_ref: str) -> None:
    vm = context.db.record("VM", vm_ref)
    if vm["is_control_domain"]:
        raise XapiError("CANNOT_RESET_CONTROL_DOMAIN", vm_ref)
    if vm["resident_on"] in context.lab.members.lost:
        guests.set_halted(context.lab, vm_ref)
        return
    if vm["power_state"] == "Running":
        raise XapiError("DOMAIN_EXISTS", vm_ref)
    if vm["power_state"] != "Halted":
        await kill_machine(context, vm_ref)


# --- pause and suspend


@call("VM.pause")
async def pause(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "pause"):
        try:
            await context.lab.machines.pause(context.db.get("VM", vm_ref, "uuid"))
        except MachineError as error:
            raise guests.machine_failure(error) from error
        context.db.set("VM", vm_ref, "power_state", "Paused")
        guests.announce(context.lab, "VM_PAUSED", vm_ref, "paused")


@call("VM.unpause")
async def unpause(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "unpause"):
        try:
            await context.lab.machines.unpause(context.db.get("VM", vm_ref, "uuid"))
        except MachineError as error:
            raise guests.machine_failure(error) from error
        context.db.set("VM", vm_ref, "power_state", "Running")
        if not context.db.exists("VM_guest_metrics", context.db.get("VM", vm_ref, "guest_metrics")):
            guest_metrics.expect_agent(context.lab, vm_ref)
        guests.announce(context.lab, "VM_UNPAUSED", vm_ref, "unpaused")


def _suspend_sr(context: Context, vm: Record) -> str | None:
    db = context.db
    candidates = [vm["suspend_SR"], db.get("pool", db.refs("pool")[0], "suspend_image_SR")]
    if db.exists("host", vm["resident_on"]):
        candidates.append(db.get("host", vm["resident_on"], "suspend_image_sr"))
    return next((sr for sr in candidates if db.exists("SR", sr)), None)


@call("VM.suspend")
async def suspend(context: Context, vm_ref: str) -> None:
    async with context.operation("VM", vm_ref, "suspend"):
        context.db.set("VM", vm_ref, "ha_always_run", False)
        await suspend_machine(context, vm_ref)


async def suspend_machine(context: Context, vm_ref: str) -> None:
    lab, db = context.lab, context.db
    vm = db.record("VM", vm_ref)
    sr = _suspend_sr(context, vm)
    if sr is None:
        raise XapiError("VM_NO_SUSPEND_SR", vm_ref)
    uuid = new_uuid()
    try:
        await lab.machines.suspend(vm["uuid"], guests.suspend_image(lab, uuid))
    except MachineError as error:
        raise guests.machine_failure(error) from error
    vdi = create_suspend_vdi(context, uuid, sr, vm["memory_dynamic_max"] * 13 // 10)
    guests.announce(lab, "VM_SUSPENDED", vm_ref, "suspended")
    guests.set_suspended(lab, vm_ref, vdi)


def create_suspend_vdi(context: Context, uuid: str, sr: str, size: int) -> str:
    """The VDI that stands for a memory image; the image itself is kept beside the SR."""
    return context.db.create(
        "VDI",
        {"uuid": uuid, "name_label": "Suspend image", "name_description": "Suspend image", "SR": sr, "type": "suspend",
         "virtual_size": size, "physical_utilisation": 0, "location": uuid, "managed": True},
    )  # fmt: skip


def copy_suspend_image(context: Context, source: str, target: str) -> None:
    """Give VM `target` a copy of the memory image of the suspended VM `source`."""
    vdi = context.db.record("VDI", context.db.get("VM", source, "suspend_VDI"))
    uuid = new_uuid()
    image = guests.suspend_image(context.lab, vdi["uuid"])
    if image.exists():
        shutil.copyfile(image, guests.suspend_image(context.lab, uuid))
    copied = create_suspend_vdi(context, uuid, vdi["SR"], vdi["virtual_size"])
    context.db.update("VM", target, suspend_VDI=copied, power_state="Suspended")


def move_suspend_image(context: Context, vm_ref: str, sr: str) -> None:
    """Keep the memory image of a suspended VM on another SR."""
    present = context.db.record("VDI", context.db.get("VM", vm_ref, "suspend_VDI"))
    uuid = new_uuid()
    image = guests.suspend_image(context.lab, present["uuid"])
    if image.exists():
        image.rename(guests.suspend_image(context.lab, uuid))
    moved = create_suspend_vdi(context, uuid, sr, present["virtual_size"])
    context.db.destroy("VDI", context.db.get("VM", vm_ref, "suspend_VDI"))
    context.db.set("VM", vm_ref, "suspend_VDI", moved)


def drop_suspend_image(context: Context, vm_ref: str) -> None:
    vm = context.db.record("VM", vm_ref)
    if context.db.exists("VDI", vm["suspend_VDI"]):
        guests.suspend_image(context.lab, context.db.get("VDI", vm["suspend_VDI"], "uuid")).unlink(missing_ok=True)
        context.db.destroy("VDI", vm["suspend_VDI"])
    context.db.set("VM", vm_ref, "suspend_VDI", NULL)


async def resume_machine(context: Context, vm_ref: str, host: str, *, paused: bool) -> None:
    lab, db = context.lab, context.db
    if not db.exists("VDI", db.get("VM", vm_ref, "suspend_VDI")):
        guests.set_halted(lab, vm_ref)
        raise XapiError("VM_HAS_NO_SUSPEND_VDI", "VM", vm_ref)
    image = guests.suspend_image(lab, db.get("VDI", db.get("VM", vm_ref, "suspend_VDI"), "uuid"))
    if db.get("VM", vm_ref, "ha_restart_priority") == "restart":
        db.set("VM", vm_ref, "ha_always_run", True)
    try:
        await lab.machines.resume(guests.machine_spec(lab, vm_ref), image, paused=paused)
    except MachineError as error:
        raise guests.machine_failure(error) from error
    drop_suspend_image(context, vm_ref)
    guests.set_running(lab, vm_ref, host, paused=paused)
    guests.announce(lab, "VM_RESUMED", vm_ref, "resumed")


@call("VM.resume")
async def resume(context: Context, vm_ref: str, start_paused: bool, force: bool) -> None:
    async with context.operation("VM", vm_ref, "resume"):
        await resume_machine(context, vm_ref, placement.choose(context.db, vm_ref), paused=start_paused)


@call("VM.resume_on")
async def resume_on(context: Context, vm_ref: str, host: str, start_paused: bool, force: bool) -> None:
    context.db.row("host", host)
    async with context.operation("VM", vm_ref, "resume_on"):
        await assert_can_boot_here(context, vm_ref, host)
        await resume_machine(context, vm_ref, host, paused=start_paused)


@call("VM.get_boot_record")
async def get_boot_record(context: Context, vm_ref: str) -> Record:
    refusal = vm_refusal(context.db, vm_ref, "get_boot_record")
    if refusal is not None:
        raise refusal
    return dict(context.db.record("VM", vm_ref))
