# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""When a VM is started and stopped by its pool: order, delays, high availability, at power-on. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._errors import OptionError
from .option_checks import MOST_SECONDS
from .record_calls import Call, map_calls, vm_call

AUTO_POWER_ON = "auto_poweron"
PRIORITIES = ("restart", "best-effort", "none")


@dataclass(frozen=True)
class AvailabilitySpec:
    """None leaves a thing as it is. Delays are seconds."""

    order: int | None = None
    start_delay: int | None = None
    shutdown_delay: int | None = None
    ha_restart_priority: str | None = None
    auto_power_on: bool | None = None


@dataclass(frozen=True)
class Availability:
    order: int = 0
    start_delay: int = 0
    shutdown_delay: int = 0
    ha_restart_priority: str = "none"
    auto_power_on: bool = False

    def facts(self) -> dict[str, t.Any]:
        return {
            "start_order": self.order,
            "start_delay": self.start_delay,
            "shutdown_delay": self.shutdown_delay,
            "ha_restart_priority": self.ha_restart_priority,
            "auto_power_on": self.auto_power_on,
        }


def availability_spec(parameters: t.Mapping[str, t.Any]) -> AvailabilitySpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    for option in ("start_order", "start_delay", "shutdown_delay"):
        if parameters[option] is not None and not 0 <= parameters[option] <= MOST_SECONDS:
            raise OptionError(option, parameters[option], f"give a number from 0 to {MOST_SECONDS}")
    return AvailabilitySpec(
        parameters["start_order"],
        parameters["start_delay"],
        parameters["shutdown_delay"],
        parameters["ha_restart_priority"],
        parameters["auto_power_on"],
    )


def availability_of(record: t.Mapping[str, t.Any]) -> Availability:
    """Out of a VM's record. XAPI's priority of a VM that is not restarted is an empty text."""
    return Availability(
        order=int(record["order"]),
        start_delay=int(record["start_delay"]),
        shutdown_delay=int(record["shutdown_delay"]),
        ha_restart_priority=record["ha_restart_priority"] or "none",
        auto_power_on=record["other_config"].get(AUTO_POWER_ON) == "true",
    )


def availability_after(spec: AvailabilitySpec, availability: Availability) -> Availability:
    """As it is to be."""
    wanted: dict[str, t.Any] = {
        "order": spec.order,
        "start_delay": spec.start_delay,
        "shutdown_delay": spec.shutdown_delay,
        "ha_restart_priority": spec.ha_restart_priority,
        "auto_power_on": spec.auto_power_on,
    }
    return replace(availability, **{name: value for name, value in wanted.items() if value is not None})


def availability_calls(before: Availability, after: Availability) -> list[Call]:
    """What turns one into the other."""
    calls = []
    for name in ("order", "start_delay", "shutdown_delay"):
        if getattr(before, name) != getattr(after, name):
            calls.append(vm_call(f"set_{name}", getattr(after, name), asked=f"set {name}"))
    if before.ha_restart_priority != after.ha_restart_priority:
        priority = "" if after.ha_restart_priority == "none" else after.ha_restart_priority
        calls.append(vm_call("set_ha_restart_priority", priority, asked="set ha_restart_priority"))
    return [*calls, *map_calls("other_config", _keys(before), _keys(after), "set auto_power_on")]


def pool_power_on_calls(pool: str) -> tuple[Call, ...]:
    """What has the pool start, when a host is powered on, the VMs that have the key themselves."""
    asked = "have the pool start VMs at power-on"
    return (
        Call("pool.remove_from_other_config", (pool, AUTO_POWER_ON), asked),
        Call("pool.add_to_other_config", (pool, AUTO_POWER_ON, "true"), asked),
    )


def _keys(availability: Availability) -> dict[str, str]:
    return {AUTO_POWER_ON: "true"} if availability.auto_power_on else {}
