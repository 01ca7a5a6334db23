# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The pool's objects: records by class and reference, with generations for events and derived back-references."""

from __future__ import annotations

import re
import uuid as _uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from xapi_lab.errors import XapiError, handle_invalid
from xapi_lab.model import Field, Model
from xapi_lab.values import NULL, DateTime, copy_value, is_storable, storable, zero

Record = dict[str, Any]

BACK_REFERENCES: tuple[tuple[str, str, str, str], ...] = (
    # one side (class, field of set type), many side (class, field)
    ("VM", "VBDs", "VBD", "VM"),
    ("VM", "VIFs", "VIF", "VM"),
    ("VM", "VGPUs", "VGPU", "VM"),
    ("VM", "VUSBs", "VUSB", "VM"),
    ("VM", "VTPMs", "VTPM", "VM"),
    ("VM", "consoles", "console", "VM"),
    ("VM", "crash_dumps", "crashdump", "VM"),
    ("VM", "snapshots", "VM", "snapshot_of"),
    ("VM", "children", "VM", "parent"),
    ("VM_appliance", "VMs", "VM", "appliance"),
    ("VM_group", "VMs", "VM", "groups"),
    ("VMSS", "VMs", "VM", "snapshot_schedule"),
    ("VDI", "VBDs", "VBD", "VDI"),
    ("VDI", "crash_dumps", "crashdump", "VDI"),
    ("VDI", "snapshots", "VDI", "snapshot_of"),
    ("SR", "VDIs", "VDI", "SR"),
    ("SR", "PBDs", "PBD", "SR"),
    ("network", "VIFs", "VIF", "network"),
    ("network", "PIFs", "PIF", "network"),
    ("host", "PIFs", "PIF", "host"),
    ("host", "PBDs", "PBD", "host"),
    ("host", "host_CPUs", "host_cpu", "host"),
    ("host", "resident_VMs", "VM", "resident_on"),
    ("host", "certificates", "Certificate", "host"),
    ("host", "features", "Feature", "host"),
    ("PIF", "VLAN_slave_of", "VLAN", "tagged_PIF"),
    ("PIF", "bond_master_of", "Bond", "master"),
    ("Bond", "slaves", "PIF", "bond_slave_of"),
    ("PIF", "tunnel_access_PIF_of", "tunnel", "access_PIF"),
    ("PIF", "tunnel_transport_PIF_of", "tunnel", "transport_PIF"),
    ("task", "subtasks", "task", "subtask_of"),
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
NOT_STORED = frozenset({"session", "task"})
"""Classes whose objects do not outlive the server."""

_MANY_SIDE: dict[str, dict[str, tuple[str, str]]] = {}
for _one_class, _one_field, _many_class, _many_field in BACK_REFERENCES:
    _MANY_SIDE.setdefault(_many_class, {})[_many_field] = (_one_class, _one_field)
_DERIVED = {(one_class, one_field) for one_class, one_field, _, _ in BACK_REFERENCES}


@dataclass
class Row:
    """An object: its record and the generations at which it was made and last changed."""

    record: Record
    created: int
    modified: int


@dataclass(frozen=True)
class Deletion:
    class_name: str
    ref: str
    created: int
    deleted: int


def new_ref() -> str:
    return f"OpaqueRef:{_uuid.uuid4()}"


def new_uuid() -> str:
    return str(_uuid.uuid4())


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID in its usual form; what is none must name no file."""
    return _UUID.fullmatch(text) is not None


class Database:
    """All objects of the pool. Synchronous: a change is visible as soon as the method returns."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.generation = 1
        self.tables: dict[str, dict[str, Row]] = {name: {} for name in model.classes}
        self.deletions: list[Deletion] = []
        self.unsaved: dict[tuple[str, str], None] = {}
        self.on_change: Callable[[], None] = lambda: None
        self.refresh: Callable[[Database, str, str], None] | None = None
        """Recomputes the derived fields of an object (allowed_operations)."""
        self.touches: Callable[[Database, str, str], Iterable[tuple[str, str]]] | None = None
        """The objects whose derived fields depend on an object."""
        self._by_uuid: dict[str, dict[str, str]] = {name: {} for name in model.classes}
        self._recent: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._stale: dict[tuple[str, str], None] = {}

    # --- reading

    def exists(self, class_name: str, ref: str) -> bool:
        return ref in self.tables[class_name]

    def row(self, class_name: str, ref: str) -> Row:
        row = self.tables[class_name].get(ref)
        if row is None:
            raise handle_invalid(class_name, ref)
        return row

    def record(self, class_name: str, ref: str) -> Record:
        """The live record: read it, do not change it."""
        row = self.row(class_name, ref)
        if self._stale:
            self.settle()
        return row.record

    def get(self, class_name: str, ref: str, field: str) -> Any:
        return self.record(class_name, ref)[field]

    def refs(self, class_name: str) -> list[str]:
        """References of a class, newest first."""
        return list(reversed(self.tables[class_name]))

    def records(self, class_name: str) -> Iterator[tuple[str, Record]]:
        if self._stale:
            self.settle()
        for ref in self.refs(class_name):
            yield ref, self.tables[class_name][ref].record

    def by_uuid(self, class_name: str, uuid: str) -> str:
        ref = self._by_uuid[class_name].get(uuid)
        if ref is None:
            raise XapiError("UUID_INVALID", class_name, uuid)
        return ref

    def find_uuid(self, class_name: str, uuid: str) -> str | None:
        return self._by_uuid[class_name].get(uuid)

    def by_name_label(self, class_name: str, name: str) -> list[str]:
        return [ref for ref, record in self.records(class_name) if record.get("name_label") == name]

    # --- changing

    def create(self, class_name: str, record: Record, ref: str | None = None) -> str:
        """Add an object; fields that `record` leaves out get their defaults, texts end before what XML lacks."""
        ref = ref or new_ref()
        complete = {name: storable(value) for name, value in self._complete(class_name, record).items()}
        self._bump()
        self.tables[class_name][ref] = Row(complete, self.generation, self.generation)
        self._by_uuid[class_name][complete.get("uuid", "")] = ref
        self._touched(class_name, ref)
        for field, (one_class, one_field) in _MANY_SIDE.get(class_name, {}).items():
            for target in self._targets(complete[field]):
                self._link(one_class, one_field, target, ref)
        self._mark_stale(class_name, ref)
        return ref

    def set(self, class_name: str, ref: str, field: str, value: Any) -> None:
        """Give a field a value; no event when it has it already. INTERNAL_ERROR for a text that no XML can hold."""
        row = self.row(class_name, ref)
        old = row.record[field]
        if old == value and type(old) is type(value):
            return
        if not is_storable(value):
            raise XapiError("INTERNAL_ERROR", "Db_exn.Invalid_value")
        row.record[field] = value
        self._bump()
        self._modified(class_name, ref, row)
        back = _MANY_SIDE.get(class_name, {}).get(field)
        if back:
            for target in self._targets(old):
                self._unlink(back[0], back[1], target, ref)
            for target in self._targets(value):
                self._link(back[0], back[1], target, ref)
        self._mark_stale(class_name, ref)

    def update(self, class_name: str, ref: str, **values: Any) -> None:
        for field, value in values.items():
            self.set(class_name, ref, field, value)

    def touch(self, class_name: str, ref: str) -> None:
        """Make an object count as changed."""
        row = self.row(class_name, ref)
        self._bump()
        self._modified(class_name, ref, row)

    def add_to_map(self, class_name: str, ref: str, field: str, key: str, value: Any) -> None:
        current, key, value = self.get(class_name, ref, field), storable(key), storable(value)
        if not key:
            raise XapiError("INTERNAL_ERROR", "Db_exn.Empty_key_in_map")
        if key in current:
            raise XapiError("MAP_DUPLICATE_KEY", class_name, field, ref, key)
        self.set(class_name, ref, field, {**current, key: value})

    def put_in_map(self, class_name: str, ref: str, field: str, key: str, value: Any) -> None:
        self.set(class_name, ref, field, {**self.get(class_name, ref, field), key: value})

    def remove_from_map(self, class_name: str, ref: str, field: str, key: str) -> None:
        current, key = self.get(class_name, ref, field), storable(key)
        if key in current:
            self.set(class_name, ref, field, {name: value for name, value in current.items() if name != key})

    def destroy(self, class_name: str, ref: str) -> None:
        """Remove an object; references to it elsewhere are left as they are."""
        row = self.row(class_name, ref)
        for field, (one_class, one_field) in _MANY_SIDE.get(class_name, {}).items():
            for target in self._targets(row.record[field]):
                self._unlink(one_class, one_field, target, ref)
        self._mark_stale(class_name, ref)
        self._stale.pop((class_name, ref), None)
        del self.tables[class_name][ref]
        self._by_uuid[class_name].pop(row.record.get("uuid", ""), None)
        self._bump()
        self._recent.pop((class_name, ref), None)
        self.deletions.append(Deletion(class_name, ref, row.created, self.generation))
        self.unsaved[class_name, ref] = None
        self.on_change()

    # --- events

    def changed_since(self, generation: int) -> list[tuple[str, str, Row]]:
        """Objects changed after a generation, newest change first."""
        self.settle()
        changed = []
        for (class_name, ref), modified in reversed(self._recent.items()):
            if modified <= generation:
                break
            changed.append((class_name, ref, self.tables[class_name][ref]))
        return changed

    def deleted_since(self, generation: int) -> list[Deletion]:
        """Deletions after a generation of objects that were there at that generation, newest first."""
        found = []
        for deletion in reversed(self.deletions):
            if deletion.deleted <= generation:
                break
            if deletion.created <= generation:
                found.append(deletion)
        return found

    def recompute_all(self, class_names: Iterable[str]) -> None:
        """Bring the derived fields of whole classes up to date."""
        for class_name in class_names:
            for ref in self.tables[class_name]:
                self._stale[class_name, ref] = None
        self.settle()

    def settle(self) -> None:
        """Recompute derived fields that are out of date."""
        while self._stale:
            stale, self._stale = self._stale, {}
            if self.refresh is None:
                return
            for class_name, ref in stale:
                if ref in self.tables[class_name]:
                    self.refresh(self, class_name, ref)

    def set_derived(self, class_name: str, ref: str, field: str, value: Any) -> None:
        """`set` for derived fields: never makes anything else out of date."""
        row = self.row(class_name, ref)
        if row.record[field] != value:
            row.record[field] = value
            self._bump()
            self._modified(class_name, ref, row)

    # --- loading

    def load(self, class_name: str, ref: str, record: Record, created: int, modified: int) -> None:
        """Add an object as it was saved; call `loaded` after the last one."""
        complete = self._complete(class_name, record)
        self.tables[class_name][ref] = Row(complete, created, modified)
        self._by_uuid[class_name][complete.get("uuid", "")] = ref

    def loaded(self, generation: int) -> None:
        """Rebuild what is not saved: order of changes and back-references."""
        self.generation = max(generation, self.generation)
        rows = [
            (row.modified, class_name, ref) for class_name, table in self.tables.items() for ref, row in table.items()
        ]
        self._recent = OrderedDict(((class_name, ref), modified) for modified, class_name, ref in sorted(rows))
        links: dict[tuple[str, str, str], dict[str, None]] = {}
        for class_name, sides in _MANY_SIDE.items():
            for ref, row in reversed(self.tables[class_name].items()):
                for field, (one_class, one_field) in sides.items():
                    for target in self._targets(row.record[field]):
                        links.setdefault((one_class, target, one_field), {})[ref] = None
        for (one_class, target, one_field), refs in links.items():
            one = self.tables[one_class].get(target)
            if one is not None:
                one.record[one_field] = list(refs)
        self.unsaved.clear()

    def is_derived(self, class_name: str, field: str) -> bool:
        return (class_name, field) in _DERIVED

    # --- inside

    def _complete(self, class_name: str, record: Record) -> Record:
        complete: Record = {}
        for name, field in self.model.classes[class_name].fields.items():
            if (class_name, name) in _DERIVED:
                complete[name] = []
            elif name in record:
                complete[name] = record[name]
            elif name == "uuid":
                complete[name] = new_uuid()
            else:
                complete[name] = default_of(field)
        return complete

    @staticmethod
    def _targets(value: Any) -> list[str]:
        return [ref for ref in (value if isinstance(value, list) else [value]) if ref and ref != NULL]

    def _link(self, one_class: str, one_field: str, target: str, ref: str) -> None:
        row = self.tables[one_class].get(target)
        if row is not None and ref not in row.record[one_field]:
            row.record[one_field] = [ref, *row.record[one_field]]
            self._modified(one_class, target, row)

    def _unlink(self, one_class: str, one_field: str, target: str, ref: str) -> None:
        row = self.tables[one_class].get(target)
        if row is not None and ref in row.record[one_field]:
            row.record[one_field] = [other for other in row.record[one_field] if other != ref]
            self._modified(one_class, target, row)

    def _bump(self) -> None:
        self.generation += 1

    def _modified(self, class_name: str, ref: str, row: Row) -> None:
        row.modified = self.generation
        self._touched(class_name, ref)

    def _touched(self, class_name: str, ref: str) -> None:
        key = (class_name, ref)
        self._recent[key] = self.generation
        self._recent.move_to_end(key)
        self.unsaved[key] = None
        self.on_change()

    def _mark_stale(self, class_name: str, ref: str) -> None:
        self._stale[class_name, ref] = None
        if self.touches is not None:
            for key in self.touches(self, class_name, ref):
                self._stale[key] = None


def default_of(field: Field) -> Any:
    """The value of a field that its constructor was not given."""
    if not field.has_default:
        return zero(field.type)
    return DateTime(field.default) if field.type.kind == "datetime" else copy_value(field.default)
