# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Observing one VM: the only code of the module ``vm`` that reads, and the only one that knows XAPI's records.

An existing VM takes four calls, whatever it holds: its record by name, one event batch with its VBDs, VIFs and guest metrics and all that the
pool offers, its VDIs, and the login. Making or removing one takes a few more.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from . import marks
from .bulk_reads import POOL_CLASSES, Records, field_is, held_elsewhere, records_where, snapshot_of
from .disk_spec import NO_QOS, DiskQos
from .pool_facts import Pool, pool_from_records
from .session import NULL_REF, Record, Session
from .system_disk import is_outdated
from .vdis import position_of
from .vm_facts import Cd, Disk, Drive, Existing, Nic, Observed, Origin, Remains, Vm, vdi_name
from .vm_identity import find_ours, find_to_adopt, is_half_made
from .vm_settings import settings_of
from .vm_source import names_template, origins_in, read_source
from .vm_spec import VmSpec


def observe(session: Session, spec: VmSpec) -> Observed:
    """The VM that is meant, as it is now, with what the plan needs beside it. Raises ``HardshellError``."""
    named = records_where(session, "VM", _named_like(spec))
    ref = find_ours(spec, named)
    everything: Records = {}
    if ref is None and spec.uuid is None:
        everything = records_where(session, "VM", 'field "is_a_template" = "false"')
        ref = find_ours(spec, everything)
    adopting = ref is None
    if ref is None:
        ref = find_to_adopt(spec, named)
    record = None if ref is None else (named.get(ref) or everything[ref])
    half_made = {other: each for other, each in named.items() if is_half_made(spec, each)}

    watched = [*POOL_CLASSES, "pbd"]
    if record is not None:
        watched += [f"vbd/{vbd}" for vbd in record["VBDs"]] + [f"vif/{vif}" for vif in record["VIFs"]]
        watched.append(f"vm_metrics/{record['metrics']}")
        if record["guest_metrics"] != NULL_REF:
            watched.append(f"vm_guest_metrics/{record['guest_metrics']}")
    for other in half_made.values():
        watched += [f"vbd/{vbd}" for vbd in other["VBDs"]]
    seen = snapshot_of(session, *watched)
    pool = pool_from_records(seen)
    vbds = seen.get("vbd", {})
    removing = spec.state == "absent"
    snapshots = record["snapshots"] if removing and record is not None else []
    snapshot_vbds = records_where(session, "VBD", field_is("VM", *snapshots)) if snapshots else {}
    vdis = _read_vdis(session, spec, vbds, all_of_them=removing)
    held_by_others = _held_by_others(session, spec, pool, vdis, {**vbds, **snapshot_vbds})
    reader = VmReader(spec.owner, pool, vdis, held_by_others)

    vm = None
    if ref is not None and record is not None:
        metrics = Metrics(_only(seen.get("vm_metrics", {})), _only(seen.get("vm_guest_metrics", {})))
        snapshot_records = records_where(session, "VM", field_is("_ref", *snapshots)) if snapshots else {}
        taken = tuple(reader.remains(snapshot, each, snapshot_vbds) for snapshot, each in snapshot_records.items())
        vm = reader.vm(ref, record, vbds, seen.get("vif", {}), metrics, taken)
    template = None
    origins = () if removing else origins_in(spec, named)
    if not removing and (vm is None or (spec.allow_replace and not vm.making and is_outdated(vm, origins))):
        template = read_source(session, reader, spec)
    remains = tuple(reader.remains(other, each, vbds) for other, each in half_made.items())
    return Observed(
        pool,
        vm,
        adopting and vm is not None,
        template,
        origins,
        remains,
        tuple(reader.loose_disks()),
        _read_existing(session, reader, [disk.vdi for disk in spec.disks if disk.vdi and disk.wanted], disks=True),
        _read_existing(session, reader, [spec.iso] if spec.iso else [], disks=False),
    )


def _named_like(spec: VmSpec) -> str:
    expression = field_is("name__label", spec.name, marks.making_name(spec.name, spec.owner))
    by_uuid = field_is("uuid", spec.uuid) if spec.uuid else ""
    template = names_template(spec) if spec.state != "absent" else ""
    return " or ".join(filter(None, (expression, by_uuid, template)))


