# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Memory, vCPUs and other settings of VMs that have rules."""

from __future__ import annotations

from bisect import bisect_left

from xapi_lab import high_availability, memory
from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.operations import vm_refusal

_VCPU_RULE = "VCPU values must satisfy: 0 < VCPUs_at_startup ≤ VCPUs_max"
_LIVE_VCPU_RULE = "VCPU values must satisfy: 0 < VCPUs ≤ VCPUs_max"
HA_PRIORITIES = ("restart", "best-effort", "")


def _require(context: Context, vm_ref: str, operation: str) -> None:
    refusal = vm_refusal(context.db, vm_ref, operation)
    if refusal is not None:
        raise refusal


# --- memory


def _set_limits(context: Context, vm_ref: str, **changes: int) -> None:
    vm = context.db.record("VM", vm_ref)
    names = ("memory_static_min", "memory_static_max", "memory_dynamic_min", "memory_dynamic_max")
    limits = {name: changes[name] if name in changes else int(vm[name]) for name in names}
    memory.check_order(*(limits[name] for name in names))
    context.db.update("VM", vm_ref, **limits)
    if vm["power_state"] == "Halted":
        overhead = memory.overhead(limits["memory_static_max"], vm["VCPUs_max"])
        context.db.set("VM", vm_ref, "memory_overhead", overhead)


@call("VM.set_memory_limits")
async def set_memory_limits(
    context: Context, vm_ref: str, static_min: int, static_max: int, dynamic_min: int, dynamic_max: int
) -> None:
    _require(context, vm_ref, "changing_memory_limits")
    _set_limits(
        context, vm_ref, memory_static_min=static_min, memory_static_max=static_max, memory_dynamic_min=dynamic_min,
        memory_dynamic_max=dynamic_max,
    )  # fmt: skip


@call("VM.set_memory")
async def set_memory(context: Context, vm_ref: str, value: int) -> None:
    _require(context, vm_ref, "changing_memory_limits")
    _set_limits(context, vm_ref, memory_static_max=value, memory_dynamic_min=value, memory_dynamic_max=value)


@call("VM.set_memory_static_range")
async def set_memory_static_range(context: Context, vm_ref: str, low: int, high: int) -> None:
    _require(context, vm_ref, "changing_static_range")
    _set_limits(context, vm_ref, memory_static_min=low, memory_static_max=high)


@call("VM.set_memory_static_min")
async def set_memory_static_min(context: Context, vm_ref: str, value: int) -> None:
    _require(context, vm_ref, "changing_static_range")
    _set_limits(context, vm_ref, memory_static_min=value)


@call("VM.set_memory_static_max")
async def set_memory_static_max(context: Context, vm_ref: str, value: int) -> None:
    _require(context, vm_ref, "changing_static_range")
    _set_limits(context, vm_ref, memory_static_max=value)


@call("VM.set_memory_dynamic_range")
async def set_memory_dynamic_range(context: Context, vm_ref: str, low: int, high: int) -> None:
    _require(context, vm_ref, "changing_dynamic_range")
    _set_limits(context, vm_ref, memory_dynamic_min=low, memory_dynamic_max=high)


@call("VM.set_memory_dynamic_min")
async def set_memory_dynamic_min(context: Context, vm_ref: str, value: int) -> None:
    _require(context, vm_ref, "changing_dynamic_range")
    _set_limits(context, vm_ref, memory_dynamic_min=value)


@call("VM.set_memory_dynamic_max")
async def set_memory_dynamic_max(context: Context, vm_ref: str, value: int) -> None:
    _require(context, vm_ref, "changing_dynamic_range")
    _set_limits(context, vm_ref, memory_dynamic_max=value)


@call("VM.set_memory_target_live")
async def set_memory_target_live(context: Context, vm_ref: str, target: int) -> None:
    _require(context, vm_ref, "changing_memory_live")
    _set_limits(context, vm_ref, memory_dynamic_min=target, memory_dynamic_max=target)


@call("VM.wait_memory_target_live")
async def wait_memory_target_live(context: Context, vm_ref: str) -> None:
    _require(context, vm_ref, "awaiting_memory_live")


@call("VM.compute_memory_overhead")
async def compute_memory_overhead(context: Context, vm_ref: str) -> int:
    vm = context.db.record("VM", vm_ref)
    return memory.overhead(vm["memory_static_max"], vm["VCPUs_max"])


