# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The plan for one VM: what turns what is observed into what is asked for, and what the VM will be then. Pure."""

from __future__ import annotations

from dataclasses import replace

from .._errors import HardshellError, OptionError
from .._plan import Change
from . import marks
from .disk_marks import plan_disk_marks
from .disks import plan_disks, refuse_full
from .drive_plan import plan_drive
from .iso_plan import plan_iso
from .nics import plan_nics
from .pool_facts import Pool
from .power import START, SUSPEND, noted, power_changes, power_steps, refuse_blocked, restart_steps
from .record_calls import vm_call
from .session import NULL_REF
from .system_disk import SystemPlan, plan_system
from .vm_adoption import Adoption, plan_adoption
from .vm_availability import pool_power_on_calls
from .vm_changes import ChangedPool, ChangedVm, NewVm, Outcome, loose_deleted, own_shown, remains_deleted, rendered
from .vm_facts import Disk, Drive, Nic, Observed, Template, Vm
from .vm_removal import plan_absent
from .vm_residence import Residence, plan_residence, refuse_too_many_vcpus
from .vm_settings import settings_after, settings_calls, settings_halt_for, settings_in, settings_of_clone
from .vm_spec import VmSpec


def plan_vm(spec: VmSpec, observed: Observed) -> Outcome:
    """The plan for one VM. Raises ``HardshellError`` for what cannot be done, so before anything is changed."""
    if spec.state == "absent":
        return plan_absent(spec, observed)
    seen, lost = observed.vm, plan_disk_marks(observed.vm)
    adoption = plan_adoption(spec, lost.vm) if lost.vm is not None and observed.adopting else Adoption(lost.vm, ())
    observed = replace(observed, vm=adoption.vm)
    system = plan_system(spec, observed)
    before, after = _own(spec, observed, system)
    vm = system.vm if system.vm is not None and not system.vm.making else after
    disks = plan_disks(spec, vm, observed)
    cd = plan_iso(spec, vm, disks.disks, observed)
    nics = plan_nics(spec, vm, observed.pool)
    halt_for = [
        *settings_halt_for(vm.settings, after.settings, vm.power_state),
        *system.halt_for,
        *disks.halt_for,
        *cd.halt_for,
        *nics.halt_for,
    ]
    halts_anyway = spec.state == "halted" or (spec.state == "restarted" and bool(halt_for))
    drive = plan_drive(spec, vm, disks.disks, nics.nics, observed.pool, will_halt=halts_anyway or bool(halt_for))
    halt_for += drive.halt_for
    must_halt = vm.power_state != "halted" and bool(halt_for)
    if must_halt and not (spec.allow_power_cycle or spec.state in ("halted", "restarted")):
        raise HardshellError(
            f"{spec.name!r} is {vm.power_state}, and this needs it halted: " + "; ".join(halt_for) + ". "
            "Set allow_power_cycle: true to have it shut down and started again for that, or ask for state: halted first"
        )
    down = power_steps(vm.power_state, "halted") if must_halt or spec.state == "halted" else ()
    middle = "halted" if down else vm.power_state
    as_it_was = vm.returns_to if vm.returns_to and vm.power_state == "halted" else vm.power_state
    final = {"present": as_it_was, "restarted": "running"}.get(spec.state, spec.state)
    up = power_steps(middle, final)
    if spec.state == "restarted":
        up = (START,) if down else restart_steps(middle)
    residence = plan_residence(spec, replace(vm, cd=cd.cd), observed.pool, up, final=final, halts=bool(down))
    refuse_too_many_vcpus(after.settings.cpu, after.settings.keys.platform, observed.pool, residence)
    down, up = noted(down, residence.up, final, noted_already=vm.returns_to is not None)
    refuse_blocked(spec.name, vm.settings.keys.blocked, down)
    refuse_blocked(spec.name, after.settings.keys.blocked, up)
    if after.settings.boot.vtpm and SUSPEND in up:
        raise OptionError("state", spec.state, f"{spec.name!r} has a virtual TPM, and XAPI suspends no VM with one")
    first = _own_change(
        spec, observed, before, after, adoption.claimed, running=vm.power_state == "running" and not down
    )
    changes = [
        *_leftovers(observed),
        *lost.changes,
        *([first] if first and isinstance(first.payload, NewVm) else []),
        *power_changes(spec.name, vm.power_state, down),
        *([first] if first and not isinstance(first.payload, NewVm) else []),
        *_pool_changes(spec, observed),
        *system.changes,
        *map(loose_deleted, system.leftovers),
        *disks.changes,
        *cd.changes,
        *nics.changes,
        *drive.changes,
        *residence.before,
        *power_changes(spec.name, middle, up, len(down)),
        *residence.after,
        *([] if down or up else _cycle_ended(vm)),
    ]
    stopped = bool(down) or final != "running"
    host, host_ref = _host_then(vm, residence, final)
    started = bool(down) or vm.power_state != "running"
    after = replace(
        after,
        disks=_plugged(disks.disks, final, started=started),
        cd=cd.cd,
        nics=_nics_then(nics.nics, final, stopped=stopped, started=started),
        drive=drive.drive,
        ssh_host_key=drive.ssh_host_key,
        power_state=final,
        returns_to=None,
        host=host,
        host_ref=host_ref,
        settings=settings_in(
            after.settings, started=bool(down) or vm.power_state != "running", running=final == "running"
        ),
    )
    return Outcome(
        rendered(changes, seen, after, with_host=residence.host is not None),
        after,
        system.warnings + disks.warnings + drive.warnings,
    )


