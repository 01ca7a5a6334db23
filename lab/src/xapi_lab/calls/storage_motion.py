# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Moving a VM with its disks to other SRs of the pool, and maybe to another host (xapi_vm_migrate.ml: migrate_send)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from xapi_lab import guests, placement
from xapi_lab.calls.migration import announce_move, carry_over
from xapi_lab.calls.registry import Context, call
from xapi_lab.calls.sr import pbd_plug
from xapi_lab.calls.vbd import change_medium
from xapi_lab.calls.vdi import check_attached, check_space, copy_vdi, derived_vdi, destroy_vdi, measure, storage_failure
from xapi_lab.calls.vm_power import move_suspend_image
from xapi_lab.database import Record, new_uuid
from xapi_lab.errors import XapiError
from xapi_lab.machines.contract import MachineError, StorageError
from xapi_lab.values import NULL

MOST_AT_ONCE = 3
"""Migrations with storage that a host sends at once."""
_COPY_REFUSED = (
    "Copy mode is disallowed on intra pool storage migration, try efficient alternatives, for example, VM.copy/clone."
)
_VIFS_REFUSED = "VIF mapping is not allowed for intra-pool migration -all VIFs must be on the same network"


@call("VM.assert_can_migrate")
async def assert_can_migrate(
    context: Context, vm_ref: str, dest: dict[str, str], live: bool, vdi_map: dict[str, str], vif_map: dict[str, str],
    options: dict[str, str] | None = None, vgpu_map: dict[str, str] | None = None,
) -> None:  # fmt: skip
    _check(context, vm_ref, dest.get("host", ""), vdi_map)
    if vif_map:
        raise XapiError("OPERATION_NOT_ALLOWED", _VIFS_REFUSED)


def _check(context: Context, vm_ref: str, host: str, vdi_map: dict[str, str]) -> None:
    """Raise why a VM cannot be sent; another pool than this one is not known."""
    db = context.db
    db.row("host", host)
    for vdi in _disks(context, vm_ref):
        if vdi not in vdi_map:
            raise XapiError("VDI_NOT_IN_MAP", vdi)
    for vdi, sr in vdi_map.items():
        source = db.get("VDI", vdi, "SR")
        db.row("SR", sr)
        if source != sr:
            _check_features(context, source, "VDI_MIRROR")
            _check_features(context, sr, "VDI_MIRROR_IN")
    refusal = placement.refusal(db, vm_ref, host, storage=False)
    if refusal is not None:
        raise refusal


def _check_features(context: Context, sr: str, mirror: str) -> None:
    """A storage manager that can mirror can be mirrored to (smint.ml)."""
    kind = context.db.get("SR", sr, "type")
    managers = [manager for _, manager in context.db.records("SM") if manager["type"] == kind]
    features = {name for manager in managers for name in manager["features"]}
    missing = [name for name in ("VDI_SNAPSHOT", mirror) if name.removesuffix("_IN") not in features]
    if missing:
        raise XapiError("SR_DOES_NOT_SUPPORT_MIGRATION", sr, ";".join(missing))


