# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Features that the lab's pool does not have, answered as a real pool without them answers."""

from __future__ import annotations

from typing import Any

from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.operations import vm_refusal


def _require(context: Context, vm_ref: str, operation: str) -> None:
    refusal = vm_refusal(context.db, vm_ref, operation)
    if refusal is not None:
        raise refusal


@call("VM.retrieve_wlb_recommendations", "pool.retrieve_wlb_recommendations", "pool.retrieve_wlb_configuration",
      "host.retrieve_wlb_evacuate_recommendations")  # fmt: skip
async def no_workload_balancing(context: Context, *arguments: Any) -> None:
    raise XapiError("WLB_NOT_INITIALIZED")


@call("VM.import_convert")
async def no_conversion(context: Context, *arguments: Any) -> None:
    raise XapiError("XENAPI_MISSING_PLUGIN", "conversion")


@call("VM.get_SRs_required_for_recovery")
async def srs_required_for_recovery(context: Context, vm_ref: str, session_to: str) -> list[str]:
    return []


@call("VM.recover")
async def recover(context: Context, vm_ref: str, session_to: str, force: bool) -> None:
    vm = context.db.record("VM", vm_ref)
    if vm["power_state"] != "Halted":
        raise XapiError("VM_BAD_POWER_STATE", vm_ref, "Halted", vm["power_state"])
    raise XapiError("VM_TO_IMPORT_IS_NOT_NEWER_VERSION", vm_ref, vm["version"], vm["version"])


@call("VM.call_plugin")
async def call_plugin(context: Context, vm_ref: str, plugin: str, function: str, args: dict[str, str]) -> None:
    _require(context, vm_ref, "call_plugin")
    text = (
        f'The requested fn "{function}" of plugin "{plugin}" could not be executed for lack of guest agent control '
        "feature."
    )
    raise XapiError("XENAPI_PLUGIN_FAILURE", "failed to execute fn", text, text)


@call("VM.assert_agile")
async def assert_agile(context: Context, vm_ref: str) -> None:
    db = context.db
    for vbd in db.get("VM", vm_ref, "VBDs"):
        vdi = db.get("VBD", vbd, "VDI")
        if db.exists("VDI", vdi) and not db.get("SR", db.get("VDI", vdi, "SR"), "shared"):
            raise XapiError("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", db.get("VDI", vdi, "SR"))


@call("VM.send_sysrq", "VM.send_trigger", "VM.add_to_VCPUs_params_live", "VM.query_services")
async def not_in_xapi_either(context: Context, vm_ref: str, *arguments: Any) -> None:
    raise XapiError("NOT_IMPLEMENTED", context.name.partition(".")[2])


@call("VM.call_host_plugin")
async def call_host_plugin(context: Context, vm_ref: str, plugin: str, function: str, args: dict[str, str]) -> None:
    raise XapiError("XENAPI_MISSING_PLUGIN", plugin)


@call("host.has_extension", "pool.has_extension")
async def has_extension(context: Context, ref: str, name: str) -> bool:
    return False


@call("VM.get_cooperative")
async def get_cooperative(context: Context, vm_ref: str) -> bool:
    return True


@call("session.change_password")
async def change_password(context: Context, old: str, new: str) -> None:
    if new != context.lab.password:
        raise XapiError("NOT_IMPLEMENTED", "session.change_password: the lab's password is in its state directory")


@call("session.create_from_db_file")
async def create_from_db_file(context: Context, filename: str) -> None:
    raise XapiError("INTERNAL_ERROR", f'Sys_error("{filename}: No such file or directory")')
