# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What of a pool's events is told to a watcher. Pure.

XAPI tells of every touch of an object, with its whole record, and of the newest state alone. Here a record is held against the one before, so
that an event says what changed, and a whole new reading of the pool says what happened while nobody listened.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .._errors import OptionError
from .marks import HOST, TENANT, Owner, owner_of_vm

Record = dict[str, t.Any]
Event = dict[str, t.Any]

# fmt: off
CLASSES = frozenset({
    "bond", "certificate", "cluster", "cluster_host", "console", "dr_task", "driver_variant", "feature",
    "gpu_group", "host", "host_cpu", "host_driver", "host_metrics", "lvhd", "message", "network",
    "network_sriov", "observer", "pbd", "pci", "pgpu", "pif", "pif_metrics", "pool", "pool_update", "pusb",
    "pvs_cache_storage", "pvs_proxy", "pvs_server", "pvs_site", "repository", "role", "sdn_controller", "sm",
    "sr", "subject", "task", "tunnel", "usb_group", "vbd", "vdi", "vgpu", "vgpu_type", "vif", "vlan", "vm",
    "vm_appliance", "vm_group", "vm_guest_metrics", "vm_metrics", "vmss", "vtpm", "vusb",
})
"""Classes of XAPI's data model that have events, in its events' spelling; ``secret`` is none of a rulebook's."""
OF_A_VM = frozenset({
    "console", "message", "pvs_proxy", "vbd", "vdi", "vgpu", "vif", "vm", "vm_guest_metrics", "vm_metrics",
    "vtpm", "vusb",
})
"""Classes whose objects may be a VM's, and by that a tenant's."""
# fmt: on
OWNABLE = OF_A_VM | {"network"}
UNDER_WAY = frozenset({"allowed_operations", "current_operations"})
"""Fields that tell what is being done to an object, and change several times with each operation."""
BULKY = frozenset({"NVRAM", "last_booted_record", "recommendations", "snapshot_metadata"})
"""Fields that an event leaves out: what they hold is for XAPI itself, and may be 64 KiB."""
FORGOTTEN_ELSEWHERE = "message"
"""Messages are files of the coordinator: another one does not know them all, and that tells nothing of them."""
UNCOUNTED = frozenset({FORGOTTEN_ELSEWHERE, "task"})
"""Classes whose number says nothing: messages are in no table, and tasks come and go between two answers."""


@dataclass(frozen=True)
class WatchSpec:
    """What is watched. Without ``tenants`` and ``fields``: everything of the classes."""

    classes: frozenset[str] = frozenset({"vm"})
    tenants: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    existing: bool = False

    @property
    def subscription(self) -> tuple[str, ...]:
        """The classes to ask XAPI for: VMs too where whose an object is depends on its VM."""
        return tuple(sorted(self.classes | ({"vm"} if self.classes & OF_A_VM else set())))


def watch_spec(
    classes: t.Sequence[str], tenants: t.Sequence[str], fields: t.Sequence[str], existing: bool
) -> WatchSpec:
    """The spec out of the source's arguments. Raises ``OptionError``."""
    wanted = frozenset(name.strip().lower() for name in classes)
    for name in sorted(wanted - CLASSES) or ([] if wanted else [""]):
        raise OptionError("classes", name, f"give classes that the pool has events of: {', '.join(sorted(CLASSES))}")
    if tenants and not wanted & OWNABLE:
        ownable = ", ".join(sorted(OWNABLE))
        raise OptionError(
            "tenants", list(tenants), f"no object of these classes is a tenant's; those may be: {ownable}"
        )
    return WatchSpec(wanted, frozenset(tenants), frozenset(fields), existing)


@dataclass(frozen=True)
class _Known:
    """An object as it was last told of, and whether this watcher was told."""

    class_name: str
    record: Record
    owner: Owner | None = None
    told: bool = False


