# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out the plan for one snapshot: the only code of the module ``vm_snapshot`` that writes.

A snapshot has a name of its own until it carries its mark, by which the next run knows it. What is removed loses its disks first, since they
are found through the snapshot alone.
"""

from __future__ import annotations

import typing as t

from .._plan import Change
from . import marks
from .bulk_reads import Records, field_is, records_where
from .power import PowerStep
from .session import NULL_REF, Record, Session
from .snapshot_plan import NewSnapshot, ObservedSnapshots, RemovedSnapshot, Revert, SnapshotSpec
from .tasks import Show, run_task
from .vdis import destroy_vdi, gone_already, marks_of_its_own

_OWNERSHIP = (marks.TENANT, marks.HOST, marks.VM)
_DISK_OWNERSHIP = (*_OWNERSHIP, marks.DISK, marks.KEEP)


class SnapshotPerformer:
    """Performs the changes of one plan, one at a time and in order."""

    def __init__(self, session: Session, spec: SnapshotSpec, observed: ObservedSnapshots, show: Show) -> None:
        self._session = session
        self._spec = spec
        self._vm = observed.ref
        self._show = show
        self._performers: dict[type, t.Callable[[t.Any], None]] = {
            NewSnapshot: self._take,
            RemovedSnapshot: self._remove,
            Revert: self._revert,
            PowerStep: self._take_power_step,
        }

    def __call__(self, change: Change) -> None:
        self._performers[type(change.payload)](change.payload)

    def _call(self, method: str, *arguments: t.Any, asked: str | None = None) -> t.Any:
        return self._session.call(method, *arguments, asked=asked)

    def _run(self, method: str, *arguments: t.Any, asked: str) -> str:
        return run_task(self._session, method, *arguments, asked=asked, show=self._show)

    def _take(self, new: NewSnapshot) -> None:
        name, snapshot = new.snapshot.name, new.snapshot
        if new.unfinished is not None:
            ref = new.unfinished.ref
        elif snapshot.memory:
            ref = self._run("VM.checkpoint", self._vm, self._spec.making_name, asked=f"take the checkpoint {name!r}")
        else:
            # Without its third parameter, ignore_vdis, which older pools do not know.
            ref = self._run("VM.snapshot", self._vm, self._spec.making_name, asked=f"take the snapshot {name!r}")
        self._call("VM.remove_from_other_config", ref, marks.SNAPSHOT)
        self._call("VM.add_to_other_config", ref, marks.SNAPSHOT, name)
        self._call("VM.set_name_description", ref, snapshot.description)
        self._call("VM.set_name_label", ref, name)

    def _remove(self, removed: RemovedSnapshot) -> None:
        ref = removed.snapshot.ref
        found = records_where(self._session, "VM", field_is("_ref", str(ref)))
        vbds = records_where(self._session, "VBD", field_is("VM", str(ref)))
        suspended = [record["suspend_VDI"] for record in found.values() if record["suspend_VDI"] != NULL_REF]
        refs = [vbd["VDI"] for vbd in vbds.values() if vbd["type"] == "Disk" and not vbd["empty"]]
        vdis = records_where(self._session, "VDI", field_is("_ref", *refs, *suspended)) if refs or suspended else {}
        for vdi, record in vdis.items():
            if set(record["VBDs"]) <= set(vbds):  # somebody may have given it to another VM, to look into it
                destroy_vdi(self._session, vdi, self._show)
        with gone_already():
            self._run("VM.destroy", ref, asked=f"remove the snapshot {removed.snapshot.name!r}")

    def _revert(self, revert: Revert) -> None:
        """XAPI brings the VM's ``other_config`` and new disks back as they were then; whose they are is a matter of now."""
        before: Record = self._call("VM.get_record", self._vm)
        disks = {vbd["userdevice"]: vdi for _vbd_ref, vbd, _ref, vdi in self._disks()}
        self._run("VM.revert", revert.snapshot.ref, asked=f"revert to {revert.snapshot.name!r}")
        record: Record = self._call("VM.get_record", self._vm)
        self._mark("VM", str(self._vm), before["other_config"], record["other_config"], _OWNERSHIP)
        for vbd_ref, vbd, ref, vdi in self._disks():
            was = disks.get(vbd["userdevice"], vdi)
            marked = vdi if marks.TENANT in vdi["other_config"] else was
            if marks.TENANT not in marked["other_config"]:
                continue
            if marked is was:
                self._mark("VDI", ref, was["other_config"], vdi["other_config"], _DISK_OWNERSHIP)
            own = {**marks.without_marks(vbd["other_config"]), **marks_of_its_own(self._session, ref)}
            self._call("VBD.set_other_config", vbd_ref, own, asked="put the marks right")

    def _disks(self) -> list[tuple[str, Record, str, Record]]:
        """The VM's disks: the reference and the record of each VBD, and of its VDI."""
        vbds = records_where(self._session, "VBD", field_is("VM", str(self._vm)))
        held = {ref: vbd for ref, vbd in vbds.items() if vbd["type"] == "Disk" and not vbd["empty"]}
        refs = [vbd["VDI"] for vbd in held.values()]
        vdis: Records = records_where(self._session, "VDI", field_is("_ref", *refs)) if refs else {}
        return [(ref, vbd, vbd["VDI"], vdis[vbd["VDI"]]) for ref, vbd in held.items() if vbd["VDI"] in vdis]

    def _mark(
        self, class_name: str, ref: str, wanted: t.Mapping[str, str], there: t.Mapping[str, str], keys: t.Iterable[str]
    ) -> None:
        for key in keys:
            if key in wanted and wanted[key] != there.get(key):
                self._call(f"{class_name}.remove_from_other_config", ref, key)
                self._call(f"{class_name}.add_to_other_config", ref, key, wanted[key], asked="put the marks right")

    def _take_power_step(self, step: PowerStep) -> None:
        self._run(f"VM.{step.message}", self._vm, *step.arguments, asked=f"{step.action} {self._spec.vm.name!r}")