def _host_then(vm: Vm, residence: Residence, final: str) -> tuple[str | None, str | None]:
    """The name and the reference of the host that the VM is on afterwards. Where a VM is started only the pool decides, unless it was asked for."""
    if residence.host is not None:
        return residence.host.name, residence.host.ref
    return (vm.host, vm.host_ref) if final in ("running", "paused") else (None, None)


def _nics_then(nics: tuple[Nic, ...], final: str, *, stopped: bool, started: bool) -> tuple[Nic, ...]:
    """The interfaces in the final power state: a guest that starts has all of them plugged, and must find its addresses again."""
    if stopped:
        nics = tuple(replace(nic, addresses=()) for nic in nics)
    return tuple(replace(nic, plugged=True) for nic in nics) if final == "running" and started else nics


def _plugged(disks: tuple[Disk, ...], final: str, *, started: bool) -> tuple[Disk, ...]:
    return tuple(replace(disk, plugged=True) for disk in disks) if final == "running" and started else disks


def _own(spec: VmSpec, observed: Observed, system: SystemPlan) -> tuple[Vm | None, Vm]:
    """The VM as it is, None for one that is to be made, and as it is to be but for its other devices and its power state."""
    vm = observed.vm
    if vm is None:
        if observed.template is None:
            raise OptionError(
                "template",
                spec.template,
                f"the VM {spec.name!r} is not there yet, and needs a template or a source to be made from",
            )
        return None, _own_after(spec, _from_template(spec, observed.template, observed.pool), observed.pool)
    assert system.vm is not None
    boot = system.boot or vm.settings.boot
    base = replace(system.vm, settings=replace(vm.settings, boot=boot))
    after = _own_after(spec, base, observed.pool)
    if vm.making:
        nics = vm.nics if spec.networks is None else ()
        # Those that came with the clone are marked when it is finished.
        disks = tuple(replace(disk, marked=True) for disk in vm.disks if not disk.is_drive_for_another(vm.uuid))
        drive = Drive() if vm.drive.disk and vm.drive.disk.is_drive_for_another(vm.uuid) else vm.drive
        after = replace(after, making=False, is_template=False, nics=nics, disks=disks, drive=drive)
    return vm, after


def _own_change(
    spec: VmSpec, observed: Observed, before: Vm | None, after: Vm, claimed: tuple[Disk, ...], *, running: bool
) -> Change | None:
    """The change of the VM itself, which is to be made where ``before`` is None or unfinished. ``running``: it runs meanwhile."""
    if before is None or before.making:
        return _creation(spec, observed.pool, observed.template, before, after)
    before_shown, after_shown = own_shown(before), own_shown(after)
    changed = [key for key in after_shown if before_shown[key] != after_shown[key]]
    calls = settings_calls(before.settings, after.settings, running=running)
    if not changed and not calls and not observed.adopting:
        return None
    return Change(
        "vm",
        "adopt" if observed.adopting else "update",
        "vm",
        spec.name,
        {key: before_shown[key] for key in changed} or {"owner": before.owner and str(before.owner)},
        {key: after_shown[key] for key in changed} or {"owner": str(spec.owner)},
        payload=ChangedVm(before, after, observed.adopting, calls, claimed),
    )


