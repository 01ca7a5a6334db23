# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Planning the system disk of a VM: which template it is of, and another one in its place where the template changed. Pure.

A system disk carries the identity of the template that it was cloned from, so that it is known in every moment of a run which of two is the
new one. The VM itself stays: its UUID, its interfaces with their MAC addresses, its other disks and its settings.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .._errors import OptionError
from .._plan import Change
from . import marks
from .disks import refuse_full
from .session import NULL_REF
from .vm_boot import Boot
from .vm_facts import Disk, Drive, Observed, Origin, Template, Vm
from .vm_spec import VmSpec

KIND = "system disk"


@dataclass(frozen=True)
class NewSystem:
    """The system disk ``after``: cloned from ``template``, or ``held`` where an interrupted run left it unattached.

    ``replaced`` goes once it has been detached, and stays where it is kept, shared or not ours. ``copy_to``: copied whole, to that SR, or with
    the null reference to the template's own. ``drive_again``: the guest's config drive is forgotten, since the new system needs it again.
    """

    after: Disk
    position: int
    template: Template | None = None
    held: Disk | None = None
    replaced: Disk | None = None
    copy_to: str | None = None
    drive_again: bool = False

    @property
    def replaced_stays(self) -> bool:
        return self.replaced is not None and (self.replaced.keep or self.replaced.shared or not self.replaced.ours)


@dataclass(frozen=True)
class SystemPlan:
    """The VM with its new system disk, the firmware that this wants, and what leads there. ``leftovers``: other system disks of interrupted runs."""

    vm: Vm | None
    boot: Boot | None = None
    changes: tuple[Change, ...] = ()
    leftovers: tuple[Disk, ...] = ()
    halt_for: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def is_outdated(vm: Vm, origins: t.Collection[Origin]) -> bool:
    """Whether the system disk is of another template than the one named. What nothing is known of is not."""
    root = vm.disk(marks.ROOT_DISK)
    known = root.origin if root else None
    return known is not None and bool(origins) and known.id not in {origin.id for origin in origins}


def plan_system(spec: VmSpec, observed: Observed) -> SystemPlan:
    """What makes the system disk one of the template that is named. Raises ``OptionError`` where that was not asked for or cannot be."""
    vm = observed.vm
    if vm is None or vm.making:
        return SystemPlan(vm)
    root = vm.disk(marks.ROOT_DISK)
    loose = [disk for disk in observed.loose_disks if disk.name == marks.ROOT_DISK and not disk.keep]
    loose = [disk for disk in loose if disk.of_vm == vm.uuid and not disk.copied]
    if root is not None and not is_outdated(vm, observed.origins):
        return SystemPlan(vm, leftovers=tuple(loose))
    ids = {origin.id for origin in observed.origins}
    found = next((disk for disk in loose if disk.origin and disk.origin.id in ids), None)
    if root is None and loose:
        return _taken_up(vm, found or loose[0], loose)
    if root is None or root.origin is None:
        return SystemPlan(vm)
    if not spec.allow_replace:
        return SystemPlan(vm, leftovers=tuple(loose), warnings=_left_alone(spec, root.origin, observed.origins))
    assert observed.template is not None
    return _replaced(spec, vm, root, observed.template, observed, loose)


def _taken_up(vm: Vm, held: Disk, loose: t.Sequence[Disk]) -> SystemPlan:
    """The system disk that a run detached or made, and did not come to attach."""
    after = replace(held, device=0, bootable=True)
    new = NewSystem(after, 0, held=held, drive_again=vm.drive.state == "removed")
    change = Change(
        "system",
        "attach",
        KIND,
        vm.name,
        None,
        _shown(after),
        reason="an interrupted run left it unattached",
        payload=new,
    )
    rest = tuple(disk for disk in loose if disk is not held)
    return SystemPlan(_with_root(vm, after, new), None, (change,), rest, _halt_for(vm, "it has no system disk"))


def _left_alone(spec: VmSpec, known: Origin, origins: t.Sequence[Origin]) -> tuple[str, ...]:
    if known.name in {origin.name for origin in origins}:
        return (
            f"the system disk of {spec.name!r} was made from another version of the template {known.name!r}; "
            "allow_replace: true has it made anew",
        )
    raise OptionError(
        "template",
        spec.template,
        f"the system disk of {spec.name!r} was made from {known.name!r}; set allow_replace: true to have it made anew, "
        f"with all that is on it lost, or give {known.name!r}",
    )


def _replaced(
    spec: VmSpec, vm: Vm, root: Disk, template: Template, observed: Observed, loose: t.Sequence[Disk]
) -> SystemPlan:
    if len(template.disks) != 1:
        expected = f"allow_replace takes the one disk of a template, and this one has {len(template.disks)}"
        raise OptionError("template", spec.template, expected)
    if vm.drive.state == "removed" and (spec.drive is None or not spec.drive.wanted):
        expected = "the new system disk of the VM needs it again, and it was taken away when the guest had taken it; give its user_data"
        raise OptionError("config_drive", None, expected)
    copied_to = observed.pool.storage_repository("sr", spec.sr) if spec.full_copy and spec.sr else None
    source = template.disks[0]
    if copied_to:
        refuse_full(observed.pool, {copied_to.ref: source.size})
    position = root.device or 0
    after = Disk(
        marks.ROOT_DISK,
        source.size,
        copied_to.name if copied_to else source.sr,
        description=source.description,
        device=position,
        bootable=True,
        ours=True,
        of_vm=vm.uuid,
        qos=root.qos,
        origin=template.origin,
    )
    copy_to = (copied_to.ref if copied_to else NULL_REF) if spec.full_copy else None
    again = vm.drive.state == "removed"
    new = NewSystem(after, position, template, None, root, copy_to, again)
    reason = f"the template {template.name!r} is another one than it was made from"
    if new.replaced_stays:
        reason += "; the old one stays, unattached"
    change = Change("system", "replace", KIND, vm.name, _shown(root), _shown(after), reason=reason, payload=new)
    boot = template.settings.boot
    return SystemPlan(
        _with_root(vm, after, new),
        replace(vm.settings.boot, firmware=boot.firmware, secure_boot=boot.secure_boot),
        (change,),
        tuple(loose),
        _halt_for(vm, f"its system disk is made anew from {template.name!r}"),
    )


def _with_root(vm: Vm, root: Disk, new: NewSystem) -> Vm:
    others = (disk for disk in vm.disks if disk.name != marks.ROOT_DISK)
    disks = sorted((root, *others), key=lambda disk: (disk.device is None, disk.device))
    return replace(vm, disks=tuple(disks), drive=Drive() if new.drive_again else vm.drive)


def _halt_for(vm: Vm, why: str) -> tuple[str, ...]:
    return () if vm.power_state == "halted" else (f"template: {why}",)


def _shown(disk: Disk) -> dict[str, t.Any]:
    origin = disk.origin
    return {
        "template": origin and origin.name,
        "template_id": origin and origin.id,
        "size": disk.size,
        "sr": disk.sr,
        "uuid": disk.uuid,
    }