def _disks(context: Context, vm_ref: str) -> list[str]:
    """The disks of a VM that a migration must have a place for: those in its CD drives are none."""
    vbds = [context.db.record("VBD", vbd) for vbd in context.db.get("VM", vm_ref, "VBDs")]
    return [vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk" and context.db.exists("VDI", vbd["VDI"])]


@call("VM.migrate_send")
async def migrate_send(
    context: Context, vm_ref: str, dest: dict[str, str], live: bool, vdi_map: dict[str, str], vif_map: dict[str, str],
    options: dict[str, str], vgpu_map: dict[str, str] | None = None, vdi_format_map: dict[str, str] | None = None,
) -> str:  # fmt: skip
    async with context.operation("VM", vm_ref, "migrate_send"):
        await assert_can_migrate(context, vm_ref, dest, live, vdi_map, vif_map)
        if options.get("copy") == "true":
            raise XapiError("OPERATION_NOT_ALLOWED", _COPY_REFUSED)
        await _send(context, vm_ref, dest["host"], vdi_map)
    return vm_ref


@call("VDI.pool_migrate")
async def vdi_pool_migrate(context: Context, vdi: str, sr: str, options: dict[str, str]) -> str:
    db = context.db
    vbds = db.get("VDI", vdi, "VBDs")
    if not vbds:
        raise XapiError("VDI_NEEDS_VM_FOR_MIGRATE", vdi)
    vm_ref = db.get("VBD", vbds[0], "VM")
    async with context.operation("VM", vm_ref, "migrate_send"):
        db.row("SR", sr)
        used = [db.get("VBD", vbd, "VDI") for vbd in db.get("VM", vm_ref, "VBDs")]
        vdi_map = {**{other: db.get("VDI", other, "SR") for other in used if db.exists("VDI", other)}, vdi: sr}
        host = _host_for(context, vm_ref, set(vdi_map.values()))
        _check(context, vm_ref, host, vdi_map)
        await _send(context, vm_ref, host, vdi_map)
    return str(db.get("VBD", vbds[0], "VDI"))


def _host_for(context: Context, vm_ref: str, srs: Iterable[str]) -> str:
    """The VM's own host when it has all the SRs, else one that has."""
    db = context.db
    own = db.get("VM", vm_ref, "resident_on")
    for host in [own, *db.refs("host")]:
        reachable = all(host in placement.hosts_of_sr(db, sr) for sr in srs)
        if reachable and (host == own or placement.refusal(db, vm_ref, host, storage=False) is None):
            return str(host)
    raise XapiError("NO_HOSTS_AVAILABLE")


# --- the work


async def _send(context: Context, vm_ref: str, host: str, vdi_map: dict[str, str]) -> None:
    """Move the disks, then the machine if it runs; when either fails the disks are where they were."""
    db = context.db
    source, running = db.get("VM", vm_ref, "resident_on"), db.get("VM", vm_ref, "power_state") == "Running"
    _check_room(context, source)
    await _attach_srs(context, vm_ref, host, set(vdi_map.values()))
    targets = _all_targets(context, vm_ref, vdi_map)
    async with AsyncExitStack() as held:
        for vdi in targets:
            await held.enter_async_context(context.operation("VDI", vdi, "mirror"))
        await _eject_cds(context, vm_ref, vdi_map)
        moved: dict[str, str] = {}
        try:
            for vdi, sr in targets.items():
                context.progress(len(moved) / (len(targets) + 1))
                moved[vdi] = await _move_disk(context, vm_ref, vdi, sr)
            if db.get("VM", vm_ref, "power_state") == "Running":
                await carry_over(context, vm_ref, host)
            await _keep_suspend_image(context, vm_ref, host)
        except BaseException:
            await _move_back(context, vm_ref, moved)
            raise
        for vdi, new in moved.items():
            db.set("VDI", new, "snapshot_of", moved.get(origin := db.get("VDI", new, "snapshot_of"), origin))
            await destroy_vdi(context, vdi)
    if running:
        announce_move(context, vm_ref, source, host)


def _check_room(context: Context, source: str) -> None:
    under_way = [
        vm for _, vm in context.db.records("VM")
        if vm["resident_on"] == source and "migrate_send" in vm["current_operations"].values()
    ]  # fmt: skip
    if len(under_way) > MOST_AT_ONCE:
        raise XapiError("TOO_MANY_STORAGE_MIGRATES", MOST_AT_ONCE)


async def _attach_srs(context: Context, vm_ref: str, host: str, srs: Iterable[str]) -> None:
    """Plug the SRs that the host would have if they were plugged; raise what it cannot have."""
    db = context.db
    for sr in srs:
        for pbd in db.get("SR", sr, "PBDs"):
            if db.get("PBD", pbd, "host") == host and not db.get("PBD", pbd, "currently_attached"):
                await pbd_plug(context, pbd)
        if host not in placement.hosts_of_sr(db, sr):
            raise XapiError("SR_NOT_ATTACHED", db.get("SR", sr, "uuid"))


def _all_targets(context: Context, vm_ref: str, vdi_map: dict[str, str]) -> dict[str, str]:
    """Where each disk goes that changes its SR: disks of snapshots follow those that they are of, others to the default SR."""
    db = context.db
    targets = {vdi: vdi_map[vdi] for vdi in _disks(context, vm_ref)}
    default = db.get("pool", db.refs("pool")[0], "default_SR")
    for snapshot in db.get("VM", vm_ref, "snapshots"):
        for vdi in _disks(context, snapshot):
            sr = vdi_map.get(vdi, vdi_map.get(db.get("VDI", vdi, "snapshot_of"), default))
            if not db.exists("SR", sr):
                raise XapiError("VDI_NOT_IN_MAP", vdi)
            targets[vdi] = sr
    return {vdi: sr for vdi, sr in targets.items() if sr != db.get("VDI", vdi, "SR")}


async def _eject_cds(context: Context, vm_ref: str, vdi_map: dict[str, str]) -> None:
    """CDs do not travel, unless they are said to stay on their SR or the VM is suspended."""
    db = context.db
    if db.get("VM", vm_ref, "power_state") == "Suspended":
        return
    for ref in db.get("VM", vm_ref, "VBDs"):
        vbd = db.record("VBD", ref)
        if vbd["type"] != "CD" or not db.exists("VDI", vbd["VDI"]):
            continue
        if vdi_map.get(vbd["VDI"]) != db.get("VDI", vbd["VDI"], "SR"):
            await change_medium(context, ref, NULL)


async def _move_disk(context: Context, vm_ref: str, vdi: str, sr: str) -> str:
    """A VDI on another SR in the place of one, for all VBDs that have it; the present one stays."""
    db = context.db
    record = db.record("VDI", vdi)
    attached = [vbd for vbd in record["VBDs"] if db.get("VBD", vbd, "currently_attached")]
    if not attached:
        new = await copy_vdi(context, vdi, sr)
    else:
        new = await _empty_vdi(context, vdi, sr)
        try:
            await _switch(context, vm_ref, attached[0], new)
        except BaseException:
            await destroy_vdi(context, new)
            raise
    kept = {name: record[name] for name in ("is_a_snapshot", "snapshot_of", "snapshot_time", "read_only")}
    db.update("VDI", new, **kept, **_metadata_after(record, mirrored=bool(attached)))
    _replace(context, vdi, new)
    await measure(context, new)
    return new


def _metadata_after(record: Record, *, mirrored: bool) -> dict[str, Any]:
    """What clients wrote on a VDI is not carried over: the storage manager makes the new one from a few fields of its own (storage_smapiv1.ml).

    A mirror copies the tags (storage_smapiv1_migrate.ml), and xapi one key of other_config (xapi_globs.ml: vdi_other_config_sync_keys).
    """
    synchronised = {key: value for key, value in record["other_config"].items() if key == "config-drive"}
    return {"other_config": synchronised, "xenstore_data": {}, "tags": record["tags"] if mirrored else []}


def _replace(context: Context, vdi: str, new: str) -> None:
    for vbd in list(context.db.get("VDI", vdi, "VBDs")):
        context.db.set("VBD", vbd, "VDI", new)


async def _empty_vdi(context: Context, vdi: str, sr: str) -> str:
    record = context.db.record("VDI", vdi)
    check_attached(context, sr)
    check_space(context, sr, record["physical_utilisation"])
    uuid = new_uuid()
    try:
        await context.lab.storage.create(uuid, context.lab.sr_path(sr), record["virtual_size"])
    except StorageError as error:
        raise storage_failure(error) from error
    return derived_vdi(context, record, uuid, sr)


async def _switch(context: Context, vm_ref: str, vbd: str, vdi: str) -> None:
    """Let a running machine go on with another VDI in a VBD."""
    db = context.db
    disk = guests.disk_spec(context.lab, {**db.record("VBD", vbd), "VDI": vdi})
    try:
        await context.lab.machines.move_disk(
            db.get("VM", vm_ref, "uuid"), replace(disk, read_only=False), context.progress
        )
    except MachineError as error:
        host = db.get("host", db.get("VM", vm_ref, "resident_on"), "uuid")
        raise XapiError("VM_MIGRATE_FAILED", vm_ref, host, host, str(error)) from error


async def _move_back(context: Context, vm_ref: str, moved: dict[str, str]) -> None:
    """Let a VM have its disks where they were; a disk that cannot go back stays where it went."""
    db = context.db
    for vdi, new in reversed(moved.items()):
        attached = [vbd for vbd in db.get("VDI", new, "VBDs") if db.get("VBD", vbd, "currently_attached")]
        try:
            if attached:
                await _switch(context, vm_ref, attached[0], vdi)
            _replace(context, new, vdi)
            await destroy_vdi(context, new)
        except XapiError:
            await destroy_vdi(context, vdi)


async def _keep_suspend_image(context: Context, vm_ref: str, host: str) -> None:
    """The memory of a suspended VM goes where its host can read it."""
    db = context.db
    suspended = db.get("VM", vm_ref, "suspend_VDI")
    if db.exists("VDI", suspended) and host not in placement.hosts_of_sr(db, db.get("VDI", suspended, "SR")):
        pool = db.record("pool", db.refs("pool")[0])
        wanted = (pool["suspend_image_SR"], db.get("host", host, "suspend_image_sr"), pool["default_SR"])
        sr = next((sr for sr in wanted if db.exists("SR", sr)), NULL)
        if sr == NULL:
            raise XapiError("VDI_NOT_IN_MAP", suspended)
        move_suspend_image(context, vm_ref, sr)
    own = db.get("VM", vm_ref, "suspend_SR")
    if db.exists("SR", own) and host not in placement.hosts_of_sr(db, own):
        db.set("VM", vm_ref, "suspend_SR", NULL)