def _pool_changes(spec: VmSpec, observed: Observed) -> list[Change]:
    """A VM that is to be started at power-on needs the pool to start any."""
    pool = observed.pool
    if not spec.settings.availability.auto_power_on or pool.auto_power_on:
        return []
    was, will = {"auto_power_on": False}, {"auto_power_on": True}
    return [Change("pool", "update", "pool", pool.name, was, will, payload=ChangedPool(pool_power_on_calls(pool.ref)))]


def _cycle_ended(vm: Vm) -> list[Change]:
    """What takes the note of an interrupted run off a VM that is in its last power state already."""
    if vm.returns_to is None:
        return []
    call = vm_call("remove_from_other_config", marks.POWER_CYCLE, asked="note that the VM is back")
    was, will = {"power_cycle": vm.returns_to}, {"power_cycle": None}
    reason = "an interrupted run left it marked for a start"
    return [
        Change("cycle", "update", "vm", vm.name, was, will, reason=reason, payload=ChangedVm(vm, vm, False, (call,)))
    ]


def _from_template(spec: VmSpec, template: Template, pool: Pool) -> Vm:
    """The VM right after it was cloned, its disks marked and named. Raises ``OptionError`` where a full copy does not fit."""
    copied_to = pool.storage_repository("sr", spec.sr) if spec.full_copy and spec.sr else None
    if copied_to:
        refuse_full(pool, {copied_to.ref: sum(disk.size for disk in template.disks)})
    disks = tuple(
        replace(
            disk,
            name=disk.name or f"disk{disk.device}",
            vdi=None,
            vbd=None,
            uuid=None,
            ours=True,
            shared=False,
            keep=False,
            of_vm=None,
            origin=template.origin if template.origin and disk.name == marks.ROOT_DISK else disk.origin,
            sr=copied_to.name if copied_to else disk.sr,
        )
        for disk in template.disks
    )
    nics = (
        () if spec.networks is not None else tuple(replace(nic, vif=None, uuid=None, mac=None) for nic in template.nics)
    )
    return Vm(
        spec.name,
        spec.owner,
        settings=settings_of_clone(template.settings),
        disks=disks,
        nics=nics,
        cd=template.cd and replace(template.cd, vbd=None),
        occupied=template.occupied,
    )


def _own_after(spec: VmSpec, vm: Vm, pool: Pool) -> Vm:
    return replace(
        vm,
        name=spec.name,
        owner=spec.owner,
        description=vm.description if spec.description is None else spec.description,
        settings=settings_after(spec.settings, spec.owner.tenant, vm.settings, pool),
        tags=marks.tags_of(spec.owner.tenant, spec.tags, vm.tags),
    )


def _creation(spec: VmSpec, pool: Pool, template: Template | None, unfinished: Vm | None, after: Vm) -> Change:
    shown = own_shown(after)
    reason = "an interrupted run left it unfinished" if unfinished else ""
    if unfinished is None and template is not None:
        given = template.settings.facts()
        always = ("vcpus", "memory")
        shown = {key: value for key, value in shown.items() if key in always or key not in given or given[key] != value}
        shown["source" if spec.source else "template"] = template.name
    copy_to = None
    if spec.full_copy:
        copy_to = pool.storage_repository("sr", spec.sr).ref if spec.sr else NULL_REF
    new = NewVm(None if unfinished else template, unfinished, after, copy_to)
    return Change("vm", "create", "vm", spec.name, None, shown, reason=reason, payload=new)


def _leftovers(observed: Observed) -> list[Change]:
    """What interrupted runs left and nothing in this plan takes up."""
    changes = [remains_deleted(each, "an interrupted run left this clone") for each in observed.half_made]
    uuid = observed.vm.uuid if observed.vm else None
    for disk in observed.loose_disks:
        if disk.name == marks.CONFIG_DRIVE_DISK and not disk.copied and (disk.of_vm == uuid or uuid is None):
            changes.append(loose_deleted(disk))
    return changes
