# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The vCPUs of a VM: how many now and at most, their topology, and their share of the host. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._errors import OptionError
from .record_calls import Call, map_calls, vm_call

MOST_VCPUS = 64
DEFAULT_WEIGHT = 256
HOTPLUG_RESTRICTION = "restrict_set_vcpus_number_live"
Record = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class CpuSpec:
    """None leaves a thing as it is, but for ``maximum``, which is ``vcpus`` where only that is given."""

    vcpus: int | None = None
    maximum: int | None = None
    cores_per_socket: int | None = None
    weight: int | None = None
    cap: int | None = None


@dataclass(frozen=True)
class Cpu:
    """``live`` is how many a running VM has, and None for one that does not run.

    ``weight`` is against the other VMs' of the host, ``cap`` in percent of one physical CPU, 0 for none.
    ``fixed`` says why the number cannot be changed while it runs, and is empty where it can.
    """

    at_startup: int = 1
    maximum: int = 1
    live: int | None = None
    cores_per_socket: int = 1
    weight: int = DEFAULT_WEIGHT
    cap: int = 0
    fixed: str = ""

    def facts(self) -> dict[str, t.Any]:
        return {
            "vcpus": self.at_startup if self.live is None else self.live,
            "vcpus_max": self.maximum,
            "cores_per_socket": self.cores_per_socket,
            "cpu_weight": self.weight,
            "cpu_cap": self.cap,
        }


def cpu_spec(parameters: t.Mapping[str, t.Any]) -> CpuSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    vcpus = _number(parameters, "vcpus", 1, MOST_VCPUS)
    maximum = _number(parameters, "vcpus_max", 1, MOST_VCPUS)
    if vcpus is not None and maximum is not None and vcpus > maximum:
        raise OptionError("vcpus_max", maximum, f"give a number from vcpus, {vcpus}, to {MOST_VCPUS}")
    return CpuSpec(
        vcpus,
        maximum,
        _number(parameters, "cores_per_socket", 1, MOST_VCPUS),
        _number(parameters, "cpu_weight", 1, 65535),
        _number(parameters, "cpu_cap", 0, 100 * MOST_VCPUS),
    )


def _number(parameters: t.Mapping[str, t.Any], option: str, least: int, most: int) -> int | None:
    value: int | None = parameters[option]
    if value is not None and not least <= value <= most:
        raise OptionError(option, value, f"give a number from {least} to {most}")
    return value


def cpu_of(record: Record, metrics: Record, guest_metrics: Record, restrictions: t.Mapping[str, str]) -> Cpu:
    """The vCPUs out of the records of a VM, its ``VM_metrics`` and its ``VM_guest_metrics``, which may be empty."""
    running = record["power_state"] == "Running" and bool(metrics)
    fixed = ""
    if restrictions.get(HOTPLUG_RESTRICTION) == "true":
        fixed = f"the pool's licence does not allow it ({HOTPLUG_RESTRICTION})"
    elif not _takes_vcpus(guest_metrics):
        fixed = "the guest has not said that it can"
    return Cpu(
        at_startup=int(record["VCPUs_at_startup"]),
        maximum=int(record["VCPUs_max"]),
        live=int(metrics["VCPUs_number"]) if running else None,
        cores_per_socket=_parsed(record["platform"].get("cores-per-socket"), 1) or 1,
        weight=_parsed(record["VCPUs_params"].get("weight"), DEFAULT_WEIGHT),
        cap=_parsed(record["VCPUs_params"].get("cap"), 0),
        fixed=fixed,
    )


def _takes_vcpus(guest_metrics: Record) -> bool:
    """What XAPI asks before it changes the vCPUs of a running guest (``xapi_vm_lifecycle.ml``)."""
    told = guest_metrics.get("other", {}).get("feature-vcpu-hotplug") == "1"
    return told or bool(guest_metrics.get("PV_drivers_version"))


def _parsed(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdigit() else default


def cpu_after(spec: CpuSpec, cpu: Cpu) -> Cpu:
    """The vCPUs as they are to be. Raises ``OptionError`` for what does not fit the VM."""
    at_startup = spec.vcpus or cpu.at_startup
    maximum = spec.maximum or spec.vcpus or cpu.maximum
    if at_startup > maximum:
        raise OptionError(
            "vcpus_max", maximum, f"the VM has vcpus {at_startup}; ask for that or more, or for vcpus too"
        )
    cores = spec.cores_per_socket or cpu.cores_per_socket
    if (spec.cores_per_socket or maximum != cpu.maximum) and maximum % cores:
        fitting = ", ".join(str(number) for number in range(1, maximum + 1) if maximum % number == 0)
        raise OptionError(
            "cores_per_socket", cores, f"it must divide the most vCPUs, which are {maximum}; give one of {fitting}"
        )
    return replace(
        cpu,
        at_startup=at_startup,
        maximum=maximum,
        live=cpu.live if cpu.live is None or spec.vcpus is None else spec.vcpus,
        cores_per_socket=cores,
        weight=cpu.weight if spec.weight is None else spec.weight,
        cap=cpu.cap if spec.cap is None else spec.cap,
    )


def cpu_halt_for(before: Cpu, after: Cpu) -> list[str]:
    """Why a VM that is not halted must be for this."""
    reasons = []
    if before.maximum != after.maximum:
        reasons.append(f"vcpus_max changes from {before.maximum} to {after.maximum}")
    else:
        was, wanted = before.facts()["vcpus"], after.facts()["vcpus"]
        if before.live is None and was != wanted:
            reasons.append(f"vcpus changes from {was} to {wanted}, which only a running or halted guest can take")
        elif before.live != after.live and before.fixed:
            reasons.append(f"vcpus changes from {was} to {wanted}, not while it runs, since {before.fixed}")
    if before.cores_per_socket != after.cores_per_socket:
        reasons.append(f"cores_per_socket changes from {before.cores_per_socket} to {after.cores_per_socket}")
    return reasons


def cpu_calls(before: Cpu, after: Cpu, *, running: bool) -> list[Call]:
    """What turns one into the other. XAPI holds that those at start are never more than the maximum, at each moment."""
    asked = f"set vcpus to {after.at_startup}, at most {after.maximum}"
    at_startup = [vm_call("set_VCPUs_at_startup", after.at_startup, asked=asked)]
    calls = at_startup if after.at_startup < before.at_startup else []
    if after.maximum != before.maximum:
        calls = [*calls, vm_call("set_VCPUs_max", after.maximum, asked=asked)]
    if after.at_startup > before.at_startup:
        calls = [*calls, *at_startup]
    if running and after.live is not None and after.live != before.live:
        calls = [*calls, vm_call("set_VCPUs_number_live", after.live, asked=asked)]
    return [
        *calls,
        *map_calls("platform", _platform(before), _platform(after), "set cores_per_socket"),
        *map_calls("VCPUs_params", _shares(before), _shares(after), "set cpu_weight and cpu_cap"),
    ]


def _platform(cpu: Cpu) -> dict[str, str]:
    return {"cores-per-socket": str(cpu.cores_per_socket)}


def _shares(cpu: Cpu) -> dict[str, str]:
    return {"weight": str(cpu.weight), "cap": str(cpu.cap)}