def _read_vdis(session: Session, spec: VmSpec, vbds: Records, *, all_of_them: bool) -> Records:
    if all_of_them:
        expression = 'field "managed" = "true"'
    else:
        refs = [vbd["VDI"] for vbd in vbds.values() if vbd["VDI"] != NULL_REF]
        named = [*(disk.vdi for disk in spec.disks if disk.vdi), *([spec.iso] if spec.iso else [])]
        own = (*(disk.name for disk in spec.disks), marks.ROOT_DISK, marks.CONFIG_DRIVE_DISK)
        names = [vdi_name(spec.name, name) for name in own]
        expression = (
            f"{field_is('_ref', *refs)} or {field_is('name__label', *names)}"
            if refs
            else field_is("name__label", *names)
        )
        if named:
            expression += f" or {field_is('name__label', *named)} or {field_is('uuid', *named)}"
    return records_where(session, "VDI", expression)


def _read_existing(session: Session, reader: VmReader, wanted: t.Iterable[str], *, disks: bool) -> tuple[Existing, ...]:
    """The disks or ISOs that the task may mean; where one of them is none, all there are, for the error to name the near ones."""
    found = tuple(reader.existing(disks=disks))
    known = {text for each in found for text in (each.name, each.uuid)}
    if known >= set(wanted):
        return found
    places = [repository.ref for repository in reader.pool.storage if repository.holds_disks == disks]
    every = records_where(session, "VDI", field_is("SR", *places))
    return tuple(VmReader(reader.owner, reader.pool, every).existing(disks=disks))


def _held_by_others(session: Session, spec: VmSpec, pool: Pool, vdis: Records, vbds: Records) -> frozenset[str]:
    """Which of the VDIs that may be attached, changed or destroyed another VM holds. Any number may hold an ISO."""
    owner, libraries = spec.owner, {repository.ref for repository in pool.storage if not repository.holds_disks}
    vdis = {ref: vdi for ref, vdi in vdis.items() if vdi["SR"] not in libraries}
    known = {vbd["VDI"] for vbd in vbds.values()}
    wanted = {disk.vdi for disk in spec.disks if disk.vdi}
    named = {ref for ref, vdi in vdis.items() if vdi["uuid"] in wanted or vdi["name_label"] in wanted}
    concerned = {
        ref: vdi for ref, vdi in vdis.items() if ref in known or owner.owns(vdi["other_config"]) or ref in named
    }
    return held_elsewhere(session, pool, concerned, vbds)


class Metrics(t.NamedTuple):
    """What the pool (``VM_metrics``) and the guest (``VM_guest_metrics``) tell of a running VM. Empty where they tell nothing."""

    own: Record
    guest: Record


def _only(records: Records) -> Record:
    return next(iter(records.values()), {})


