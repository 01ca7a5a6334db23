# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The memory of a VM: what it may have, and between which bounds the pool may move it. Pure. Sizes are bytes."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .record_calls import Call, vm_call
from .sizes import MIB, parse_size, shown

MINIMUM_MEMORY = 16 * MIB
BALLOON_RESTRICTION = "restrict_dmc"


@dataclass(frozen=True)
class MemorySpec:
    """None leaves a thing as it is, but the bounds follow ``memory`` where that is given and they are not."""

    memory: int | None = None
    static_min: int | None = None
    static_max: int | None = None
    dynamic_min: int | None = None


@dataclass(frozen=True)
class Memory:
    """XAPI's four limits, which never cross: static_min <= dynamic_min <= dynamic_max <= static_max."""

    static_min: int = 0
    dynamic_min: int = 0
    dynamic_max: int = 0
    static_max: int = 0

    @classmethod
    def fixed(cls, size: int) -> Memory:
        """Memory of one size."""
        return cls(size, size, size, size)

    def facts(self) -> dict[str, t.Any]:
        return {
            "memory": self.dynamic_max,
            "memory_static_min": self.static_min,
            "memory_static_max": self.static_max,
            "memory_dynamic_min": self.dynamic_min,
        }


def memory_spec(parameters: t.Mapping[str, t.Any]) -> MemorySpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    return MemorySpec(
        memory=_size(parameters, "memory"),
        static_min=_size(parameters, "memory_static_min"),
        static_max=_size(parameters, "memory_static_max"),
        dynamic_min=_size(parameters, "memory_dynamic_min"),
    )


def _size(parameters: t.Mapping[str, t.Any], option: str) -> int | None:
    value = parameters[option]
    if value is None or value == "":
        return None
    size = parse_size(option, value)
    if size < MINIMUM_MEMORY:
        raise OptionError(option, value, "a guest needs at least 16MiB; was a unit left out?")
    return size


def memory_of(record: t.Mapping[str, t.Any]) -> Memory:
    """The limits out of a VM's record."""
    names = ("static_min", "dynamic_min", "dynamic_max", "static_max")
    return Memory(*(int(record[f"memory_{name}"]) for name in names))


def memory_after(spec: MemorySpec, memory: Memory, restrictions: t.Mapping[str, str]) -> Memory:
    """The limits as they are to be. Raises ``OptionError`` where they would cross, or the pool's licence allows one size only.

    XAPI holds that then dynamic_min, dynamic_max and static_max are the same (``xapi_vm_memory_constraints.ml``).
    """
    dynamic_max = spec.memory or memory.dynamic_max
    dynamic_min = spec.dynamic_min or spec.memory or memory.dynamic_min
    static_max = spec.static_max or spec.memory or memory.static_max
    static_min = spec.static_min or min(memory.static_min, dynamic_min)
    if spec == MemorySpec():
        return memory
    if dynamic_max > static_max:
        expected = f"the VM is to have memory {shown(dynamic_max)}; give that or more"
        raise OptionError("memory_static_max", shown(static_max), expected)
    if dynamic_min > dynamic_max:
        expected = f"the VM is to have memory {shown(dynamic_max)}; give that or less"
        raise OptionError("memory_dynamic_min", shown(dynamic_min), expected)
    if static_min > dynamic_min:
        expected = f"the least that the VM is to have is {shown(dynamic_min)}; give that or less"
        raise OptionError("memory_static_min", shown(static_min), expected)
    after = Memory(static_min, dynamic_min, dynamic_max, static_max)
    for option, limit in (("memory_static_max", static_max), ("memory_dynamic_min", dynamic_min)):
        if restrictions.get(BALLOON_RESTRICTION) == "true" and after != memory and limit != dynamic_max:
            expected = f"the pool's licence does not allow memory to change while a VM runs ({BALLOON_RESTRICTION}); leave it out"
            raise OptionError(option, shown(limit), expected)
    return after


def memory_halt_for(before: Memory, after: Memory, power_state: str) -> list[str]:
    """Why a VM in that power state must be halted for this: XAPI moves the dynamic limits of a running VM, the static ones never."""
    reasons = []
    if before.static_max != after.static_max:
        reasons.append(f"memory_static_max changes from {shown(before.static_max)} to {shown(after.static_max)}")
    if before.static_min != after.static_min:
        reasons.append(f"memory_static_min changes from {shown(before.static_min)} to {shown(after.static_min)}")
    if not reasons and before != after and power_state in ("paused", "suspended"):
        reasons.append(f"memory changes to {_range(after)}, which only a running or halted guest can take")
    return reasons


def memory_calls(before: Memory, after: Memory) -> list[Call]:
    """What turns one into the other."""
    if before == after:
        return []
    asked = f"set memory to {_range(after)}"
    if (before.static_min, before.static_max) == (after.static_min, after.static_max):
        return [vm_call("set_memory_dynamic_range", after.dynamic_min, after.dynamic_max, asked=asked)]
    limits = (after.static_min, after.static_max, after.dynamic_min, after.dynamic_max)
    return [vm_call("set_memory_limits", *limits, asked=asked)]


def _range(memory: Memory) -> str:
    if memory.dynamic_min == memory.dynamic_max:
        return shown(memory.dynamic_max)
    return f"{shown(memory.dynamic_min)} to {shown(memory.dynamic_max)}"
