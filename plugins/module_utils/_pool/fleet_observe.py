# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Observing many VMs at once: three or four calls, however many VMs, disks, interfaces and snapshots there are."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import marks
from .bulk_reads import POOL_CLASSES, Records, field_is, records_where, snapshot_of
from .pool_facts import pool_from_records
from .session import NULL_REF, Session
from .snapshot_facts import Snapshot, snapshots_of
from .vm_facts import Vm
from .vm_filter import VmFilter
from .vm_observe import Metrics, VmReader

# Up to so many objects are named one by one in a call; above it, whole classes are read. XAPI takes 300 KiB a request.
NAMED_AT_MOST = 400
NOBODY = marks.Owner("", "")


@dataclass(frozen=True)
class FleetVm:
    """A VM with what is told of it among many. ``other_config`` is all of it, whoever wrote it."""

    vm: Vm
    snapshots: tuple[Snapshot, ...]
    other_config: t.Mapping[str, str]

    def facts(self) -> dict[str, t.Any]:
        return {
            **self.vm.facts(),
            "snapshots": [snapshot.facts() for snapshot in self.snapshots],
            "marks": {key: text for key, text in self.other_config.items() if key.startswith(marks.PREFIX)},
        }


def read_fleet(session: Session, wanted: VmFilter) -> tuple[FleetVm, ...]:
    """The VMs that a filter asks for, by name. Raises ``HardshellError``."""
    answer = records_where(session, "VM", wanted.pool_expression())
    records = {ref: record for ref, record in answer.items() if wanted.accepts(record)}
    if not records:
        return ()
    devices = _references(records)
    snapshot_refs = [ref for record in records.values() for ref in record["snapshots"]]
    if sum(map(len, devices.values())) + len(snapshot_refs) <= NAMED_AT_MOST:
        named = [f"{name}/{ref}" for name, refs in {**devices, "vm": snapshot_refs}.items() for ref in refs]
        seen = snapshot_of(session, *POOL_CLASSES, *named)
        disks = [vbd["VDI"] for vbd in seen.get("vbd", {}).values() if vbd["VDI"] != NULL_REF]
        vdis = records_where(session, "VDI", field_is("_ref", *disks)) if disks else {}
        snapshots = seen.get("vm", {})
    else:
        seen = snapshot_of(session, *POOL_CLASSES, *devices, "vdi")
        vdis = seen.get("vdi", {})
        snapshots = records_where(session, "VM", field_is("is_a_snapshot", "true")) if snapshot_refs else {}
    fleet = fleet_of(records, seen, vdis, snapshots)
    return tuple(sorted(fleet, key=lambda each: (each.vm.name, each.vm.uuid or "")))


def _references(records: Records) -> dict[str, list[str]]:
    """The devices and metrics of VMs, by class."""
    metrics = [record["guest_metrics"] for record in records.values() if record["guest_metrics"] != NULL_REF]
    return {
        "vbd": [ref for record in records.values() for ref in record["VBDs"]],
        "vif": [ref for record in records.values() for ref in record["VIFs"]],
        "vm_metrics": [record["metrics"] for record in records.values()],
        "vm_guest_metrics": metrics,
    }


def fleet_of(records: Records, seen: t.Mapping[str, Records], vdis: Records, snapshots: Records) -> t.Iterator[FleetVm]:
    """The VMs out of their records, in that order. ``seen`` are those of ``POOL_CLASSES`` and of the VMs' devices and metrics. Pure."""
    pool = pool_from_records(seen)
    own, guest = seen.get("vm_metrics", {}), seen.get("vm_guest_metrics", {})
    for ref, record in records.items():
        reader = VmReader(marks.owner_of_vm(record["other_config"], record["uuid"]) or NOBODY, pool, vdis)
        vbds = _picked(seen.get("vbd", {}), record["VBDs"])
        vifs = _picked(seen.get("vif", {}), record["VIFs"])
        metrics = Metrics(own.get(record["metrics"], {}), guest.get(record["guest_metrics"], {}))
        yield FleetVm(
            vm=reader.vm(ref, record, vbds, vifs, metrics, ()),
            snapshots=snapshots_of(_picked(snapshots, record["snapshots"])),
            other_config=record["other_config"],
        )


def _picked(records: Records, refs: t.Iterable[str]) -> Records:
    return {ref: records[ref] for ref in refs if ref in records}
