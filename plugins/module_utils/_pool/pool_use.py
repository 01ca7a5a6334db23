# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What the VMs of a pool take of it and what is left, in four calls (login included) however many VMs and disks there are. Sizes are bytes."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import marks
from .bulk_reads import Records, field_is, records_where, snapshot_of
from .pool_facts import Pool, pool_from_records
from .pool_survey import CLASSES, survey
from .session import NULL_REF, Record, Session
from .vm_facts import Disk
from .vm_identity import is_vm
from .vm_observe import VmReader

AWAKE = ("running", "paused")
NOBODY = marks.Owner("", "")


@dataclass(frozen=True)
class HeldVm:
    """A VM or template and what it takes. ``memory`` and ``vcpus`` are what it has when it runs; ``host`` is where it is now."""

    name: str
    owner: marks.Owner | None
    power_state: str
    vcpus: int
    memory: int
    disks: tuple[Disk, ...]
    host: str | None = None
    uuid: str = ""


@dataclass(frozen=True)
class PoolUse:
    """``snapshots`` are those that VMs are to be made from; ``loose`` are marked disks that no VM holds, with their owners.

    ``hosts`` maps the hosts that VMs can start on to their free memory, ``storage_of`` a VDI's reference to its storage repository's.
    """

    pool: Pool
    vms: tuple[HeldVm, ...] = ()
    templates: tuple[HeldVm, ...] = ()
    snapshots: tuple[HeldVm, ...] = ()
    loose: tuple[tuple[marks.Owner, Disk], ...] = ()
    hosts: t.Mapping[str, int] | None = None
    storage_of: t.Mapping[str, str] | None = None


def read_pool_use(session: Session, sources: t.Iterable[str] = ()) -> PoolUse:
    """The pool as it is, with the snapshots among ``sources``, which are names or UUIDs of VMs. Raises ``HardshellError``."""
    named = sorted({source for source in sources if '"' not in source})
    wanted = [field_is("is_a_snapshot", "false"), field_is("name__label", *named), field_is("uuid", *named)]
    vms = records_where(session, "VM", " or ".join(f"({part})" for part in wanted))
    return pool_use(snapshot_of(session, *CLASSES, "vbd", "vdi"), vms)


def pool_use(seen: t.Mapping[str, Records], vms: Records) -> PoolUse:
    """The same out of records: those of ``pool_survey.CLASSES``, of VBDs and VDIs, and of VMs. Pure."""
    pool = pool_from_records(seen)
    vdis = seen.get("vdi", {})
    vbds: dict[str, Records] = {}
    for ref, vbd in seen.get("vbd", {}).items():
        vbds.setdefault(vbd["VM"], {})[ref] = vbd
    held = [_held(record, vbds.get(ref, {}), vdis, pool) for ref, record in vms.items() if _counts(record)]
    templates = [
        _held(record, vbds.get(ref, {}), vdis, pool)
        for ref, record in vms.items()
        if record["is_a_template"] and not record["is_a_snapshot"] and marks.MAKING not in record["other_config"]
    ]
    hosts = {
        host["name"]: host["memory"]["free"] for host in survey(seen, vms)["hosts"] if host["enabled"] and host["live"]
    }
    snapshots = [_held(record, vbds.get(ref, {}), vdis, pool) for ref, record in vms.items() if record["is_a_snapshot"]]
    return PoolUse(
        pool=pool,
        snapshots=tuple(snapshots),
        vms=tuple(held),
        templates=tuple(templates),
        loose=tuple(_loose(vdis, pool)),
        hosts=hosts,
        storage_of={ref: vdi["SR"] for ref, vdi in vdis.items()},
    )


def _counts(record: Record) -> bool:
    """Whether a record is a VM: also one that an interrupted run has marked and not finished."""
    return is_vm(record) or (
        marks.MAKING in record["other_config"]
        and marks.owner_of_vm(record["other_config"], record["uuid"]) is not None
        and not record["is_a_snapshot"]
    )


def _held(record: Record, vbds: Records, vdis: Records, pool: Pool) -> HeldVm:
    owner = marks.owner_of_vm(record["other_config"], record["uuid"])
    reader = VmReader(owner or NOBODY, pool, vdis)
    disks = [disk for disk in reader.disks(vbds.values(), vbds, record["uuid"]) if disk.name != marks.CONFIG_DRIVE_DISK]
    return HeldVm(
        name=record["name_label"],
        owner=owner,
        power_state=record["power_state"].lower(),
        vcpus=int(record["VCPUs_at_startup"]),
        memory=int(record["memory_dynamic_max"]),
        disks=tuple(disks),
        host=pool.hosts.get(record["resident_on"]),
        uuid=record["uuid"],
    )


def _loose(vdis: Records, pool: Pool) -> t.Iterator[tuple[marks.Owner, Disk]]:
    names = {repository.ref: repository.name for repository in pool.storage}
    for ref, vdi in vdis.items():
        other_config = vdi["other_config"]
        name = other_config.get(marks.DISK)
        marked = marks.TENANT in other_config and name != marks.CONFIG_DRIVE_DISK
        if marked and not vdi["is_a_snapshot"] and not [vbd for vbd in vdi["VBDs"] if vbd != NULL_REF]:
            owner = marks.Owner(other_config[marks.TENANT], other_config.get(marks.HOST, ""))
            size = int(vdi["virtual_size"])
            keep, copied = marks.KEEP in other_config, marks.is_copy(other_config, vdi["uuid"])
            yield (
                owner,
                Disk(
                    name,
                    size,
                    names.get(vdi["SR"], str(vdi["SR"])),
                    uuid=vdi["uuid"],
                    vdi=ref,
                    ours=not copied,
                    keep=keep,
                    copied=copied,
                ),
            )
