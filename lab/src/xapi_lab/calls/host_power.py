# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Hosts that are shut down, restarted and switched on (xapi_host.ml, power-on.py)."""

from __future__ import annotations

from xapi_lab import failover
from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError

POWER_ON_MODES = ("IPMI", "wake-on-lan")


def _check_may_end(context: Context, host: str) -> None:
    context.lab.members.check_reachable(host)
    if context.db.get("host", host, "enabled"):
        raise XapiError("HOST_NOT_DISABLED")


@call("host.shutdown")
async def shutdown(context: Context, host: str) -> None:
    _check_may_end(context, host)
    if len(context.lab.members.up()) == 1:
        raise XapiError("NOT_IMPLEMENTED", "host.shutdown of the last host that is up: `xapi-lab down` ends the lab")
    context.background(failover.shut_down_after_answer(context.lab, host, restart=False))


@call("host.reboot")
async def reboot(context: Context, host: str) -> None:
    _check_may_end(context, host)
    context.background(failover.shut_down_after_answer(context.lab, host, restart=True))


@call("host.power_on")
async def power_on(context: Context, host: str) -> None:
    mode = context.db.get("host", host, "power_on_mode")
    if not mode:
        raise XapiError("XENAPI_PLUGIN_FAILURE", "main", "HOST_POWER_ON_NOT_CONFIGURED", "")
    if mode not in POWER_ON_MODES:
        raise XapiError("XENAPI_PLUGIN_FAILURE", "main", "ModuleNotFoundError", f"No module named '{mode}'")
    await failover.bring_back(context.lab, host)


@call("host.restart_agent")
async def restart_agent(context: Context, host: str) -> None:
    """XAPI's restart on the coordinator; on a member nobody is there to notice."""
    context.lab.members.check_reachable(host)
    if context.lab.members.is_coordinator(host):
        context.background(failover.restart_xapi_after_answer(context.lab))
