# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Which operations an object allows: the one rule behind allowed_operations and behind refusing a call.

Each `*_refusal` function gives the error a call would get now, or None. Order of the tests is XAPI's
(xapi_vm_lifecycle.ml, xapi_vbd_helpers.ml, xapi_vif_helpers.ml, xapi_vdi.ml): the first that fails is reported.
"""

from __future__ import annotations

from collections.abc import Iterable

from xapi_lab.database import Database, Record
from xapi_lab.errors import XapiError
from xapi_lab.values import NULL

BUSY = "OTHER_OPERATION_IN_PROGRESS"

VM_STATES: dict[str, tuple[str, ...]] = {
    "snapshot": (),
    "metadata_export": (),
    "revert": (),
    "update_allowed_operations": (),
    "power_state_reset": (),
    "assert_operation_valid": (),
    "provision": ("Halted",),
    "start": ("Halted",),
    "start_on": ("Halted",),
    "make_into_template": ("Halted",),
    "changing_static_range": ("Halted",),
    "changing_shadow_memory": ("Halted",),
    "changing_NVRAM": ("Halted",),
    "create_vtpm": ("Halted",),
    "changing_memory_limits": ("Halted",),
    "changing_VCPUs": ("Halted",),
    "clone": ("Halted",),
    "copy": ("Halted",),
    "changing_dynamic_range": ("Halted", "Running"),
    "export": ("Halted", "Suspended"),
    "destroy": ("Halted", "Suspended"),
    "migrate_send": ("Halted", "Suspended", "Running"),
    "pause": ("Running",),
    "suspend": ("Running",),
    "clean_shutdown": ("Running",),
    "clean_reboot": ("Running",),
    "pool_migrate": ("Running",),
    "changing_VCPUs_live": ("Running",),
    "sysprep": ("Running",),
    "call_plugin": ("Running",),
    "data_source_op": ("Running",),
    "send_sysrq": ("Running",),
    "send_trigger": ("Running",),
    "changing_memory_live": ("Running",),
    "awaiting_memory_live": ("Running",),
    "changing_shadow_memory_live": ("Running",),
    "unpause": ("Paused",),
    "resume": ("Suspended",),
    "resume_on": ("Suspended",),
    "hard_reboot": ("Paused", "Running"),
    "checkpoint": ("Paused", "Suspended", "Running"),
    "hard_shutdown": ("Paused", "Suspended", "Running"),
    "shutdown": ("Paused", "Suspended", "Running"),
    "get_boot_record": ("Paused", "Suspended", "Running"),
}
VM_VISIBLE = (
    "snapshot", "clone", "copy", "start", "start_on", "pause", "unpause", "clean_shutdown", "clean_reboot",
    "hard_shutdown", "hard_reboot", "suspend", "resume", "resume_on", "pool_migrate", "migrate_send", "checkpoint",
    "provision", "revert", "changing_dynamic_range", "changing_static_range", "changing_shadow_memory",
    "changing_VCPUs_live", "changing_NVRAM", "make_into_template", "export", "metadata_export", "destroy",
    "create_vtpm", "sysprep",
)  # fmt: skip
_TEMPLATE = frozenset(
    {"clone", "copy", "export", "metadata_export", "provision", "changing_dynamic_range", "changing_static_range",
     "changing_memory_limits", "changing_shadow_memory", "changing_VCPUs", "changing_NVRAM"}
)  # fmt: skip
_OWN_TEMPLATE = frozenset({"destroy", "migrate_send"})
_SNAPSHOT = frozenset({"revert", "clone", "copy", "export", "destroy", "hard_shutdown", "metadata_export"})
_CONTROL_DOMAIN = frozenset({"metadata_export", "changing_static_range", "changing_dynamic_range",
                             "changing_memory_limits", "changing_VCPUs", "data_source_op", "get_boot_record"})  # fmt: skip
_TOGETHER = (frozenset({"clone", "copy", "export"}), frozenset({"snapshot", "checkpoint"}))
_DURING_MIGRATION = frozenset({"clean_shutdown", "clean_reboot", "metadata_export"})
_FEATURES = {
    "clean_shutdown": ("feature-shutdown", "feature-poweroff"),
    "clean_reboot": ("feature-shutdown", "feature-reboot"),
    "suspend": ("feature-suspend",),
    "checkpoint": ("feature-suspend",),
    "pool_migrate": ("feature-suspend",),
    "migrate_send": ("feature-suspend",),
    "changing_VCPUs_live": ("feature-vcpu-hotplug",),
}
_UNNAMED_OPERATIONS = frozenset({"changing_VCPUs", "changing_memory_limits"})


def _operation_label(operation: str) -> str:
    return "(unknown operation)" if operation in _UNNAMED_OPERATIONS else operation


def bad_power_state(ref: str, expected: Iterable[str], actual: str) -> XapiError:
    return XapiError("VM_BAD_POWER_STATE", ref, ", ".join(state.lower() for state in expected), actual.lower())


def _vm_states(vm: Record, operation: str) -> tuple[str, ...]:
    states = VM_STATES.get(operation, ())
    if operation in {"clone", "copy"} and vm["is_a_snapshot"]:
        return ("Halted", "Suspended")
    if operation in {"changing_static_range", "changing_memory_limits", "changing_VCPUs"} and vm["is_control_domain"]:
        return ("Halted", "Running")
    return states


def _in_the_way(operation: str, current: Iterable[str]) -> list[str]:
    """The current operations that `operation` has to wait for."""
    blocking = []
    for other in current:
        together = any(operation in group and other in group for group in _TOGETHER)
        migrating = other == "migrate_send" and operation in _DURING_MIGRATION
        pulling_the_plug = operation == "hard_shutdown" and other != "hard_shutdown"
        resetting = operation == "hard_reboot" and other not in {"hard_reboot", "hard_shutdown"}
        if not (together or migrating or pulling_the_plug or resetting):
            blocking.append(other)
    return blocking


def busy(class_name: str, ref: str, current: dict[str, str]) -> XapiError:
    """The refusal that a caller waits out: other operations are under way."""
    names = list(current.values())
    refs = list(current)
    return XapiError(
        BUSY,
        class_name,
        ref,
        names[0] if len(names) == 1 else "{" + ",".join(names) + "}",
        refs[0] if len(refs) == 1 else "{" + ",".join(refs) + "}",
    )


def is_default_template(vm: Record) -> bool:
    return vm["is_default_template"] or vm["other_config"].get("default_template") in {"true", "1"}


def has_pv_drivers(database: Database, vm: Record) -> bool:
    metrics = database.tables["VM_guest_metrics"].get(vm["guest_metrics"])
    return metrics is not None and (
        metrics.record["PV_drivers_detected"] or metrics.record["can_use_hotplug_vbd"] == "yes"
    )


def lacks_feature(database: Database, vm: Record, operation: str) -> bool:
    if vm["power_state"] != "Running" or operation not in _FEATURES or is_pv(vm):
        return False
    metrics = database.tables["VM_guest_metrics"].get(vm["guest_metrics"])
    if metrics is None:
        return True
    if metrics.record["PV_drivers_version"]:
        return False
    return not any(metrics.record["other"].get(feature) == "1" for feature in _FEATURES[operation])


def is_pv(vm: Record) -> bool:
    if vm["domain_type"] == "unspecified":
        return not vm["HVM_boot_policy"]
    return vm["domain_type"] == "pv"


def vm_refusal(database: Database, ref: str, operation: str, *, concurrent: bool = False) -> XapiError | None:
    """Why a VM refuses an operation now; `concurrent`: leave operations under way out of account."""
    vm = database.row("VM", ref).record
    if operation in vm["blocked_operations"]:
        return XapiError("OPERATION_BLOCKED", ref, vm["blocked_operations"][operation])
    states = _vm_states(vm, operation)
    if states and vm["power_state"] not in states:
        return bad_power_state(ref, states, vm["power_state"])
    if not concurrent and vm["current_operations"] and _in_the_way(operation, vm["current_operations"].values()):
        return busy("VM", ref, vm["current_operations"])
    if vm["is_a_snapshot"]:
        if operation not in _SNAPSHOT:
            return XapiError("VM_IS_SNAPSHOT", ref, _operation_label(operation))
    elif vm["is_a_template"]:
        own = operation in _OWN_TEMPLATE and not is_default_template(vm)
        if operation not in _TEMPLATE and not own:
            return XapiError("VM_IS_TEMPLATE", ref, _operation_label(operation))
    if operation == "provision" and not vm["is_a_template"]:
        return XapiError("PROVISION_ONLY_ALLOWED_ON_TEMPLATE")
    if operation == "revert" and not vm["is_a_snapshot"]:
        return XapiError("VM_REVERT_FAILED", ref, NULL)
    if vm["is_control_domain"] and operation not in _CONTROL_DOMAIN:
        return XapiError("OPERATION_NOT_ALLOWED", "This operation is not allowed on a control domain")
    if lacks_feature(database, vm, operation):
        return XapiError("VM_LACKS_FEATURE", ref)
    if operation in {"suspend", "checkpoint"} and vm["VTPMs"]:
        return XapiError("VM_HAS_VTPM", ref)
    return None


def vbd_refusal(database: Database, ref: str, operation: str) -> XapiError | None:
    """Why a VBD refuses an operation now."""
    vbd = database.row("VBD", ref).record
    vm_row = database.tables["VM"].get(vbd["VM"])
    state = vm_row.record["power_state"] if vm_row else "Halted"
    if vbd["current_operations"]:
        return busy("VBD", ref, vbd["current_operations"])
    removable = vbd["type"] in {"CD", "Floppy"}
    if operation in {"insert", "eject"}:
        if not removable:
            return XapiError("VBD_NOT_REMOVABLE_MEDIA", ref)
        if operation == "insert" and not vbd["empty"]:
            return XapiError("VBD_NOT_EMPTY", ref)
        if operation == "eject" and vbd["empty"]:
            return XapiError("VBD_IS_EMPTY", ref)
        if state == "Suspended":
            return bad_power_state(vbd["VM"], ("Running", "Paused", "Halted"), state)
        return None
    if operation in {"pause", "unpause"}:
        return None if state == "Running" else bad_power_state(vbd["VM"], ("Running",), state)
    if operation == "attach":
        return None
    return _plug_refusal(database, ref, vbd, operation, state, removable)


def _plug_refusal(
    database: Database, ref: str, vbd: Record, operation: str, state: str, removable: bool
) -> XapiError | None:
    if operation in {"unplug", "unplug_force"} and not vbd["unpluggable"]:
        return XapiError("VBD_NOT_UNPLUGGABLE", ref)
    if state != "Running":
        return bad_power_state(vbd["VM"], ("Running",), state)
    vm = database.row("VM", vbd["VM"]).record
    if removable and not is_pv(vm):
        return XapiError("OPERATION_NOT_ALLOWED", "HVM CDROMs cannot be hotplugged/unplugged, only inserted or ejected")
    if operation == "plug" and vbd["currently_attached"]:
        return XapiError("DEVICE_ALREADY_ATTACHED", ref)
    if operation != "plug" and not vbd["currently_attached"]:
        return XapiError("DEVICE_ALREADY_DETACHED", ref)
    if not is_pv(vm) and not has_pv_drivers(database, vm):
        return XapiError("VM_MISSING_PV_DRIVERS", vbd["VM"])
    if operation == "plug":
        if vbd["mode"] == "RO" and vbd["type"] == "Disk" and not is_pv(vm):
            return XapiError("DISK_VBD_MUST_BE_READWRITE_FOR_HVM", ref)
        return vdi_sharing_refusal(database, ref, vbd)
    return None


def vdi_sharing_refusal(database: Database, ref: str, vbd: Record) -> XapiError | None:
    """Why the VDI of a VBD cannot be attached beside what it is attached to already."""
    vdi_row = database.tables["VDI"].get(vbd["VDI"])
    if vdi_row is None or vdi_row.record["sharable"]:
        return None
    for other_ref in vdi_row.record["VBDs"]:
        other = database.tables["VBD"].get(other_ref)
        if other is None or other_ref == ref or not other.record["currently_attached"]:
            continue
        if vbd["mode"] == "RW" or other.record["mode"] == "RW":
            return XapiError("VDI_IN_USE", vbd["VDI"])
    return None


def vif_refusal(database: Database, ref: str, operation: str) -> XapiError | None:
    """Why a VIF refuses an operation now."""
    vif = database.row("VIF", ref).record
    vm_row = database.tables["VM"].get(vif["VM"])
    state = vm_row.record["power_state"] if vm_row else "Halted"
    if vif["current_operations"]:
        return busy("VIF", ref, vif["current_operations"])
    if operation == "attach":
        return None
    if state != "Running":
        return bad_power_state(vif["VM"], ("Running",), state)
    if operation == "plug" and vif["currently_attached"]:
        return XapiError("DEVICE_ALREADY_ATTACHED", ref)
    if operation != "plug" and not vif["currently_attached"]:
        return XapiError("DEVICE_ALREADY_DETACHED", ref)
    vm = database.row("VM", vif["VM"]).record
    if not is_pv(vm) and not has_pv_drivers(database, vm):
        return XapiError("VM_MISSING_PV_DRIVERS", vif["VM"])
    return None


def vdi_refusal(database: Database, ref: str, operation: str) -> XapiError | None:
    """Why a VDI refuses an operation now."""
    vdi = database.row("VDI", ref).record
    sr_row = database.tables["SR"].get(vdi["SR"])
    if vdi["current_operations"]:
        together = {"clone", "copy"}
        if not (operation in together and set(vdi["current_operations"].values()) <= together):
            return busy("VDI", ref, vdi["current_operations"])
    if sr_row is not None and not _is_attached(database, sr_row.record):
        return XapiError("SR_HAS_NO_PBDS", vdi["SR"])
    attached = [
        row.record
        for vbd in vdi["VBDs"]
        if (row := database.tables["VBD"].get(vbd)) is not None and row.record["currently_attached"]
    ]
    if operation in {"resize", "destroy", "forget", "data_destroy", "set_on_boot", "update"} and attached:
        return XapiError("VDI_IN_USE", ref, operation)
    if operation == "copy" and any(vbd["mode"] == "RW" for vbd in attached):
        return XapiError("VDI_IN_USE", ref, operation)
    if operation in {"snapshot", "clone", "resize"} and sr_row is not None and sr_row.record["type"] == "iso":
        return XapiError("SR_OPERATION_NOT_SUPPORTED", vdi["SR"])
    return None


def _is_attached(database: Database, sr: Record) -> bool:
    return any(
        row.record["currently_attached"] for pbd in sr["PBDs"] if (row := database.tables["PBD"].get(pbd)) is not None
    )


_APPLIANCE_STATES: dict[str, tuple[frozenset[str], str]] = {
    "start": (frozenset({"Halted"}), "There are no halted VMs in this appliance."),
    "clean_shutdown": (frozenset({"Running"}), "There are no running VMs in this appliance."),
    "hard_shutdown": (frozenset({"Running", "Paused", "Suspended"}), "All VMs in this appliance are halted."),
    "shutdown": (frozenset({"Running", "Paused", "Suspended"}), "All VMs in this appliance are halted."),
}


def appliance_refusal(database: Database, ref: str, operation: str) -> XapiError | None:
    """Why an appliance refuses an operation now (xapi_vm_appliance_lifecycle.ml)."""
    appliance = database.row("VM_appliance", ref).record
    if appliance["current_operations"]:
        return busy("VM_appliance", ref, appliance["current_operations"])
    rows = [row for vm in appliance["VMs"] if (row := database.tables["VM"].get(vm)) is not None]
    if not rows:
        return XapiError("OPERATION_NOT_ALLOWED", "Appliance has no VMs.")
    states, reason = _APPLIANCE_STATES[operation]
    if not any(row.record["power_state"] in states for row in rows):
        return XapiError("OPERATION_NOT_ALLOWED", reason)
    return None


REFUSALS = {"VM": vm_refusal, "VBD": vbd_refusal, "VIF": vif_refusal, "VDI": vdi_refusal,
            "VM_appliance": appliance_refusal}  # fmt: skip
VISIBLE = {
    "VM_appliance": tuple(_APPLIANCE_STATES),
    "VM": VM_VISIBLE,
    "VBD": ("attach", "eject", "unpause", "insert", "plug", "unplug", "unplug_force", "pause"),
    "VIF": ("attach", "plug", "unplug"),
    "VDI": ("copy", "clone", "forget", "resize", "snapshot", "destroy"),
}


def refresh(database: Database, class_name: str, ref: str) -> None:
    """Bring an object's allowed_operations up to date."""
    if class_name in REFUSALS:
        refusal = REFUSALS[class_name]
        allowed = [op for op in VISIBLE[class_name] if refusal(database, ref, op) is None]
        if class_name == "VM" and not database.row("VM", ref).record["is_a_template"]:
            allowed = [op for op in allowed if op != "provision"]
    elif class_name == "VTPM":
        allowed = ["destroy"]
    else:
        return
    database.set_derived(class_name, ref, "allowed_operations", allowed)


def touches(database: Database, class_name: str, ref: str) -> Iterable[tuple[str, str]]:
    """The objects whose allowed_operations depend on an object."""
    row = database.tables[class_name].get(ref)
    if row is None:
        return
    record = row.record
    if class_name == "VM":
        for field, other_class in (("VBDs", "VBD"), ("VIFs", "VIF")):
            for other in record[field]:
                yield other_class, other
        if record["appliance"] != NULL:
            yield "VM_appliance", record["appliance"]
    elif class_name == "VBD" and record["VDI"] != NULL:
        yield "VDI", record["VDI"]
        vdi = database.tables["VDI"].get(record["VDI"])
        for other in vdi.record["VBDs"] if vdi else ():
            yield "VBD", other
    elif class_name == "VM_guest_metrics":
        for vm_ref, vm in database.tables["VM"].items():
            if vm.record["guest_metrics"] == ref:
                yield "VM", vm_ref
                for other in vm.record["VBDs"]:
                    yield "VBD", other
                for other in vm.record["VIFs"]:
                    yield "VIF", other
    elif class_name == "PBD":
        sr = database.tables["SR"].get(record["SR"])
        for vdi_ref in sr.record["VDIs"] if sr else ():
            yield "VDI", vdi_ref
