# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out the plan for one VM: the only code of the module ``vm`` that writes.

Each change can be cut off between any two calls: what is made carries its marks from the first moment, or a name by which the next run
knows it, and what is removed stays to be found until all that belongs to it is gone.
"""

from __future__ import annotations

import typing as t

from .._plan import Change
from . import marks
from .bulk_reads import field_is, records_where
from .config_drive import config_drive_image
from .disk_apply import DiskPerformer, Target
from .disk_marks import MarkedDisk
from .disks import ChangedDisk, NewDisk, RemovedDisk
from .drive_plan import NewDrive, RemovedDrive
from .iso_plan import ChangedCd
from .nic_apply import NicPerformer
from .nics import ChangedNic, NewNic
from .power import PowerStep
from .power_apply import PowerPerformer
from .record_calls import Call
from .session import Record, Session
from .sizes import rounded_to_vdi
from .ssh_host_key import new_ssh_host_key
from .system_disk import NewSystem
from .tasks import Show, run_task
from .upload import upload
from .vdis import attach_vdi, gone_already, marks_of_its_own
from .vm_changes import ChangedPool, ChangedVm, NewVm, RemovedVm
from .vm_clone import CloneMaker, in_the_making, origin_in_the_making
from .vm_facts import Disk, Nic, Observed, Remains, Template, Vm
from .vm_keys import keys_of_clone
from .vm_residence import Migration
from .vm_settings import settings_calls, settings_of
from .vm_spec import VmSpec

UPLOAD_SECONDS = 600


class VmPerformer:
    """Performs the changes of one VM's plan, one at a time and in order."""

    def __init__(self, session: Session, spec: VmSpec, observed: Observed, show: Show) -> None:
        self._session = session
        self._spec = spec
        self._show = show
        self._pool = observed.pool
        self._disks = DiskPerformer(session, spec.owner, spec.name, show)
        self._clones = CloneMaker(session, spec, self._disks, show)
        self._nics = NicPerformer(session, show)
        self._power = PowerPerformer(session, spec.name, show, timeout=float(spec.shutdown_timeout), force=spec.force)
        self._use(observed.vm)
        self._performers: dict[type, t.Callable[[t.Any], None]] = {
            NewVm: self._make_vm,
            ChangedVm: self._change_vm,
            ChangedPool: self._change_pool,
            RemovedVm: self._remove_vm,
            Remains: self._remove_remains,
            PowerStep: self._take_power_step,
            Migration: self._migrate,
            MarkedDisk: lambda marked: self._disks.claim_attached(self._target, marked.disk),
            NewSystem: lambda new: self._clones.replace_system(self._target, new),
            NewDisk: lambda new: self._disks.add(self._target, new),
            ChangedDisk: lambda changed: self._disks.change(self._target, changed),
            RemovedDisk: lambda removed: self._disks.remove(self._target, removed),
            Disk: lambda disk: self._disks.destroy(disk.vdi),
            ChangedCd: lambda changed: self._disks.change_cd(self._target, changed),
            NewNic: lambda new: self._nics.add(self._ref, new, running=self._running),
            ChangedNic: lambda changed: self._nics.change(changed, running=self._running),
            Nic: lambda nic: self._nics.remove(nic, running=self._running),
            NewDrive: self._add_drive,
            RemovedDrive: self._remove_drive,
        }

    def __call__(self, change: Change) -> None:
        self._performers[type(change.payload)](change.payload)

    def _use(self, vm: Vm | None) -> None:
        self._ref = vm.ref if vm and vm.ref else ""
        self._uuid = vm.uuid if vm and vm.uuid else ""
        self._running = vm is not None and vm.power_state == "running"

    @property
    def _target(self) -> Target:
        return Target(self._ref, self._uuid, self._running)

    def _call(self, method: str, *arguments: t.Any, asked: str | None = None) -> t.Any:
        return self._session.call(method, *arguments, asked=asked)

    def _run(self, method: str, *arguments: t.Any, asked: str, timeout: float | None = None) -> str:
        return run_task(self._session, method, *arguments, asked=asked, show=self._show, timeout=timeout)

    # --- the VM itself

    def _make_vm(self, new: NewVm) -> None:
        spec = self._spec
        if new.unfinished is None:
            assert new.template is not None
            self._ref = self._clone(new.template, new.copy_to)
        record: Record = self._call("VM.get_record", self._ref)
        origin = origin_in_the_making(record["other_config"])
        self._call("VM.set_tags", self._ref, list(new.after.tags))
        self._call("VM.set_name_label", self._ref, spec.name)
        self._call("VM.set_name_description", self._ref, new.after.description)
        self._disks.claim_clones(self._target, new.after, origin)
        if spec.networks is not None:
            for vif in record["VIFs"]:
                self._call("VIF.destroy", vif, asked="remove an interface of the template")
        if record["is_a_template"]:
            self._run("VM.provision", self._ref, asked=f"provision {spec.name!r}")
        present = settings_of(record, {}, {}, self._pool)
        self._send(settings_calls(present, new.after.settings, running=False))
        self._call("VM.remove_from_other_config", self._ref, marks.MAKING)

    def _clone(self, template: Template, copy_to: str | None) -> str:
        """A clone that carries our marks. Until it does it is known by its name."""
        ref = self._clones.clone(template, copy_to)
        record: Record = self._call("VM.get_record", ref)
        self._uuid = record["uuid"]
        other_config = keys_of_clone(record["other_config"])
        own = {**self._spec.owner.marks(), marks.VM: self._uuid, marks.MAKING: in_the_making(template.origin)}
        self._call("VM.set_other_config", ref, {**other_config, **own}, asked="mark the clone")
        # A clone that an interrupted run began may have come to be meanwhile.
        for other in records_where(self._session, "VM", field_is("name__label", self._clones.name)):
            if other != ref:
                self._clones.destroy(other)
        return ref

    def _change_vm(self, changed: ChangedVm) -> None:
        before, after = changed.before, changed.after
        if changed.adopted:
            for disk in changed.claimed:
                self._disks.claim_attached(self._target, disk)
            for key, value in {**self._spec.owner.marks(), marks.VM: self._uuid}.items():
                self._set_other_config(key, value)
        if before.tags != after.tags:
            self._call("VM.set_tags", self._ref, list(after.tags))
        if before.name != after.name:
            self._call("VM.set_name_label", self._ref, after.name)
        if before.description != after.description:
            self._call("VM.set_name_description", self._ref, after.description)
        self._send(changed.calls)

    def _set_other_config(self, key: str, value: str) -> None:
        self._call("VM.remove_from_other_config", self._ref, key)
        self._call("VM.add_to_other_config", self._ref, key, value)

    def _send(self, calls: t.Iterable[Call]) -> None:
        for call in calls:
            self._call(call.method, *call.on(self._ref), asked=call.asked)

    def _change_pool(self, changed: ChangedPool) -> None:
        self._send(changed.calls)

    def _remove_vm(self, removed: RemovedVm) -> None:
        for disk in removed.vm.all_disks:
            unknown = removed.vm.making if not disk.ours else not disk.marked
            if unknown and not disk.shared and disk.vdi:
                self._disks.claim_attached(self._target, disk)
        self._run("VM.destroy", self._ref, asked=f"destroy {removed.vm.name!r}")

    def _remove_remains(self, remains: Remains) -> None:
        """The disks first: they carry no marks of their own, and are found through the VM record alone."""
        for disk in remains.disks:
            if disk.vdi and not disk.shared:
                self._disks.destroy(disk.vdi)
        with gone_already():
            self._call("VM.destroy", remains.ref, asked=f"destroy {remains.name!r}")

    # --- power

    def _migrate(self, migration: Migration) -> None:
        asked = f"migrate {self._spec.name!r} to {migration.host.name!r}"
        self._run("VM.pool_migrate", self._ref, migration.host.ref, {"live": "true"}, asked=asked)

    def _take_power_step(self, step: PowerStep) -> None:
        self._power.take(self._ref, step)
        self._running = step.leads_to == "running"

    # --- the config drive

    def _add_drive(self, new: NewDrive) -> None:
        """The drive is attached last: one that is attached is complete, and the marks on the VM fit it."""
        if new.replaced is not None:
            self._detach_and_destroy(new.replaced)
        vifs = records_where(self._session, "VIF", field_is("VM", self._ref)).values()
        macs = {vif["other_config"].get(marks.NIC, f"nic{vif['device']}"): vif["MAC"] for vif in vifs}
        key = new_ssh_host_key() if new.ssh_host_key else None
        image = config_drive_image(new.spec, vm_uuid=self._uuid, hostname=self._spec.owner.host, macs=macs, key=key)
        own = {**self._disks.marks(self._target, marks.CONFIG_DRIVE_DISK), marks.CONFIG_DRIVE: new.spec.sha256()}
        vdi = self._disks.create(marks.CONFIG_DRIVE_DISK, new.repository.ref, rounded_to_vdi(len(image)), "", own)
        upload(
            self._session,
            vdi,
            [image],
            len(image),
            image_format="raw",
            asked="write the config drive",
            show=self._show,
            timeout=UPLOAD_SECONDS,
        )
        if key is not None:
            self._set_other_config(marks.SSH_HOST_KEY, key.public)
        self._call("VM.remove_from_other_config", self._ref, marks.CONFIG_DRIVE)
        asked = "attach the config drive"
        own = marks_of_its_own(self._session, vdi)
        attach_vdi(self._session, self._ref, vdi, position=new.position, bootable=False, asked=asked, other_config=own)

    def _remove_drive(self, removed: RemovedDrive) -> None:
        """First note on the VM what it has taken: from then on the same content is no change, wherever this is cut off."""
        if removed.checksum:
            self._set_other_config(marks.CONFIG_DRIVE, removed.checksum)
        self._detach_and_destroy(removed.disk)

    def _detach_and_destroy(self, disk: Disk) -> None:
        if self._running and disk.plugged:
            self._run("VBD.unplug", disk.vbd, asked="unplug the config drive")
        with gone_already():
            self._call("VBD.destroy", disk.vbd, asked="detach the config drive")
        self._disks.destroy(disk.vdi)