class VmReader:
    """Turns records into facts, given the owner whose marks count, the pool's names and the VDIs."""

    def __init__(
        self,
        owner: marks.Owner,
        pool: Pool,
        vdis: Records,
        held_by_others: frozenset[str] = frozenset(),
        *,
        any_owner: bool = False,
    ) -> None:
        self.owner = owner
        self._any_owner = any_owner
        self.pool = pool
        self.vdis = vdis
        self._held_by_others = held_by_others
        self._held: set[str] = set()
        self._sr_names: dict[str, str] = {repository.ref: repository.name for repository in pool.storage}
        self._network_names = {network.ref: network.name for network in pool.networks}

    def vm(
        self, ref: str, record: Record, vbds: Records, vifs: Records, metrics: Metrics, snapshots: tuple[Remains, ...]
    ) -> Vm:
        other_config = record["other_config"]
        own_vbds = {each: vbd for each, vbd in vbds.items() if vbd["VM"] == ref}
        # An unfinished clone of another VM has disks that still carry the other's marks.
        reader = self.of_any_owner(self.vdis) if marks.MAKING in other_config else self
        disks = reader.disks(own_vbds.values(), own_vbds, record["uuid"])
        self._held |= reader._held
        drive_disk = next((disk for disk in disks if disk.ours and disk.name == marks.CONFIG_DRIVE_DISK), None)
        guest = metrics.guest
        owner = marks.owner_of_vm(other_config, record["uuid"])
        return Vm(
            name=record["name_label"],
            owner=owner,
            power_state=record["power_state"].lower(),
            description=record["name_description"],
            settings=settings_of(record, metrics.own, guest, self.pool),
            tags=tuple(sorted(record["tags"])),
            disks=tuple(disk for disk in disks if disk is not drive_disk),
            nics=tuple(self.nics(vifs, guest.get("networks", {}) if record["power_state"] == "Running" else {})),
            drive=_drive(drive_disk, other_config),
            cd=self.cd(own_vbds),
            occupied=self.occupied(own_vbds),
            ssh_host_key=other_config.get(marks.SSH_HOST_KEY),
            host=self.pool.hosts.get(record["resident_on"]),
            host_ref=record["resident_on"] if record["resident_on"] in self.pool.hosts else None,
            uuid=record["uuid"],
            ref=ref,
            making=marks.MAKING in other_config,
            returns_to=other_config.get(marks.POWER_CYCLE) if owner else None,
            is_template=record["is_a_template"],
            has_drivers=bool(guest.get("PV_drivers_detected")) or guest.get("can_use_hotplug_vbd") == "yes",
            has_agent=bool(guest.get("PV_drivers_version")),
            snapshots=snapshots,
        )

    def of_any_owner(self, vdis: Records) -> VmReader:
        """One that knows disks by their names whoever they belong to, as those of a source do."""
        return VmReader(self.owner, self.pool, vdis, self._held_by_others, any_owner=True)

    def remains(self, ref: str, record: Record, vbds: Records) -> Remains:
        own = {each: vbd for each, vbd in vbds.items() if vbd["VM"] == ref}
        return Remains(ref, record["uuid"], record["name_label"], tuple(self.disks(own.values(), own, record["uuid"])))

    def disks(
        self, vbds: t.Iterable[Record], refs: t.Mapping[str, Record] | None = None, vm_uuid: str | None = None
    ) -> list[Disk]:
        """The disks behind a VM's VBDs in the order of the devices, the root disk named."""
        by_uuid = {vbd["uuid"]: ref for ref, vbd in (refs or {}).items()}
        found = [
            self._disk(self.vdis[vbd["VDI"]], vbd["VDI"], vbd, by_uuid.get(vbd["uuid"]), vm_uuid)
            for vbd in vbds
            if vbd["type"] == "Disk" and vbd["VDI"] in self.vdis
        ]
        self._held.update(disk.vdi for disk in found if disk.vdi)
        found.sort(key=lambda disk: (disk.device is None, disk.device))
        if any(disk.name == marks.ROOT_DISK for disk in found):
            return found
        root = next((disk for disk in found if disk.bootable and disk.name is None), None)
        return [_renamed(disk, marks.ROOT_DISK) if disk is root else disk for disk in found]

    def cd(self, vbds: Records) -> Cd | None:
        """The CD drive; of several the first that holds something, else the first."""
        drives = [(ref, vbd) for ref, vbd in vbds.items() if vbd["type"] == "CD"]
        if not drives:
            return None
        ref, vbd = min(drives, key=lambda drive: (drive[1]["empty"], position_of(drive[1]["userdevice"]) or 0))
        held = self.vdis.get(vbd["VDI"])
        iso = None if vbd["empty"] or held is None else self._existing(vbd["VDI"], held)
        return Cd(position_of(vbd["userdevice"]), iso, ref)

    def occupied(self, vbds: Records) -> frozenset[int]:
        """The positions of what is no disk."""
        positions = (position_of(vbd["userdevice"]) for vbd in vbds.values() if vbd["type"] != "Disk")
        return frozenset(position for position in positions if position is not None)

    def existing(self, *, disks: bool) -> t.Iterator[Existing]:
        """The VDIs that a task may name: disks, or else ISOs."""
        holders = {repository.ref for repository in self.pool.storage if repository.holds_disks == disks}
        for ref, vdi in self.vdis.items():
            if vdi["SR"] in holders and vdi["managed"] and not vdi["is_a_snapshot"]:
                yield self._existing(ref, vdi)

    def _existing(self, ref: str, vdi: Record) -> Existing:
        tenant = vdi["other_config"].get(marks.TENANT)
        disk = self._disk(vdi, ref, None, None)
        return Existing(vdi["name_label"], vdi["uuid"], disk, tenant, vdi["sharable"], vdi["read_only"])

    def loose_disks(self) -> t.Iterator[Disk]:
        """Disks with our marks that no VM holds, and what was copied of them."""
        for ref, vdi in self.vdis.items():
            held = ref in self._held_by_others or ref in self._held
            if not held and not vdi["is_a_snapshot"] and self.owner.owns(vdi["other_config"]):
                yield self._disk(vdi, ref, None, None)

    def _disk(self, vdi: Record, ref: str, vbd: Record | None, vbd_ref: str | None, vm_uuid: str | None = None) -> Disk:
        on_vbd = vbd["other_config"] if vbd else {}
        other_config = marks.remembered(vdi["other_config"], on_vbd, None if self._any_owner else vm_uuid or "")
        owned = self.owner.owns(other_config)
        # A VM that was reverted has copies of its disks, and its VBDs.
        copied = owned and marks.is_copy(other_config, vdi["uuid"]) and on_vbd.get(marks.VM) != (vm_uuid or "")
        ours = owned and not copied
        return Disk(
            name=self._name_of(other_config, on_vbd, vm_uuid, by_vdi=owned if vbd is None else ours),
            size=int(vdi["virtual_size"]),
            sr=self._sr_names.get(vdi["SR"], str(vdi["SR"])),
            description=vdi["name_description"],
            device=position_of(vbd["userdevice"]) if vbd else None,
            uuid=vdi["uuid"],
            vdi=ref,
            vbd=vbd_ref,
            plugged=bool(vbd and vbd["currently_attached"]),
            bootable=bool(vbd and vbd["bootable"]),
            ours=ours,
            keep=marks.KEEP in other_config,
            shared=ref in self._held_by_others,
            of_vm=other_config.get(marks.VM),
            checksum=other_config.get(marks.CONFIG_DRIVE),
            label=vdi["name_label"],
            qos=_disk_qos(vbd),
            origin=_origin(other_config),
            marked=vbd is None or not ours or _is_marked(vdi, on_vbd),
            copied=copied,
        )

    def _name_of(
        self, other_config: marks.OtherConfig, on_vbd: marks.OtherConfig, vm_uuid: str | None, *, by_vdi: bool
    ) -> str | None:
        """A disk's name: on its VDI if that is ours, on its VBD if it was attached as it was."""
        if (self._any_owner or by_vdi) and marks.DISK in other_config:
            return other_config[marks.DISK]
        attached_here = self._any_owner or on_vbd.get(marks.VM, vm_uuid) == vm_uuid
        return on_vbd.get(marks.DISK) if attached_here else None

    def nics(self, vifs: Records, reported: t.Mapping[str, str]) -> list[Nic]:
        """The interfaces in the order of the devices, with the addresses that the guest reports on each."""
        found = [
            Nic(
                name=vif["other_config"].get(marks.NIC),
                network=self._network_names.get(vif["network"], str(vif["network"])),
                network_ref=vif["network"],
                mac=vif["MAC"],
                device=int(vif["device"]),
                uuid=vif["uuid"],
                addresses=addresses_of(vif["device"], reported),
                vif=ref,
                plugged=vif["currently_attached"],
                mtu=int(vif["MTU"]),
                rate_limit=_rate_limit(vif),
                locking_mode=vif["locking_mode"],
                ipv4_allowed=tuple(sorted(vif["ipv4_allowed"])),
                ipv6_allowed=tuple(sorted(vif["ipv6_allowed"])),
            )
            for ref, vif in vifs.items()
        ]
        return sorted(found, key=lambda nic: nic.device or 0)