@dataclass
class Watch:
    """The state of a watch: what is known of each object, by reference."""

    spec: WatchSpec
    _known: dict[str, _Known] = field(default_factory=dict)
    _vms: _Vms = field(default_factory=lambda: _Vms.of({}))
    _gaps: dict[str, int] = field(default_factory=dict)

    def take(self, events: t.Sequence[Event], *, whole: bool = False, silent: bool = False) -> list[Event]:
        """What to tell of one answer of ``event.from``, in the answer's order.

        ``whole``: the answer is all there is, so that what it does not name is gone. ``silent``: take notice and tell nothing, as of what is
        there at the start.
        """
        known = dict(self._known)
        touched: dict[str, None] = {}
        for event in events:
            ref = event["ref"]
            touched[ref] = None
            if event["operation"] == "del":
                known.pop(ref, None)
            elif event.get("snapshot") is not None:
                known[ref] = _Known(event["class"], event["snapshot"])
        if whole:
            for ref in self._known.keys() - touched.keys():
                if known[ref].class_name != FORGOTTEN_ELSEWHERE:
                    touched[ref] = None
                    del known[ref]
        vms = _Vms.of(known)
        if vms.owners != self._vms.owners:
            touched |= dict.fromkeys(known)  # what a VM has changes hands with it
        told = []
        for ref in touched:
            old, new = self._known.get(ref), known.get(ref)
            if new is not None:
                owner = vms.owner(ref, new) or (self._vms.owner(ref, new) if new.class_name == "message" else None)
                new = known[ref] = _Known(new.class_name, new.record, owner, self._wanted(new.class_name, owner))
            payload = self._payload(ref, old, new)
            if payload is not None and not silent:
                told.append(payload)
        self._known, self._vms = known, vms
        return told

    def has_gap(self, counts: t.Mapping[str, int]) -> bool:
        """Whether the pool counts other objects than are known, as when more were removed at once than XAPI keeps in mind (256).

        Answers True once for the same gap: what a whole reading does not close, another does not close either.
        """
        known: dict[str, int] = {}
        for each in self._known.values():
            known[each.class_name] = known.get(each.class_name, 0) + 1
        gaps = {
            name: int(counts[name]) - known.get(name, 0)
            for name in self.spec.subscription
            if name in counts and name not in UNCOUNTED
        }
        new = any(gap and gap != self._gaps.get(name) for name, gap in gaps.items())
        self._gaps = gaps
        return new

    def _wanted(self, class_name: str, owner: Owner | None) -> bool:
        if class_name not in self.spec.classes:
            return False
        return not self.spec.tenants or (owner is not None and owner.tenant in self.spec.tenants)

    def _payload(self, ref: str, old: _Known | None, new: _Known | None) -> Event | None:
        """An object that comes into view is added, one that goes out of it is gone: whose it is may change."""
        was = old if old is not None and old.told else None
        now = new if new is not None and new.told else None
        if was and now:
            changed = _changed(was.record, now.record)
            relevant = changed.keys() & self.spec.fields if self.spec.fields else changed.keys() - UNDER_WAY
            return _event("mod", ref, now, changed) if relevant else None
        if now:
            return _event("add", ref, now)
        return _event("del", ref, was) if was else None


def _event(operation: str, ref: str, known: _Known, changed: dict[str, t.Any] | None = None) -> Event:
    record = known.record
    told: Event = {
        "class": known.class_name,
        "operation": operation,
        "ref": ref,
        "uuid": record.get("uuid", ""),
        "name": record.get("name_label", record.get("name", "")),
        "record": {name: plain(value) for name, value in record.items() if name not in BULKY},
    }
    if known.owner is not None:
        told["tenant"] = known.owner.tenant
        if known.owner.host:
            told["host"] = known.owner.host
    if changed:
        told["changed"] = changed
    return told


def _changed(before: Record, after: Record) -> dict[str, t.Any]:
    """The fields that differ, each with what it was and is. A field that is not set, XAPI may leave out."""
    return {
        name: {"before": plain(before.get(name, "")), "after": plain(after.get(name, ""))}
        for name in sorted((before.keys() | after.keys()) - BULKY)
        if before.get(name) != after.get(name)
    }


def plain(value: t.Any) -> t.Any:
    """A value of a record as JSON can hold it, without passwords: a PBD's ``device_config`` carries those of its storage."""
    if isinstance(value, t.Mapping):
        return {str(key): plain(item) for key, item in value.items() if "passw" not in str(key).lower()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return str(value)


@dataclass(frozen=True)
class _Vms:
    """Whose the VMs are, and how other objects name them."""

    owners: dict[str, Owner | None]
    by_uuid: dict[str, str]
    by_metrics: dict[str, str]

    @classmethod
    def of(cls, known: t.Mapping[str, _Known]) -> _Vms:
        vms = {ref: each.record for ref, each in known.items() if each.class_name == "vm"}
        return cls(
            owners={ref: owner_of_vm(vm["other_config"], vm["uuid"]) for ref, vm in vms.items()},
            by_uuid={vm["uuid"]: ref for ref, vm in vms.items()},
            by_metrics={vm[name]: ref for ref, vm in vms.items() for name in ("metrics", "guest_metrics")},
        )

    def owner(self, ref: str, known: _Known) -> Owner | None:
        record = known.record
        if known.class_name == "vm":
            return self.owners.get(ref) or self.owners.get(record["snapshot_of"])
        if known.class_name == "message":
            return self.owners.get(self.by_uuid.get(record["obj_uuid"], ""))
        if known.class_name in ("vm_metrics", "vm_guest_metrics"):
            return self.owners.get(self.by_metrics.get(ref, ""))
        return self.owners.get(record.get("VM", "")) or _marked(record)


def _marked(record: Record) -> Owner | None:
    """Disks and networks carry their tenant's mark themselves."""
    other_config = record.get("other_config")
    if isinstance(other_config, t.Mapping) and TENANT in other_config:
        return Owner(str(other_config[TENANT]), str(other_config.get(HOST, "")))
    return None
