# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Making the VMs of an archive's metadata in a pool, by the rules of import.ml."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from xapi_lab import memory
from xapi_lab.calls.infrastructure import create_network
from xapi_lab.calls.registry import Context
from xapi_lab.calls.vbd import add_vbd
from xapi_lab.calls.vdi import check_attached, create_vdi, destroy_vdi
from xapi_lab.calls.vif import create_vif
from xapi_lab.calls.vm_objects import destroy_vm
from xapi_lab.database import Record, is_uuid, new_uuid
from xapi_lab.errors import XapiError
from xapi_lab.operations import is_default_template
from xapi_lab.values import NULL
from xapi_lab.vm_metadata import Exported, Metadata

_NOT_IMPORTED = frozenset(
    {"uuid", "allowed_operations", "current_operations", "power_state", "domid", "memory_target", "is_control_domain",
     "is_default_template", "currently_attached", "blobs", "attached_PCIs", "generation_id",
     "requires_reboot", "pending_guidances", "VUSBs", "VTPMs", "VGPUs"}
)  # fmt: skip


@dataclass
class Import:
    """One import under way.

    `sr`: where disks are made; None when only metadata is imported, and disks are looked for. `restore`: keep uuids and
    MACs. `force`: put up with what is missing or not newer. What was made is undone by `undo`.
    """

    context: Context
    metadata: Metadata
    sr: str | None
    restore: bool = False
    force: bool = False
    known: dict[str, str] = field(default_factory=dict)
    """The pool's references by the archive's."""
    vms: list[str] = field(default_factory=list)
    """VMs that were made, snapshots included."""
    _undo: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def check(self) -> None:
        """Refuse what cannot be imported, before anything is made."""
        db = self.context.db
        for exported in self.metadata.of("VM"):
            vm = exported.record
            existing = db.find_uuid("VM", vm["uuid"]) if self.restore else None
            if existing is None:
                self._check_mac_seed(vm)
            elif not self.force:
                record = db.record("VM", existing)
                if record["power_state"] != "Halted":
                    raise XapiError("VM_BAD_POWER_STATE", existing, "Halted", record["power_state"])
                if record["version"] >= vm["version"]:
                    raise XapiError("VM_TO_IMPORT_IS_NOT_NEWER_VERSION", existing, record["version"], vm["version"])
        if self.sr is None:
            for disk in self.metadata.disks():
                if self._existing_disk(disk) is None and not self.force:
                    raise self._missing_disk(disk)

    def _check_mac_seed(self, vm: Record) -> None:
        seed = vm["other_config"].get("mac_seed")
        if not self.restore or seed is None:
            return
        for ref, record in self.context.db.records("VM"):
            if record["other_config"].get("mac_seed") == seed:
                raise XapiError("DUPLICATE_VM", ref)

    async def make(self) -> None:
        """Make networks, disks and VMs; disks are empty still."""
        for host in self.metadata.of("host"):
            self._know(host, self.context.db.find_uuid("host", host.record["uuid"]))
        for network in self.metadata.of("network"):
            await self._make_network(network)
        for vdi in self.metadata.of("VDI"):
            await self._make_vdi(vdi)
        for vm in self.metadata.of("VM"):
            self._make_vm(vm)
        for vbd in self.metadata.of("VBD"):
            self._make_vbd(vbd)
        for vif in self.metadata.of("VIF"):
            self._make_vif(vif)
        self._link_snapshots()

    async def undo(self) -> None:
        """Remove all that was made, the last first."""
        while self._undo:
            await self._undo.pop()()

    # --- one object

    def _know(self, exported: Exported, ref: str | None) -> None:
        if ref is not None:
            self.known[exported.ref] = ref

    def _plain(self, exported: Exported) -> Record:
        """The fields of a record that a new object takes over: no references, nothing of the moment."""
        fields = self.context.lab.model.classes[exported.class_name].fields
        plain: Record = {}
        for name, value in exported.record.items():
            type_ = fields[name].type
            if name in _NOT_IMPORTED or type_.kind == "ref" or (type_.item is not None and type_.item.kind == "ref"):
                continue
            plain[name] = value
        uuid = exported.record["uuid"]
        if self.restore and self.context.db.find_uuid(exported.class_name, uuid) is None:
            if not is_uuid(uuid):
                raise XapiError("IMPORT_ERROR", f"{exported.class_name} {exported.ref} has no UUID but {uuid!r}")
            plain["uuid"] = uuid
        return plain

    async def _make_network(self, exported: Exported) -> None:
        """By name, else by bridge, else a new one."""
        db, record = self.context.db, exported.record
        found = db.by_name_label("network", record["name_label"]) or [
            ref for ref, network in db.records("network") if network["bridge"] == record["bridge"]
        ]
        if found:
            self._know(exported, found[0])
            return
        network = create_network(self.context, {**self._plain(exported), "bridge": ""})
        self._know(exported, network)

        async def remove() -> None:
            db.destroy("network", network)

        self._undo.append(remove)

    async def _make_vdi(self, exported: Exported) -> None:
        if self.metadata.is_iso(exported.ref):
            self._know(exported, self._existing_medium(exported.record["location"]))
        elif self.sr is None:
            self._know(exported, self._existing_disk(exported.ref))
        else:
            fields = self.context.lab.model.classes["VDI"].fields
            plain = {name: value for name, value in self._plain(exported).items() if fields[name].in_constructor}
            sm_config = {"import_task": self.context.task}
            vdi = await create_vdi(self.context, {**plain, "SR": self.sr, "sm_config": sm_config, "read_only": False})
            self._know(exported, vdi)

            async def remove() -> None:
                if self.context.db.exists("VDI", vdi):
                    await destroy_vdi(self.context, vdi)

            self._undo.append(remove)

    def _existing_medium(self, location: str) -> str | None:
        db = self.context.db
        for ref, vdi in db.records("VDI"):
            if vdi["location"] == location and db.get("SR", vdi["SR"], "content_type") == "iso":
                return ref
        return None

    def _existing_disk(self, disk: str) -> str | None:
        """The disk at the same place of the same SR."""
        db, wanted = self.context.db, self.metadata.find(disk).record
        sr = db.find_uuid("SR", self.metadata.find(wanted["SR"]).record["uuid"])
        for ref in db.get("SR", sr, "VDIs") if sr is not None else ():
            if db.get("VDI", ref, "location") == wanted["location"]:
                return str(ref)
        return None

    def _missing_disk(self, disk: str) -> XapiError:
        wanted = self.metadata.find(disk).record
        sr = self.context.db.find_uuid("SR", self.metadata.find(wanted["SR"]).record["uuid"])
        if sr is None:
            return XapiError("VDI_CONTENT_ID_MISSING")
        return XapiError("VDI_LOCATION_MISSING", sr, wanted["location"])

    def _make_vm(self, exported: Exported) -> None:
        db, record = self.context.db, exported.record
        if record["is_a_template"] and is_default_template(record):
            found = db.by_name_label("VM", record["name_label"])
            self._know(exported, found[0] if found else None)
            return
        existing = db.find_uuid("VM", record["uuid"]) if self.restore else None
        if existing is not None:
            if db.get("VM", existing, "power_state") != "Halted":
                return  # forced: a VM that runs is left alone
            destroy_vm(self.context, existing)
        plain = self._plain(exported)
        plain["other_config"] = dict(plain["other_config"])
        if not self.restore:
            plain["other_config"]["mac_seed"] = new_uuid()
        plain.update(
            version=record["version"] + 1 if self.restore else 0,
            memory_overhead=memory.overhead(record["memory_static_max"], record["VCPUs_max"]),
            power_state="Halted", domid=-1, affinity=self.known.get(record["affinity"], NULL),
            metrics=db.create("VM_metrics", {"current_domain_type": "unspecified"}),
            guest_metrics=self._guest_metrics(record["guest_metrics"]),
        )  # fmt: skip
        vm = db.create("VM", plain)
        self._know(exported, vm)
        self.vms.append(vm)
        if not self.force:
            db.put_in_map("VM", vm, "current_operations", self.context.task, "import")

        async def remove() -> None:
            destroy_vm(self.context, vm)

        self._undo.append(remove)

    def _guest_metrics(self, ref: str) -> str:
        for exported in self.metadata.of("VM_guest_metrics"):
            if exported.ref == ref:
                plain = self._plain(exported)
                plain.pop("uuid", None)
                return self.context.db.create("VM_guest_metrics", plain)
        return NULL

    def _make_vbd(self, exported: Exported) -> None:
        vm, vdi = self.known.get(exported.record["VM"]), self.known.get(exported.record["VDI"], NULL)
        if vm not in self.vms or (vdi == NULL and exported.record["type"] != "CD"):
            return
        add_vbd(self.context, {**self._plain(exported), "VM": vm, "VDI": vdi, "device": "", "empty": vdi == NULL})

    def _make_vif(self, exported: Exported) -> None:
        vm, network = self.known.get(exported.record["VM"], NULL), exported.record["network"]
        if vm not in self.vms:
            return
        if network not in self.known:
            raise XapiError("IMPORT_ERROR_FAILED_TO_FIND_OBJECT", network)
        record = {**self._plain(exported), "VM": vm, "network": self.known[network]}
        create_vif(self.context, record if self.restore else {**record, "MAC": ""})

    def _link_snapshots(self) -> None:
        db = self.context.db
        for exported in self.metadata.of("VM"):
            vm: Any = self.known.get(exported.ref)
            if vm in self.vms:
                for name in ("snapshot_of", "parent"):
                    db.set("VM", vm, name, self.known.get(exported.record[name], NULL))

    # --- the end

    def finish(self) -> list[str]:
        """Release the VMs; returns those that are the result: all but snapshots."""
        db = self.context.db
        for vm in self.vms:
            db.remove_from_map("VM", vm, "current_operations", self.context.task)
        self._undo.clear()
        return [vm for vm in self.vms if not db.get("VM", vm, "is_a_snapshot")]


def destination(context: Context, sr: str | None) -> str:
    """The SR that an import goes to: the one that is named, else the pool's default."""
    chosen = sr if sr is not None else context.db.get("pool", context.db.refs("pool")[0], "default_SR")
    if not context.db.exists("SR", chosen):
        raise XapiError("DEFAULT_SR_NOT_FOUND" if sr is None else "HANDLE_INVALID", *([] if sr is None else ["SR", sr]))
    check_attached(context, chosen)
    return str(chosen)
