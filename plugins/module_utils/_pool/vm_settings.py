# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""All that a VM's own record sets, beside its name, marks and devices: asked for, as it is, as it is to be, and the way there. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .pool_facts import Pool
from .record_calls import Call
from .vm_availability import (
    PRIORITIES,
    Availability,
    AvailabilitySpec,
    availability_after,
    availability_calls,
    availability_of,
    availability_spec,
)
from .vm_boot import LETTERS, Boot, BootSpec, boot_after, boot_calls, boot_halt_for, boot_of, boot_spec
from .vm_cpu import Cpu, CpuSpec, cpu_after, cpu_calls, cpu_halt_for, cpu_of, cpu_spec
from .vm_keys import Keys, KeysSpec, keys_after, keys_calls, keys_of, keys_spec
from .vm_memory import Memory, MemorySpec, memory_after, memory_calls, memory_halt_for, memory_of, memory_spec
from .vm_placement import Placement, PlacementSpec, placement_after, placement_calls, placement_of, placement_spec

Record = t.Mapping[str, t.Any]


@dataclass(frozen=True)
class SettingsSpec:
    cpu: CpuSpec = field(default_factory=CpuSpec)
    memory: MemorySpec = field(default_factory=MemorySpec)
    boot: BootSpec = field(default_factory=BootSpec)
    placement: PlacementSpec = field(default_factory=PlacementSpec)
    availability: AvailabilitySpec = field(default_factory=AvailabilitySpec)
    keys: KeysSpec = field(default_factory=KeysSpec)


@dataclass(frozen=True)
class Settings:
    cpu: Cpu = field(default_factory=Cpu)
    memory: Memory = field(default_factory=Memory)
    boot: Boot = field(default_factory=Boot)
    placement: Placement = field(default_factory=Placement)
    availability: Availability = field(default_factory=Availability)
    keys: Keys = field(default_factory=Keys)

    def facts(self) -> dict[str, t.Any]:
        """What modules return of them, one key an option."""
        parts = (self.cpu, self.memory, self.boot, self.placement, self.availability, self.keys)
        return {name: value for part in parts for name, value in part.facts().items()}


def settings_arguments() -> dict[str, dict[str, t.Any]]:
    """The argument spec, documented in the fragment ``vm_settings``."""
    return {
        **{name: {"type": "int"} for name in ("vcpus", "vcpus_max", "cores_per_socket", "cpu_weight", "cpu_cap")},
        **{
            name: {"type": "str"} for name in ("memory", "memory_static_max", "memory_static_min", "memory_dynamic_min")
        },
        "firmware": {"type": "str", "choices": ["bios", "uefi"]},
        "secure_boot": {"type": "bool"},
        "vtpm": {"type": "bool"},
        "boot_order": {"type": "list", "elements": "str", "choices": list(LETTERS)},
        **{name: {"type": "str"} for name in ("affinity", "resident_on", "group", "appliance", "folder")},
        **{name: {"type": "int"} for name in ("start_order", "start_delay", "shutdown_delay")},
        "ha_restart_priority": {"type": "str", "choices": list(PRIORITIES)},
        "auto_power_on": {"type": "bool"},
        "delete_protection": {"type": "bool"},
        **{name: {"type": "dict"} for name in ("blocked_operations", "other_config", "platform", "xenstore_data")},
    }


def settings_spec(parameters: t.Mapping[str, t.Any]) -> SettingsSpec:
    """The spec out of the module's parameters. Raises ``OptionError`` for the first that cannot be used."""
    return SettingsSpec(
        cpu_spec(parameters),
        memory_spec(parameters),
        boot_spec(parameters),
        placement_spec(parameters),
        availability_spec(parameters),
        keys_spec(parameters),
    )


def settings_of(record: Record, metrics: Record, guest_metrics: Record, pool: Pool) -> Settings:
    """Out of the records of a VM, its ``VM_metrics`` and its ``VM_guest_metrics``. Both may be empty, as those of a template."""
    return Settings(
        cpu_of(record, metrics, guest_metrics, pool.restrictions),
        memory_of(record),
        boot_of(record),
        placement_of(record, pool),
        availability_of(record),
        keys_of(record),
    )


def settings_of_clone(settings: Settings) -> Settings:
    """What a clone or a copy has of them: XAPI takes these from it (``xapi_vm_clone.ml``)."""
    return replace(
        settings,
        cpu=replace(settings.cpu, live=None),
        placement=replace(settings.placement, group=None, appliance=None),
        availability=replace(settings.availability, order=0, start_delay=0, shutdown_delay=0),
        keys=replace(settings.keys, blocked={}),
    )


def settings_after(spec: SettingsSpec, tenant: str, settings: Settings, pool: Pool) -> Settings:
    """As they are to be. Raises ``OptionError`` for what fits neither the VM nor the pool."""
    return Settings(
        cpu_after(spec.cpu, settings.cpu),
        memory_after(spec.memory, settings.memory, pool.restrictions),
        boot_after(spec.boot, settings.boot, pool.restrictions),
        placement_after(spec.placement, tenant, settings.placement, pool),
        availability_after(spec.availability, settings.availability),
        keys_after(spec.keys, settings.keys),
    )


def settings_in(settings: Settings, *, started: bool, running: bool) -> Settings:
    """How they show once the VM has come to its last power state."""
    cpu = settings.cpu
    live = cpu.at_startup if running and (started or cpu.live is None) else cpu.live if running else None
    return replace(settings, cpu=replace(cpu, live=live))


def settings_halt_for(before: Settings, after: Settings, power_state: str) -> list[str]:
    """Why a VM in that power state must be halted for this."""
    return [
        *cpu_halt_for(before.cpu, after.cpu),
        *memory_halt_for(before.memory, after.memory, power_state),
        *boot_halt_for(before.boot, after.boot),
    ]


def settings_calls(before: Settings, after: Settings, *, running: bool) -> tuple[Call, ...]:
    """What turns one into the other, in order. ``running``: the VM runs while they are sent."""
    return (
        *cpu_calls(before.cpu, after.cpu, running=running),
        *memory_calls(before.memory, after.memory),
        *boot_calls(before.boot, after.boot),
        *placement_calls(before.placement, after.placement),
        *availability_calls(before.availability, after.availability),
        *keys_calls(before.keys, after.keys),
    )
