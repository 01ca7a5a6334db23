# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A VM's running machine: its specification, its start and end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from xapi_lab import guest_metrics
from xapi_lab.database import Record, new_uuid
from xapi_lab.errors import XapiError
from xapi_lab.machines.contract import Disk, MachineError, MachineSpec, Nic
from xapi_lab.machines.vif_locking import locking
from xapi_lab.memory import overhead, publish
from xapi_lab.values import NULL, now

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

_LOG = logging.getLogger(__name__)


# --- specification


def device_number(userdevice: str) -> int:
    """The position that a VBD's userdevice names: `0`, `xvda`, `hda` and `sda` are all 0; -1 when it names none."""
    if userdevice.lstrip("-").isdigit():
        return int(userdevice)
    for prefix in ("xvd", "hd", "sd"):
        letters = userdevice.removeprefix(prefix)
        if letters != userdevice and letters.isascii() and letters.isalpha() and letters.islower():
            number = 0
            for letter in letters:
                number = number * 26 + ord(letter) - ord("a") + 1
            return number - 1
    return -1


def device_name(number: int) -> str:
    """xvda for 0, xvdaa for 26."""
    letters = ""
    number += 1
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"xvd{letters}"


def is_nat(lab: Lab, network: str) -> bool:
    """Whether a network is one of this machine's (has a physical PIF), reached through loopback addresses."""
    return any(
        lab.database.row("PIF", pif).record["physical"]
        for pif in lab.database.get("network", network, "PIFs")
        if lab.database.exists("PIF", pif)
    )


def disk_spec(lab: Lab, vbd: Record) -> Disk:
    cdrom = vbd["type"] == "CD"
    number = device_number(vbd["userdevice"])
    if vbd["VDI"] == NULL or not lab.database.exists("VDI", vbd["VDI"]):
        return Disk("", None, "raw", number, True, cdrom)
    vdi = lab.database.record("VDI", vbd["VDI"])
    sr_path = lab.sr_path(vdi["SR"])
    read_only = vbd["mode"] == "RO"
    path = lab.storage.path(vdi["uuid"], sr_path)
    return Disk(vdi["uuid"], path, lab.storage.format(vdi["uuid"], sr_path), number, read_only, cdrom)


def nic_spec(lab: Lab, vif: Record) -> Nic:
    network = vif["network"]
    uuid = lab.database.get("network", network, "uuid")
    nat = is_nat(lab, network)
    return Nic(
        vif["uuid"],
        int(vif["device"]),
        vif["MAC"],
        uuid,
        "nat" if nat else "private",
        0 if nat else lab.segment_of(uuid),
        lab.address_of(vif["uuid"]) if nat else None,
        locking(
            vif["locking_mode"],
            lab.database.get("network", network, "default_locking_mode"),
            vif["ipv4_allowed"],
            vif["ipv6_allowed"],
        ),
    )


def machine_spec(lab: Lab, vm_ref: str, *, attached_only: bool = False) -> MachineSpec:
    """The machine that a VM would start, or, with `attached_only`, the one that runs."""
    db = lab.database
    vm = db.record("VM", vm_ref)
    vbds = [db.record("VBD", ref) for ref in vm["VBDs"]]
    vifs = [db.record("VIF", ref) for ref in vm["VIFs"]]
    if attached_only:
        vbds = [vbd for vbd in vbds if vbd["currently_attached"]]
        vifs = [vif for vif in vifs if vif["currently_attached"]]
    disks = sorted((disk_spec(lab, vbd) for vbd in vbds), key=lambda disk: disk.device)
    nics = sorted((nic_spec(lab, vif) for vif in vifs), key=lambda nic: nic.device)
    return MachineSpec(
        vm["uuid"],
        vm["name_label"],
        vm["VCPUs_at_startup"],
        vm["memory_dynamic_max"],
        vm["HVM_boot_params"].get("firmware", "bios"),
        vm["HVM_boot_params"].get("order", "cd"),
        tuple(disk for disk in disks if disk.cdrom or disk.path is not None),
        tuple(nics),
        lab.backend_of(vm),
    )


# --- start and end


def attach_devices(lab: Lab, vm_ref: str) -> None:
    db = lab.database
    vm = db.record("VM", vm_ref)
    for vbd in vm["VBDs"]:
        device = device_name(device_number(db.get("VBD", vbd, "userdevice")))
        db.update("VBD", vbd, device=device, currently_attached=True)
    for vif in vm["VIFs"]:
        db.update("VIF", vif, currently_attached=True)


