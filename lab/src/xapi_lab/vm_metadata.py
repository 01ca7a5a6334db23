# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""`ova.xml`: the records of a VM and of all that belongs to it, with references of its own (export.ml)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from xapi_lab.bootstrap import SOFTWARE_VERSION, XAPI_BUILD
from xapi_lab.database import Database, Record
from xapi_lab.errors import XapiError
from xapi_lab.model import Field
from xapi_lab.values import EPOCH, NULL, copy_value, decode, now, zero
from xapi_lab.wire.xmlrpc import decode_value, encode_value

EXPORT_VERSION = 2
CLASSES = ("host", "VM", "VM_guest_metrics", "VBD", "VIF", "network", "VDI", "SR")
"""In the order in which XAPI writes them."""
_HOST_KEEPS = frozenset({"uuid", "name_label", "name_description", "hostname", "address"})
_SNAPSHOT = {"is_a_snapshot": False, "snapshot_of": NULL, "snapshot_time": EPOCH, "transportable_snapshot_id": "",
             "parent": NULL}  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """An object of an archive: its reference there and its record with such references."""

    class_name: str
    ref: str
    record: Record


@dataclass(frozen=True)
class Metadata:
    objects: list[Exported]

    def of(self, class_name: str) -> list[Exported]:
        return [exported for exported in self.objects if exported.class_name == class_name]

    def find(self, ref: str) -> Exported:
        for exported in self.objects:
            if exported.ref == ref:
                return exported
        raise XapiError("IMPORT_ERROR_FAILED_TO_FIND_OBJECT", ref)

    def is_iso(self, vdi: str) -> bool:
        """Whether a VDI is a medium of an ISO library, whose content does not travel."""
        return bool(self.find(self.find(vdi).record["SR"]).record["content_type"] == "iso")

    def disks(self) -> list[str]:
        """The VDIs whose content is in the archive."""
        wanted = [
            vbd.record["VDI"] for vbd in self.of("VBD") if vbd.record["type"] != "CD" and vbd.record["VDI"] != NULL
        ]
        return sorted({vdi for vdi in wanted if not self.is_iso(vdi)})


# --- from the database


def table_of(database: Database, vms: Iterable[str], *, snapshots: bool) -> dict[str, str]:
    """The objects that belong to VMs, with their references in the archive."""
    table: dict[str, str] = {}

    def add(ref: str) -> None:
        if ref != NULL:
            table.setdefault(ref, f"Ref:{len(table)}")

    def add_vm(vm_ref: str) -> None:
        if vm_ref in table:
            return
        add(vm_ref)
        vm = database.record("VM", vm_ref)
        for vif in vm["VIFs"]:
            add(vif)
            add(database.get("VIF", vif, "network"))
        for vbd in vm["VBDs"]:
            add(vbd)
            vdi = database.get("VBD", vbd, "VDI")
            if database.exists("VDI", vdi):
                add(vdi)
                add(database.get("VDI", vdi, "SR"))
        for field in ("guest_metrics", "resident_on", "affinity"):
            add(vm[field])
        for snapshot in vm["snapshots"] if snapshots else ():
            add_vm(snapshot)

    for vm in vms:
        add_vm(vm)
    return table


def document(database: Database, table: dict[str, str], *, snapshots: bool) -> bytes:
    """ova.xml for the objects of a table. VMs are Halted in it: memory does not travel."""
    objects = [
        {"class": name, "id": table[ref], "snapshot": _exported(database, name, record, table, snapshots)}
        for name in CLASSES
        for ref, record in database.records(name)
        if ref in table
    ]
    major, minor, *_ = XAPI_BUILD.split(".")
    version = {
        "hostname": SOFTWARE_VERSION["hostname"], "date": now(), "product_version": SOFTWARE_VERSION["product_version"],
        "product_brand": SOFTWARE_VERSION["product_brand"], "build_number": SOFTWARE_VERSION["build_number"],
        "xapi_major": int(major), "xapi_minor": int(minor), "export_vsn": EXPORT_VERSION,
    }  # fmt: skip
    return encode_value({"version": {**version, "date": str(version["date"])}, "objects": objects}).encode()


def _exported(database: Database, class_name: str, record: Record, table: dict[str, str], snapshots: bool) -> Record:
    exported = {}
    for name, field in database.model.classes[class_name].fields.items():
        emptied = name in {"allowed_operations", "current_operations"} or (
            class_name == "host" and name not in _HOST_KEEPS
        )
        exported[name] = zero(field.type) if emptied else _translated(field, record[name], table)
    if "currently_attached" in exported:
        exported["currently_attached"] = False
    if class_name == "VM":
        exported["power_state"] = "Halted"
        if not snapshots:
            exported.update(_SNAPSHOT)
    return exported


def _translated(field: Field, value: Any, table: dict[str, str]) -> Any:
    """A value with the archive's references; references to what does not travel are left out."""
    type_ = field.type
    if type_.kind == "ref":
        return table.get(value, NULL)
    if type_.kind == "set" and type_.item is not None and type_.item.kind == "ref":
        return [table[ref] for ref in value if ref in table]
    if type_.kind == "map" and "ref" in {type_.key.kind if type_.key else "", type_.item.kind if type_.item else ""}:
        return {}
    return copy_value(value)


# --- from an archive


def parse(database: Database, text: bytes) -> Metadata:
    """The objects of an ova.xml; fields that it lacks or spells otherwise get their zero. Raises IMPORT_ERROR."""
    try:
        source = decode_value(text)
        version = source["version"]
        exported = [(item["class"], item["id"], item["snapshot"]) for item in source["objects"]]
    except (KeyError, TypeError, ValueError) as error:
        raise XapiError("IMPORT_ERROR", f"ova.xml is not the record of a VM: {error}") from None
    if not isinstance(version, dict) or str(version.get("export_vsn", "0")) not in {"0", "1", "2"}:
        raise XapiError("IMPORT_INCOMPATIBLE_VERSION")
    return Metadata(
        [
            Exported(class_name, str(ref), _decoded(database, class_name, record))
            for class_name, ref, record in exported
            if class_name in CLASSES and isinstance(record, dict)
        ]
    )


def _decoded(database: Database, class_name: str, record: dict[str, Any]) -> Record:
    decoded: Record = {}
    for name, field in database.model.classes[class_name].fields.items():
        try:
            decoded[name] = decode(field.type, record[name])
        except (KeyError, XapiError):
            decoded[name] = zero(field.type)
    return decoded
