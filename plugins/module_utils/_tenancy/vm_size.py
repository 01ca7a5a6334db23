# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A VM's size against the limits of the containers in it. Pure. Sizes are bytes."""

from __future__ import annotations

import math
import typing as t

from .._engine import parsers
from .._errors import OptionError
from .._pool.sizes import MIB, parse_size, shown

AUTO = "auto"
# What memory of a computed size is a multiple of.
STEP = 64 * MIB
BILLION = 10**9


def vm_size(containers: t.Any, vcpus: t.Any, memory: t.Any, reserve: t.Any) -> dict[str, int]:
    """The vCPUs and memory of the VM that holds ``containers``: those given, or where they are ``auto`` what the containers' limits need.

    ``reserve`` is the memory left to the guest's own system. A container without a limit counts nothing against a given size; a size is not computed
    from one. Raises ``OptionError`` where the limits do not fit, naming the role's variables.
    """
    return {"vcpus": _vcpus(containers, vcpus), "memory": _memory(containers, memory, reserve)}


def _vcpus(containers: t.Any, vcpus: t.Any) -> int:
    limits = _limits(containers, "cpus", parsers.cores)
    needed = max(1, math.ceil(sum(limits.values()) / BILLION))
    if vcpus == AUTO:
        _refuse_unlimited("vm_vcpus", "cpus", containers, limits)
        return needed
    try:
        number = int(str(vcpus))
    except ValueError:
        number = 0
    if number < 1:
        raise OptionError("vm_vcpus", vcpus, "give a number from 1, or auto")
    if sum(limits.values()) > number * BILLION:
        told = ", ".join(f"{name} {limit / BILLION:g}" for name, limit in limits.items())
        raise OptionError(
            "vm_vcpus", vcpus, f"the cpus of its containers are more ({told}); give {needed}, or auto, or lower them"
        )
    return number


def _memory(containers: t.Any, memory: t.Any, reserve: t.Any) -> int:
    limits = _limits(containers, "memory", parsers.memory)
    kept = parse_size("vm_memory_reserve", reserve) if str(reserve) != "0" else 0
    needed = sum(limits.values()) + (kept if limits else 0)
    rounded = -(-needed // STEP) * STEP
    if memory == AUTO:
        _refuse_unlimited("vm_memory", "memory", containers, limits)
        return rounded
    size = parse_size("vm_memory", memory)
    if needed > size:
        told = ", ".join(f"{name} {shown(limit)}" for name, limit in limits.items())
        raise OptionError(
            "vm_memory",
            memory,
            f"the memory of its containers ({told}) and vm_memory_reserve ({shown(kept)}) are {shown(needed)}; "
            f"give {rounded // MIB}MiB, or auto, or lower them",
        )
    return size


def _limits(containers: t.Any, key: str, parse: t.Callable[[str, t.Any], int]) -> dict[str, int]:
    option = "container_set_containers"
    found = {}
    for name, definition in parsers.mapping(option, containers or {}).items():
        value = parsers.mapping(f"{option}.{name}", definition).get(key)
        if value is not None:
            found[name] = parse(f"{option}.{name}.{key}", value)
    return found


def _refuse_unlimited(option: str, key: str, containers: t.Any, limits: t.Mapping[str, int]) -> None:
    unlimited = [str(name) for name in containers or {} if name not in limits]
    if unlimited or not containers:
        missing = f"{', '.join(unlimited)} has none" if unlimited else "there are no containers"
        raise OptionError(option, AUTO, f"it is computed from the {key} of every container, and {missing}")
