# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A new pool from saved records: the lab's own or a real pool's. Records are all that comes; disks are empty."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from xapi_lab import model
from xapi_lab.calls.vif import is_device, is_mac
from xapi_lab.config import Config, ConfigError, HostShape, host_addresses
from xapi_lab.database import Database, is_uuid
from xapi_lab.machines.storage import QcowStorage
from xapi_lab.record_set import Records, RecordSetError, read
from xapi_lab.store import Store
from xapi_lab.values import NULL

DATABASE = "pool.sqlite"
_NAMES_OF_FILES = (
    ("SR", "uuid", is_uuid),
    ("VDI", "uuid", is_uuid),
    ("VM", "uuid", is_uuid),
    ("VIF", "uuid", is_uuid),
    ("VIF", "MAC", is_mac),
    ("VIF", "device", is_device),
)
"""Fields that name files, devices and sockets, with what they must be."""


def load(state_dir: Path, path: Path, config: Config) -> tuple[int, list[str]]:
    """Make the pool of an empty state directory from a record set; returns the number of objects and what was not read.

    Raises RecordSetError when the file is none, ConfigError when the directory has a pool.
    """
    if (state_dir / DATABASE).exists():
        raise ConfigError(
            f"{state_dir} has a pool already; name another directory with --state-dir, or remove this one"
        )
    known = model.load()
    records, unread = read(known, path)
    _check(records, path)
    _settle_hosts(records, config)
    backend = config.backend or "qemu"
    if backend != "none":
        _halt(records)
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = Database(known)
    for class_name, of_class in records.items():
        for ref, record in of_class.items():
            database.create(class_name, record, ref)
    store = Store(state_dir / DATABASE)
    store.put("backend", backend)
    store.save(database)
    store.close()
    if backend != "none":
        asyncio.run(_make_disks(state_dir, records))
    return sum(len(of_class) for of_class in records.values()), unread


def _check(records: Records, path: Path) -> None:
    """Refuse what cannot be a pool."""
    pools = records.get("pool", {})
    if len(pools) != 1:
        raise RecordSetError(f"{path}: one record of class pool is needed, {len(pools)} found")
    (pool,) = pools.values()
    if pool.get("master") not in records.get("host", {}):
        raise RecordSetError(f"{path}: the pool's master {pool.get('master')} is not among its hosts")
    for class_name, name, is_good in _NAMES_OF_FILES:
        for ref, record in records.get(class_name, {}).items():
            if not is_good(str(record.get(name, ""))):
                raise RecordSetError(f"{path}: {class_name} {ref} has {record.get(name)!r} as {name}, which is none")
    for host, record in records["host"].items():
        if record.get("metrics") not in records.get("host_metrics", {}):
            raise RecordSetError(f"{path}: host {host} has no host_metrics")


def _settle_hosts(records: Records, config: Config) -> None:
    """Give the hosts the lab's addresses, the coordinator the first one: it answers on loopback only."""
    hosts = records["host"]
    (pool,) = records["pool"].values()
    order = sorted(hosts, key=lambda host: host != pool["master"])
    records["host"] = {host: hosts[host] for host in order}
    shapes = tuple(HostShape(name=str(number)) for number in range(len(order)))
    for host, address in zip(order, host_addresses(replace(config, hosts=shapes)), strict=True):
        hosts[host]["address"] = address
        for pif in records.get("PIF", {}).values():
            if pif.get("host") == host and pif.get("management"):
                pif["IP"] = address


def _halt(records: Records) -> None:
    """VMs have no machine and no memory image here; those that ran are found to be gone at the first start."""
    for vm in records.get("VM", {}).values():
        if vm.get("power_state") == "Suspended":
            vm.update(power_state="Halted", suspend_VDI=NULL)


async def _make_disks(state_dir: Path, records: Records) -> None:
    """An empty file for each disk; media of host drives have none."""
    storage, srs = QcowStorage(), records.get("SR", {})
    for vdi in records.get("VDI", {}).values():
        sr = srs.get(vdi.get("SR", NULL))
        if sr is not None and sr.get("type") != "udev" and vdi.get("type") != "suspend":
            await storage.create(vdi["uuid"], state_dir / "sr" / sr["uuid"], vdi.get("virtual_size", 0))
