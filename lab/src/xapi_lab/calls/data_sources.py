# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Data sources of VMs and hosts: what was measured last."""

from __future__ import annotations

import math
import sys
from typing import Any

from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.operations import vm_refusal
from xapi_lab.rrd import Rrd


async def _measured(context: Context) -> None:
    if not context.lab.measures:
        await context.lab.measurements.measure()


def _require_running(context: Context, vm_ref: str) -> None:
    refusal = vm_refusal(context.db, vm_ref, "data_source_op")
    if refusal is not None:
        raise refusal


def _described(rrd: Rrd | None) -> list[dict[str, Any]]:
    """Sources as records; a value that is not known is 0 and a limit that there is not the largest number, since JSON
    has neither NaN nor Infinity."""
    if rrd is None:
        return []
    return [
        {"name_label": source.name, "name_description": source.description, "enabled": True, "standard": True,
         "units": source.units, "min": 0.0, "max": min(source.most, sys.float_info.max), "value": _finite(rrd.last(source.name))}
        for source in rrd.sources.values()
    ]  # fmt: skip


def _finite(value: float) -> float:
    return value if math.isfinite(value) else 0.0


def _last(rrd: Rrd | None, name: str) -> float:
    try:
        if rrd is None:
            raise KeyError(name)
        return _finite(rrd.last(name))
    except KeyError:
        raise XapiError("INTERNAL_ERROR", f'Rrd.Invalid_data_source("{name}")') from None


@call("VM.get_data_sources")
async def vm_get_data_sources(context: Context, vm_ref: str) -> list[dict[str, Any]]:
    _require_running(context, vm_ref)
    await _measured(context)
    return _described(context.lab.measurements.vms.get(context.db.get("VM", vm_ref, "uuid")))


@call("VM.query_data_source")
async def vm_query_data_source(context: Context, vm_ref: str, name: str) -> float:
    _require_running(context, vm_ref)
    await _measured(context)
    return _last(context.lab.measurements.vms.get(context.db.get("VM", vm_ref, "uuid")), name)


@call("VM.record_data_source", "VM.forget_data_source_archives")
async def vm_change_data_source(context: Context, vm_ref: str, name: str) -> None:
    _require_running(context, vm_ref)


@call("host.get_data_sources")
async def host_get_data_sources(context: Context, host: str) -> list[dict[str, Any]]:
    await _measured(context)
    return _described(context.lab.measurements.hosts.get(context.db.get("host", host, "uuid")))


@call("host.query_data_source")
async def host_query_data_source(context: Context, host: str, name: str) -> float:
    await _measured(context)
    return _last(context.lab.measurements.hosts.get(context.db.get("host", host, "uuid")), name)