@call("VM.maximise_memory")
async def maximise_memory(context: Context, vm_ref: str, total: int, approximate: bool) -> int:
    vcpus = context.db.get("VM", vm_ref, "VCPUs_max")
    steps = range(max(0, -(-total // memory.MIB)))
    taken = bisect_left(steps, True, key=lambda step: _fits(total - step * memory.MIB, vcpus, total))
    return max(0, total - taken * memory.MIB)


def _fits(size: int, vcpus: int, total: int) -> bool:
    return size + memory.overhead(size, vcpus) <= total


# --- vCPUs


@call("VM.set_VCPUs_max")
async def set_vcpus_max(context: Context, vm_ref: str, value: int) -> None:
    _require(context, vm_ref, "changing_VCPUs")
    if not 0 < context.db.get("VM", vm_ref, "VCPUs_at_startup") <= value:
        raise XapiError("INVALID_VALUE", _VCPU_RULE, value)
    context.db.set("VM", vm_ref, "VCPUs_max", value)
    overhead = memory.overhead(context.db.get("VM", vm_ref, "memory_static_max"), value)
    context.db.set("VM", vm_ref, "memory_overhead", overhead)


@call("VM.set_VCPUs_at_startup")
async def set_vcpus_at_startup(context: Context, vm_ref: str, value: int) -> None:
    if not 0 < value <= context.db.get("VM", vm_ref, "VCPUs_max"):
        raise XapiError("INVALID_VALUE", _VCPU_RULE, value)
    context.db.set("VM", vm_ref, "VCPUs_at_startup", value)


@call("VM.set_VCPUs_number_live")
async def set_vcpus_number_live(context: Context, vm_ref: str, value: int) -> None:
    _require(context, vm_ref, "changing_VCPUs_live")
    vm = context.db.record("VM", vm_ref)
    if not 0 < value <= vm["VCPUs_max"]:
        raise XapiError("INVALID_VALUE", _LIVE_VCPU_RULE, vm["VCPUs_max"])
    context.db.set("VM_metrics", vm["metrics"], "VCPUs_number", value)


# --- others


@call("VM.set_ha_restart_priority")
async def set_ha_restart_priority(context: Context, vm_ref: str, value: str) -> None:
    if value not in HA_PRIORITIES:
        raise XapiError("INVALID_VALUE", "ha_restart_priority", value)
    context.db.set("VM", vm_ref, "ha_restart_priority", value)
    if context.db.get("VM", vm_ref, "power_state") == "Running":
        context.db.set("VM", vm_ref, "ha_always_run", value == "restart")
    high_availability.update_pool(context.db)


async def _set_count(context: Context, vm_ref: str, field: str, value: int) -> None:
    if value < 0:
        raise XapiError("INVALID_VALUE", field, value)
    context.db.set("VM", vm_ref, field, value)


@call("VM.set_order")
async def set_order(context: Context, vm_ref: str, value: int) -> None:
    await _set_count(context, vm_ref, "order", value)


@call("VM.set_start_delay")
async def set_start_delay(context: Context, vm_ref: str, value: int) -> None:
    await _set_count(context, vm_ref, "start_delay", value)


@call("VM.set_shutdown_delay")
async def set_shutdown_delay(context: Context, vm_ref: str, value: int) -> None:
    await _set_count(context, vm_ref, "shutdown_delay", value)


@call("VM.set_HVM_boot_policy")
async def set_hvm_boot_policy(context: Context, vm_ref: str, value: str) -> None:
    context.db.update("VM", vm_ref, HVM_boot_policy=value, domain_type="hvm" if value else "pv")


@call("VM.set_HVM_shadow_multiplier")
async def set_hvm_shadow_multiplier(context: Context, vm_ref: str, value: float) -> None:
    _require(context, vm_ref, "changing_shadow_memory")
    context.db.set("VM", vm_ref, "HVM_shadow_multiplier", value)


@call("VM.set_shadow_multiplier_live")
async def set_shadow_multiplier_live(context: Context, vm_ref: str, value: float) -> None:
    _require(context, vm_ref, "changing_shadow_memory_live")
    context.db.set("VM", vm_ref, "HVM_shadow_multiplier", value)


@call("VM.set_bios_strings")
async def set_bios_strings(context: Context, vm_ref: str, value: dict[str, str]) -> None:
    if context.db.get("VM", vm_ref, "bios_strings"):
        raise XapiError("VM_BIOS_STRINGS_ALREADY_SET")
    context.db.set("VM", vm_ref, "bios_strings", value)


@call("VM.copy_bios_strings")
async def copy_bios_strings(context: Context, vm_ref: str, host: str) -> None:
    await set_bios_strings(context, vm_ref, dict(context.db.get("host", host, "bios_strings")))


@call("VM.set_affinity")
async def set_affinity(context: Context, vm_ref: str, host: str) -> None:
    context.db.set("VM", vm_ref, "affinity", host)


@call("VM.set_actions_after_crash")
async def set_actions_after_crash(context: Context, vm_ref: str, value: str) -> None:
    context.db.set("VM", vm_ref, "actions_after_crash", value)


@call("VM.set_has_vendor_device")
async def set_has_vendor_device(context: Context, vm_ref: str, value: bool) -> None:
    _require(context, vm_ref, "start")
    context.db.set("VM", vm_ref, "has_vendor_device", value)