def set_running(lab: Lab, vm_ref: str, host: str, *, paused: bool) -> None:
    """Record that a machine has started on a host."""
    db = lab.database
    vm = db.record("VM", vm_ref)
    domid = lab.store.get("domid", 0) + 1
    lab.store.put("domid", domid)
    attach_devices(lab, vm_ref)
    console_uuid = new_uuid()
    address = db.get("host", host, "address")
    db.create(
        "console",
        {"uuid": console_uuid, "protocol": "rfb", "VM": vm_ref,
         "location": f"https://{address}/console?uuid={console_uuid}"},
    )  # fmt: skip
    db.update(
        "VM", vm_ref, resident_on=host, scheduled_to_be_resident_on=NULL, domid=domid,
        memory_target=vm["memory_dynamic_max"],
        memory_overhead=overhead(vm["memory_static_max"], vm["VCPUs_max"]),
        last_boot_CPU_flags={"vendor": "GenuineIntel", "features": ""},
    )  # fmt: skip
    db.update(
        "VM_metrics", ensure_metrics(lab, vm_ref), start_time=now(), VCPUs_number=vm["VCPUs_at_startup"],
        memory_actual=vm["memory_dynamic_max"], hvm=True, current_domain_type="hvm", last_updated=now(),
    )  # fmt: skip
    db.set("VM", vm_ref, "power_state", "Paused" if paused else "Running")
    publish(db, host)
    if not paused:
        guest_metrics.expect_agent(lab, vm_ref)


def set_moved(lab: Lab, vm_ref: str, host: str) -> None:
    """Record that a running machine goes on on another host, as a new domain there."""
    db = lab.database
    source = db.get("VM", vm_ref, "resident_on")
    domid = lab.store.get("domid", 0) + 1
    lab.store.put("domid", domid)
    db.update("VM", vm_ref, resident_on=host, domid=domid)
    for console in db.get("VM", vm_ref, "consoles"):
        uuid = db.get("console", console, "uuid")
        db.set("console", console, "location", f"https://{db.get('host', host, 'address')}/console?uuid={uuid}")
    publish(db, source)
    publish(db, host)


def set_halted(lab: Lab, vm_ref: str) -> None:
    """Record that a VM has no machine any more."""
    db = lab.database
    vm = db.record("VM", vm_ref)
    host = vm["resident_on"]
    _detach(lab, vm)
    db.update(
        "VM", vm_ref, power_state="Halted", resident_on=NULL, scheduled_to_be_resident_on=NULL, domid=-1,
        memory_target=0, requires_reboot=False, pending_guidances=[], suspend_VDI=NULL,
    )  # fmt: skip
    publish(db, host)
    if db.exists("VM_metrics", vm["metrics"]):
        db.update("VM_metrics", vm["metrics"], VCPUs_number=0, memory_actual=0)


def set_suspended(lab: Lab, vm_ref: str, suspend_vdi: str) -> None:
    db = lab.database
    vm = db.record("VM", vm_ref)
    host = vm["resident_on"]
    _detach(lab, vm)
    db.update(
        "VM", vm_ref, suspend_VDI=suspend_vdi, power_state="Suspended", resident_on=NULL, domid=-1, memory_target=0
    )
    publish(db, host)
    db.update("VM_metrics", ensure_metrics(lab, vm_ref), VCPUs_number=0, memory_actual=0)


def _detach(lab: Lab, vm: Record) -> None:
    for vbd in vm["VBDs"]:
        lab.database.set("VBD", vbd, "currently_attached", False)
    for vif in vm["VIFs"]:
        lab.database.set("VIF", vif, "currently_attached", False)
    _remove_consoles(lab, vm)


def _remove_consoles(lab: Lab, vm: Record) -> None:
    for console in list(vm["consoles"]):
        lab.database.destroy("console", console)


def ensure_metrics(lab: Lab, vm_ref: str) -> str:
    metrics: str = lab.database.get("VM", vm_ref, "metrics")
    if not lab.database.exists("VM_metrics", metrics):
        metrics = lab.database.create("VM_metrics", {})
        lab.database.set("VM", vm_ref, "metrics", metrics)
    return metrics


def announce(lab: Lab, name: str, vm_ref: str, what: str) -> None:
    """A message about a VM, worded as XAPI words it."""
    vm = lab.database.record("VM", vm_ref)
    host = vm["resident_on"]
    where = ""
    if lab.database.exists("host", host):
        record = lab.database.record("host", host)
        where = f" on host: {record['name_label']} (uuid: {record['uuid']})"
    body = f"VM '{vm['name_label']}' (uuid: {vm['uuid']}) {what}{where}"
    lab.messages.create(name, 5, "VM", vm["uuid"], body)