def addresses_of(device: str, reported: t.Mapping[str, str]) -> tuple[str, ...]:
    """The addresses of one interface in guest metrics, whose keys are ``0/ip``, ``0/ipv4/0`` and ``0/ipv6/0``; IPv4 first."""
    keys = sorted(key for key in reported if re.fullmatch(rf"{device}/(ip|ipv4/\d+|ipv6/\d+)", key))
    found = dict.fromkeys(address for key in keys for address in reported[key].split() if _is_address(address))
    return tuple(sorted(found, key=lambda address: ":" in address))


def _is_marked(vdi: Record, on_vbd: marks.OtherConfig) -> bool:
    own = marks.marks_in(vdi["other_config"])
    return own == marks.marks_in(on_vbd) and own.get(marks.VDI) == vdi["uuid"]


def _origin(other_config: marks.OtherConfig) -> Origin | None:
    known = other_config.get(marks.ORIGIN)
    return Origin(known, other_config.get(marks.ORIGIN_NAME, known)) if known else None


def _disk_qos(vbd: Record | None) -> DiskQos:
    """How XAPI reads the parameters of ``ionice`` (xapi_xenops.ml)."""
    if vbd is None or vbd["qos_algorithm_type"] != "ionice":
        return NO_QOS
    sched = vbd["qos_algorithm_params"].get("sched", "best-effort")
    return DiskQos({"rt": "real-time"}.get(sched, sched), vbd["qos_algorithm_params"].get("class", "normal"))


def _rate_limit(vif: Record) -> int | None:
    """Kilobytes of 1024 bytes a second, as XAPI keeps them (Device.Vif.add in xenopsd's device.ml)."""
    limit = vif["qos_algorithm_params"].get("kbps", "") if vif["qos_algorithm_type"] == "ratelimit" else ""
    return int(limit) if limit.isdigit() and int(limit) else None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _drive(disk: Disk | None, other_config: marks.OtherConfig) -> Drive:
    if disk is not None:
        return Drive("attached", disk.checksum, disk)
    taken = other_config.get(marks.CONFIG_DRIVE)
    return Drive("removed", taken) if taken else Drive()


def _renamed(disk: Disk, name: str) -> Disk:
    return dataclasses.replace(disk, name=name)
