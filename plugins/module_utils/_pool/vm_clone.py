# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Clones of a template that are not whole yet: known by their name until they carry marks, or until their disk was taken out of them."""

from __future__ import annotations

from . import marks
from .bulk_reads import field_is, records_where
from .disk_apply import DiskPerformer, Target
from .session import Session
from .system_disk import NewSystem
from .tasks import Show, run_task
from .vdis import gone_already, position_of
from .vm_facts import Origin, Template
from .vm_spec import VmSpec


def in_the_making(origin: Origin | None) -> str:
    """The value of the mark of a VM that is not whole: what it is a clone of, for the run that finishes it."""
    return f"{origin.id} {origin.name}" if origin else "true"


def origin_in_the_making(other_config: marks.OtherConfig) -> Origin | None:
    """What such a mark tells; None for a clone of a VM, whose disks know it themselves."""
    known, space, name = other_config.get(marks.MAKING, "").partition(" ")
    return Origin(known, name) if space else None


class CloneMaker:
    """Makes clones for one VM, and takes system disks out of them."""

    def __init__(self, session: Session, spec: VmSpec, disks: DiskPerformer, show: Show) -> None:
        self._session = session
        self._disks = disks
        self._show = show
        self.name = marks.making_name(spec.name, spec.owner)

    def clone(self, template: Template, copy_to: str | None) -> str:
        """A clone, or a full copy on that SR, under the name by which an interrupted run's is found. Returns its reference."""
        if copy_to is None:
            return self._run("VM.clone", template.ref, self.name, asked=f"clone {template.name!r}")
        return self._run("VM.copy", template.ref, self.name, copy_to, asked=f"copy {template.name!r}")

    def destroy(self, ref: str) -> None:
        """Destroy a clone with its disks."""
        for vbd in records_where(self._session, "VBD", field_is("VM", ref)).values():
            if vbd["type"] == "Disk" and not vbd["empty"]:
                self._disks.destroy(vbd["VDI"])
        self._session.call("VM.destroy", ref)

    def replace_system(self, target: Target, new: NewSystem) -> None:
        """Give the VM its new system disk. The old one goes last: until then the next run finds both, and knows them apart."""
        if new.drive_again:
            self._session.call("VM.remove_from_other_config", target.ref, marks.CONFIG_DRIVE)
        vdi = str(new.held.vdi) if new.held else self._system_of_clone(target, new)
        old = new.replaced
        if old is not None:
            with gone_already():
                self._session.call("VBD.destroy", old.vbd, asked="detach the old system disk")
        self._disks.attach_system(target, vdi, new.position, new.after)
        if old is not None and not new.replaced_stays:
            self._disks.destroy(old.vdi)

    def _system_of_clone(self, target: Target, new: NewSystem) -> str:
        assert new.template is not None
        clone = self.clone(new.template, new.copy_to)
        disks = {
            ref: vbd["VDI"]
            for ref, vbd in records_where(self._session, "VBD", field_is("VM", clone)).items()
            if vbd["type"] == "Disk" and position_of(vbd["userdevice"]) == new.template.disks[0].device
        }
        ((vbd, vdi),) = disks.items()
        self._disks.claim_system(target, vdi, new.template.origin)
        self._session.call("VBD.destroy", vbd, asked="take the system disk out of the clone")
        self.destroy(clone)
        return vdi

    def _run(self, method: str, *arguments: str, asked: str) -> str:
        return run_task(self._session, method, *arguments, asked=asked, show=self._show)
