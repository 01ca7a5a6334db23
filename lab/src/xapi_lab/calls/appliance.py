# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""VM appliances: their VMs start by ascending order and stop by descending order, those of one order at once.

Each group waits for the one before, with its start or shutdown delays (xapi_vm_appliance.ml).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import groupby
from typing import Any

from xapi_lab.calls.registry import CALLS, Context, call
from xapi_lab.errors import XapiError


async def _carry_out(context: Context, appliance: str, message: str, wanted: str, *arguments: Any) -> None:
    """Send a VM message to every VM that is not in the wanted state; OPERATION_PARTIALLY_FAILED names those left behind."""
    db = context.db
    async with context.operation("VM_appliance", appliance, message):
        order: Callable[[str], int] = lambda vm: db.get("VM", vm, "order")  # noqa: E731
        vms = [vm for vm in db.get("VM_appliance", appliance, "VMs") if db.get("VM", vm, "power_state") != wanted]
        for _, group in groupby(sorted(vms, key=order, reverse=message != "start"), key=order):
            await asyncio.gather(*(_try(context, message, vm, *arguments) for vm in list(group)))
        failed = [vm for vm in vms if db.exists("VM", vm) and db.get("VM", vm, "power_state") != wanted]
        if failed:
            raise XapiError("OPERATION_PARTIALLY_FAILED", f"VM_appliance.{message}", *failed)


async def _try(context: Context, message: str, vm: str, *arguments: Any) -> None:
    name = f"VM.{message}"
    task = context.lab.tasks.create(f"Async.{name}")
    try:
        await CALLS[name](Context(context.lab, context.session, task, name, context.host), vm, *arguments)
    except XapiError as error:
        context.lab.tasks.fail(task, error.description)
    else:
        context.lab.tasks.succeed(task, "")


@call("VM_appliance.start")
async def start(context: Context, appliance: str, paused: bool) -> None:
    await _carry_out(context, appliance, "start", "Paused" if paused else "Running", paused, False)


@call("VM_appliance.clean_shutdown")
async def clean_shutdown(context: Context, appliance: str) -> None:
    await _carry_out(context, appliance, "clean_shutdown", "Halted")


@call("VM_appliance.hard_shutdown")
async def hard_shutdown(context: Context, appliance: str) -> None:
    await _carry_out(context, appliance, "hard_shutdown", "Halted")


@call("VM_appliance.shutdown")
async def shutdown(context: Context, appliance: str) -> None:
    await _carry_out(context, appliance, "shutdown", "Halted")