def machine_failure(error: MachineError) -> XapiError:
    return XapiError("INTERNAL_ERROR", f"xenopsd internal error: {error}")


def suspend_image(lab: Lab, vdi_uuid: str) -> Path:
    """The file with the memory of a suspended VM, by its suspend VDI."""
    path = lab.state_dir / "suspend"
    path.mkdir(exist_ok=True)
    return path / f"{vdi_uuid}.image"


# --- what the guest does of its own accord


async def powered_off(lab: Lab, vm_uuid: str) -> None:
    vm_ref = lab.database.find_uuid("VM", vm_uuid)
    if vm_ref is None or lab.database.get("VM", vm_ref, "power_state") not in {"Running", "Paused"}:
        return
    if lab.database.get("VM", vm_ref, "current_operations"):
        return
    await _after_end(lab, vm_ref, lab.database.get("VM", vm_ref, "actions_after_shutdown"), "VM_SHUTDOWN", "shutdown")


async def crashed(lab: Lab, vm_uuid: str) -> None:
    vm_ref = lab.database.find_uuid("VM", vm_uuid)
    if vm_ref is None or lab.database.get("VM", vm_ref, "power_state") not in {"Running", "Paused"}:
        return
    await _after_end(lab, vm_ref, lab.database.get("VM", vm_ref, "actions_after_crash"), "VM_CRASHED", "crashed")


async def _after_end(lab: Lab, vm_ref: str, action: str, message: str, what: str) -> None:
    announce(lab, message, vm_ref, what)
    host = lab.database.get("VM", vm_ref, "resident_on")
    set_halted(lab, vm_ref)
    if "restart" not in action:
        if not lab.database.get("pool", lab.database.refs("pool")[0], "ha_reboot_vm_on_internal_shutdown"):
            lab.database.set("VM", vm_ref, "ha_always_run", False)
        return
    guest_metrics.forget(lab, vm_ref)
    try:
        await lab.machines.start(machine_spec(lab, vm_ref))
    except MachineError as error:
        _LOG.error("could not restart VM %s: %s", lab.database.get("VM", vm_ref, "uuid"), error)
        return
    set_running(lab, vm_ref, host, paused=False)


async def rebooted(lab: Lab, vm_uuid: str) -> None:
    """A guest restarted itself: XAPI gives it a new domain and clears what it reported."""
    vm_ref = lab.database.find_uuid("VM", vm_uuid)
    if vm_ref is None or lab.database.get("VM", vm_ref, "power_state") != "Running":
        return
    announce(lab, "VM_REBOOTED", vm_ref, "rebooted")
    if "restart" in lab.database.get("VM", vm_ref, "actions_after_reboot"):
        new_domain(lab, vm_ref)
        return
    try:
        await lab.machines.kill(vm_uuid)
    except MachineError as error:
        _LOG.error("could not stop VM %s after its reboot: %s", vm_uuid, error)
    set_halted(lab, vm_ref)


def new_domain(lab: Lab, vm_ref: str) -> None:
    domid = lab.store.get("domid", 0) + 1
    lab.store.put("domid", domid)
    guest_metrics.forget(lab, vm_ref)
    lab.database.update("VM", vm_ref, domid=domid)
    vcpus = lab.database.get("VM", vm_ref, "VCPUs_at_startup")
    lab.database.update(
        "VM_metrics", ensure_metrics(lab, vm_ref), start_time=now(), last_updated=now(), VCPUs_number=vcpus
    )
    guest_metrics.expect_agent(lab, vm_ref)


# --- start and stop of the lab


async def take_over(lab: Lab, vm_ref: str) -> None:
    """After a start of the lab: adopt the machine of a VM that ran, or record that it is gone."""
    vm = lab.database.record("VM", vm_ref)
    if vm["is_control_domain"] or vm["power_state"] not in {"Running", "Paused"}:
        return
    try:
        alive = await lab.machines.adopt(machine_spec(lab, vm_ref, attached_only=True))
    except MachineError as error:
        _LOG.warning("machine %s could not be taken over: %s", vm["uuid"], error)
        alive = False
    if not alive:
        _LOG.info("machine %s is gone; its VM is halted now", vm["uuid"])
        set_halted(lab, vm_ref)


async def stop_all(lab: Lab) -> None:
    await lab.machines.stop_all()
    for vm_ref in lab.database.refs("VM"):
        vm = lab.database.record("VM", vm_ref)
        if not vm["is_control_domain"] and vm["power_state"] in {"Running", "Paused"}:
            set_halted(lab, vm_ref)
