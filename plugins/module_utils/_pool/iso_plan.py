# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Planning what is in the CD drive. A VM has one: XAPI lets an HVM guest use a single one. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._plan import Change
from .disks import CD_POSITION, free_position
from .pool_facts import one_named
from .vm_facts import Cd, Disk, Existing, Observed, Vm
from .vm_spec import VmSpec

KIND = "CD drive"


@dataclass(frozen=True)
class ChangedCd:
    """The CD drive to be made ``after``. ``before`` is None where there is no drive yet."""

    before: Cd | None
    after: Cd


@dataclass(frozen=True)
class CdPlan:
    changes: tuple[Change, ...]
    cd: Cd | None
    halt_for: tuple[str, ...] = ()


def plan_iso(spec: VmSpec, vm: Vm, disks: t.Sequence[Disk], observed: Observed) -> CdPlan:
    """What puts the ISO asked for into the drive, or takes it out. Raises ``OptionError`` for one that is not there or not the only one."""
    current = vm.cd
    if spec.iso is None:
        return CdPlan((), current)
    inside = current.iso if current else None
    iso = _wanted(spec.iso, inside, observed)
    if iso == inside:
        return CdPlan((), current)
    halt_for: tuple[str, ...] = ()
    if current is None:
        after = Cd(_position(vm, disks), iso)
        if vm.power_state != "halted":
            halt_for = ("iso: it has no CD drive, and one is added only while it is halted",)
    else:
        after = replace(current, iso=iso)
        if vm.power_state == "suspended":
            halt_for = ("iso: XAPI changes no CD of a suspended VM",)
    was, will = ({"iso": each.name if each else None} for each in (inside, iso))
    action = "insert" if iso else "eject"
    change = Change("iso", action, KIND, spec.name, was, will, payload=ChangedCd(current, after))
    return CdPlan((change,), after, halt_for)


def _wanted(wanted: str, inside: Existing | None, observed: Observed) -> Existing | None:
    """The ISO that is meant. The one that is inside already is, where several have its name."""
    if not wanted:
        return None
    if inside is not None and wanted in (inside.name, inside.uuid):
        return inside
    return one_named("iso", wanted, observed.isos, "ISO")


def _position(vm: Vm, disks: t.Sequence[Disk]) -> int:
    """The fourth position, where guests look for it, if it is free."""
    taken = {disk.device for disk in disks} | ({vm.drive.disk.device} if vm.drive.disk else set()) | vm.occupied
    return CD_POSITION if CD_POSITION not in taken else free_position(vm, disks)
