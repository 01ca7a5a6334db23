# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out changes of disks and of the CD drive.

A VDI carries its marks from the moment it is made, or before it is attached; it is destroyed before its VBD is, so that a run that is
cut off finds it.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from . import marks
from .bulk_reads import Records, field_is, records_where
from .disk_spec import NO_QOS
from .disks import ChangedDisk, NewDisk, RemovedDisk
from .iso_plan import ChangedCd
from .session import NULL_REF, Session
from .tasks import Show, run_task
from .vdis import attach_vdi, create_vdi, destroy_vdi, gone_already, marks_of_its_own, position_of
from .vm_facts import Disk, Origin, Vm, vdi_name


class Target(t.NamedTuple):
    """The VM that is worked on, and whether it runs at that moment."""

    ref: str
    uuid: str
    running: bool


class DiskPerformer:
    """Makes, attaches, changes and removes the disks of one VM."""

    def __init__(self, session: Session, owner: marks.Owner, vm_name: str, show: Show) -> None:
        self._session = session
        self._owner = owner
        self._vm_name = vm_name
        self._show = show
        self._cloned: dict[str, str] = {}

    # --- marks

    def claim_clones(self, target: Target, after: Vm, origin: Origin | None) -> None:
        """Mark and name the disks that came with a clone of ``origin``. The plan knows them by position only.

        A config drive among them was made for the VM that was cloned, and holds its secrets.
        """
        names = {disk.device: disk.name for disk in after.disks}
        disks = {ref: vbd for ref, vbd in self._vbds(target).items() if vbd["type"] == "Disk" and not vbd["empty"]}
        vdis = records_where(self._session, "VDI", field_is("_ref", *(vbd["VDI"] for vbd in disks.values())))
        for ref, vbd in disks.items():
            present = marks.remembered(vdis[vbd["VDI"]]["other_config"], vbd["other_config"], None)
            if marks.CONFIG_DRIVE in present and present.get(marks.VM) != target.uuid:
                self.destroy(vbd["VDI"])  # its VBD goes with it; on its own nobody would know it again
                continue
            name = names.get(position_of(vbd["userdevice"])) or f"disk{vbd['userdevice']}"
            self.claim(target, vbd["VDI"], name, origin=origin if name == marks.ROOT_DISK else None)
            self._remember(ref, vbd["VDI"])
            self._call("VDI.set_name_label", vbd["VDI"], vdi_name(self._vm_name, name))
            self._cloned[name] = vbd["VDI"]

    def claim_system(self, target: Target, vdi: str, origin: Origin | None) -> None:
        """Make the disk of a clone a system disk of the VM, of which it is known what it is a clone of."""
        self.claim(target, vdi, marks.ROOT_DISK, origin=origin)
        self._call("VDI.set_name_label", vdi, vdi_name(self._vm_name, marks.ROOT_DISK))

    def attach_system(self, target: Target, vdi: str, position: int, disk: Disk) -> None:
        """Give the VM, which is halted, its system disk."""
        asked = "attach the system disk"
        attach_vdi(
            self._session,
            target.ref,
            vdi,
            position=position,
            bootable=True,
            asked=asked,
            other_config=marks_of_its_own(self._session, vdi),
            qos=_qos(disk),
        )
        self._cloned[marks.ROOT_DISK] = vdi

    def claim(
        self,
        target: Target,
        vdi: str,
        name: str,
        *,
        keep: bool = False,
        origin: Origin | None = None,
        checksum: str | None = None,
    ) -> None:
        """Put our marks on a VDI in the place of any that it has. What it is a clone of stays known, unless ``origin`` says it."""
        record = self._call("VDI.get_record", vdi)
        present = record["other_config"]
        known = {key: present[key] for key in (marks.ORIGIN, marks.ORIGIN_NAME) if key in present}
        own = {
            **marks.without_marks(present),
            **(origin.marks() if origin else known),
            **self.marks(target, name),
            marks.VDI: record["uuid"],
            **({marks.KEEP: "true"} if keep else {}),
            **({marks.CONFIG_DRIVE: checksum} if checksum else {}),
        }
        self._call("VDI.set_other_config", vdi, own, asked=f"mark the disk {name!r}")

    def claim_attached(self, target: Target, disk: Disk) -> None:
        """Put our marks on the VDI of a disk that the VM has, and on its VBD. Of one that was not ours only what it is a clone of stays known."""
        vdi, keep, checksum = self._vdi(disk), disk.ours and disk.keep, disk.checksum if disk.ours else None
        self.claim(target, vdi, disk.name or f"disk{disk.device}", keep=keep, origin=disk.origin, checksum=checksum)
        for vbd in self._vbds_of(target, disk, vdi):
            self._remember(vbd, vdi)

    def _remember(self, vbd: str, vdi: str) -> None:
        """Have the VBD carry the marks of its VDI."""
        present = self._call("VBD.get_other_config", vbd)
        own = {**marks.without_marks(present), **marks_of_its_own(self._session, vdi)}
        self._call("VBD.set_other_config", vbd, own, asked="mark the connection of a disk")

    def marks(self, target: Target, name: str) -> dict[str, str]:
        return {**self._owner.marks(), marks.VM: target.uuid, marks.DISK: name}

    # --- disks

    def add(self, target: Target, new: NewDisk) -> None:
        after, name = new.after, str(new.after.name)
        held = new.held.vdi if new.held else None
        if held is None:
            assert new.repository is not None
            kept = {marks.KEEP: "true"} if after.keep else {}
            own = {**self.marks(target, name), **kept}
            vdi = self.create(name, new.repository.ref, after.size, after.description, own)
        else:
            vdi = held
            if new.size is not None:
                self._run("VDI.resize", vdi, new.size, asked=f"grow the disk {name!r}")
            if after.ours:
                self.claim(target, vdi, name, keep=after.keep)
            if new.held is not None and new.held.description != after.description:
                self._call("VDI.set_name_description", vdi, after.description)
        self.attach(target, vdi, new.position, after)

    def create(self, name: str, repository: str, size: int, description: str, other_config: dict[str, str]) -> str:
        """Make a VDI with its marks. Returns its reference."""
        return create_vdi(
            self._session,
            name=vdi_name(self._vm_name, name),
            description=description,
            repository=repository,
            size=size,
            other_config=other_config,
            asked=f"create the disk {name!r}",
            show=self._show,
        )

    def attach(self, target: Target, vdi: str, position: int, disk: Disk) -> None:
        """Give a VDI to the VM. One that is not ours is known by the name on its VBD."""
        vbd = attach_vdi(
            self._session,
            target.ref,
            vdi,
            position=position,
            bootable=False,
            asked=f"attach the disk {disk.name!r}",
            other_config=marks_of_its_own(self._session, vdi) if disk.ours else {marks.DISK: str(disk.name)},
            qos=_qos(disk),
        )
        if target.running:
            self._run("VBD.plug", vbd, asked=f"plug the disk {disk.name!r}")

    def change(self, target: Target, changed: ChangedDisk) -> None:
        before, after = changed.before, changed.after
        name = before.name or ""
        vdi = self._vdi(before)
        if changed.move_to is not None:
            asked = f"move the disk {name!r} to {changed.move_to.name!r}"
            vdi = self._run("VDI.pool_migrate", vdi, changed.move_to.ref, {}, asked=asked)
            self.claim_attached(target, replace(before, vdi=vdi))
        if before.size != after.size:
            self._run("VDI.resize", vdi, after.size, asked=f"grow the disk {name!r}")
        if before.description != after.description:
            self._call("VDI.set_name_description", vdi, after.description)
        if before.keep != after.keep:
            self._keep("VDI", vdi, after.keep)
            for vbd in self._vbds_of(target, before, vdi):
                self._keep("VBD", vbd, after.keep)
        if before.qos != after.qos:
            kind, parameters = _qos(after)
            for vbd in self._vbds_of(target, before, vdi):
                self._call("VBD.set_qos_algorithm_params", vbd, parameters)
                self._call("VBD.set_qos_algorithm_type", vbd, kind)
        if changed.plug and target.running:
            self._run("VBD.plug", before.vbd, asked=f"plug the disk {name!r}")

    def remove(self, target: Target, removed: RemovedDisk) -> None:
        disk = removed.disk
        vdi = self._vdi(disk)
        vbds = self._vbds_of(target, disk, vdi)
        if target.running and disk.plugged:
            for vbd in vbds:
                self._run("VBD.unplug", vbd, asked=f"unplug the disk {disk.name or disk.uuid!r}")
        if removed.keep:
            self._keep("VDI", vdi, True)
        if not removed.stays:
            self.destroy(vdi)
        for vbd in vbds:
            with gone_already():
                self._call("VBD.destroy", vbd, asked=f"detach the disk {disk.name or disk.uuid!r}")

    def destroy(self, vdi: str | None) -> None:
        if vdi:
            destroy_vdi(self._session, vdi, self._show)

    # --- the CD drive

    def change_cd(self, target: Target, changed: ChangedCd) -> None:
        iso = changed.after.iso
        vdi = iso.disk.vdi if iso else NULL_REF
        if changed.before is None:
            asked = f"add a CD drive with {iso.name if iso else 'nothing'!r}"
            attach_vdi(
                self._session,
                target.ref,
                str(vdi),
                position=changed.after.device or 0,
                bootable=False,
                asked=asked,
                cd=True,
            )
            return
        drives = (
            [changed.before.vbd]
            if changed.before.vbd
            else [ref for ref, vbd in self._vbds(target).items() if vbd["type"] == "CD"]
        )
        for drive in drives[:1]:
            if not self._call("VBD.get_empty", drive):
                self._run("VBD.eject", drive, asked="eject the ISO")
            if iso is not None:
                self._run("VBD.insert", drive, vdi, asked=f"insert the ISO {iso.name!r}")

    # --- calls

    def _vdi(self, disk: Disk) -> str:
        return disk.vdi or self._cloned[disk.name or ""]

    def _vbds(self, target: Target) -> Records:
        return records_where(self._session, "VBD", field_is("VM", target.ref))

    def _vbds_of(self, target: Target, disk: Disk, vdi: str) -> list[str]:
        if disk.vbd:
            return [disk.vbd]
        return [ref for ref, vbd in self._vbds(target).items() if vbd["VDI"] == vdi]

    def _keep(self, class_name: str, ref: str, keep: bool) -> None:
        self._call(f"{class_name}.remove_from_other_config", ref, marks.KEEP)
        if keep:
            self._call(f"{class_name}.add_to_other_config", ref, marks.KEEP, "true")

    def _call(self, method: str, *arguments: t.Any, asked: str | None = None) -> t.Any:
        return self._session.call(method, *arguments, asked=asked)

    def _run(self, method: str, *arguments: t.Any, asked: str) -> str:
        return run_task(self._session, method, *arguments, asked=asked, show=self._show)


def _qos(disk: Disk) -> tuple[str, dict[str, str]]:
    """XAPI's ``qos_algorithm_type`` and ``qos_algorithm_params``."""
    return ("", {}) if disk.qos == NO_QOS else ("ionice", disk.qos.facts())
