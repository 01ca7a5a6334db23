# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What the pool knows of a guest: VM_guest_metrics, from what runs in the VM and what that reports."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xapi_lab.database import Record
from xapi_lab.values import NULL, now

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

KERNEL_FEATURES = {"feature-poweroff": "1", "feature-reboot": "1", "feature-suspend": "1"}
AGENT_FEATURES = {"feature-shutdown": "1", "feature-vcpu-hotplug": "1", "feature-balloon": "1"}
AGENT_VERSION = {"major": "8", "minor": "2", "micro": "1", "build": "100"}


def guest_kind(lab: Lab, vm: Record) -> str:
    """What runs in a VM: `agent` (kernel with Xen drivers and a guest agent), `kernel` (drivers only) or `silent`.

    `xenstore_data["FIST/guest"]` of the VM decides, the configuration's `guest` otherwise.
    """
    kind: str = vm["xenstore_data"].get("FIST/guest", lab.config.guest)
    return kind


def expect_agent(lab: Lab, vm_ref: str) -> None:
    if not lab.config.agent_delay:
        lab.agents.report(vm_ref, "presence", lambda: _appear(lab, vm_ref))
        return
    domid = lab.database.get("VM", vm_ref, "domid")
    lab.background(_agent_appears(lab, vm_ref, domid))


async def _agent_appears(lab: Lab, vm_ref: str, domid: int) -> None:
    await asyncio.sleep(lab.config.agent_delay)
    if lab.database.exists("VM", vm_ref) and lab.database.get("VM", vm_ref, "domid") == domid:
        lab.agents.report(vm_ref, "presence", lambda: _appear(lab, vm_ref))


def _appear(lab: Lab, vm_ref: str) -> None:
    ensure(lab, vm_ref)


def ensure(lab: Lab, vm_ref: str) -> str:
    """The VM's guest metrics, made when the running guest has none yet."""
    db = lab.database
    ref: str = db.get("VM", vm_ref, "guest_metrics")
    if not db.exists("VM_guest_metrics", ref):
        kind = guest_kind(lab, db.record("VM", vm_ref))
        drivers = kind != "silent"
        features = {"agent": {**KERNEL_FEATURES, **AGENT_FEATURES}, "kernel": dict(KERNEL_FEATURES)}.get(kind, {})
        version = dict(AGENT_VERSION) if kind == "agent" else {}
        if lab.backend_of(db.record("VM", vm_ref)) == "namespace":
            # A process's memory cannot be written to a disk; XAPI looks at features only where no version is told.
            features, version = {name: "1" for name in features if name != "feature-suspend"}, {}
        ref = db.create(
            "VM_guest_metrics",
            {"PV_drivers_up_to_date": drivers, "PV_drivers_detected": drivers, "live": True, "last_updated": now(),
             "other": features, "PV_drivers_version": version},
        )  # fmt: skip
        db.set("VM", vm_ref, "guest_metrics", ref)
    return ref


def report_addresses(lab: Lab, vm_uuid: str, addresses: Mapping[int, tuple[str, ...]]) -> None:
    """Publish the addresses that a guest was seen to use."""
    vm_ref = lab.database.find_uuid("VM", vm_uuid)
    if vm_ref is None or lab.database.get("VM", vm_ref, "power_state") not in {"Running", "Paused"}:
        return
    if guest_kind(lab, lab.database.record("VM", vm_ref)) != "agent":
        return

    def publish() -> None:
        metrics = ensure(lab, vm_ref)
        lab.database.update("VM_guest_metrics", metrics, networks=network_keys(addresses), last_updated=now())
        lab.save()

    lab.agents.report(vm_ref, "addresses", publish)


def network_keys(addresses: Mapping[int, tuple[str, ...]]) -> dict[str, str]:
    """Addresses by NIC device as VM_guest_metrics.networks has them: 0/ip, 0/ipv4/0, 0/ipv6/0."""
    networks: dict[str, str] = {}
    for device, values in sorted(addresses.items()):
        versions = {4: 0, 6: 0}
        for value in values:
            version = ipaddress.ip_address(value).version
            if version == 4 and not versions[4]:
                networks[f"{device}/ip"] = value
            networks[f"{device}/ipv{version}/{versions[version]}"] = value
            versions[version] += 1
    return networks


def report_os(lab: Lab, vm_uuid: str, os_version: Mapping[str, str]) -> None:
    vm_ref = lab.database.find_uuid("VM", vm_uuid)
    if vm_ref is None or lab.database.get("VM", vm_ref, "power_state") != "Running":
        return
    if guest_kind(lab, lab.database.record("VM", vm_ref)) != "agent":
        return

    def publish() -> None:
        metrics = ensure(lab, vm_ref)
        lab.database.update("VM_guest_metrics", metrics, os_version=dict(os_version), last_updated=now())
        lab.save()

    lab.agents.report(vm_ref, "os_version", publish)


def forget(lab: Lab, vm_ref: str) -> None:
    """What XAPI does before a start: addresses of the last run are gone."""
    metrics = lab.database.get("VM", vm_ref, "guest_metrics")
    lab.database.set("VM", vm_ref, "guest_metrics", NULL)
    if lab.database.exists("VM_guest_metrics", metrics):
        lab.database.destroy("VM_guest_metrics", metrics)
