# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Guest agents on their way to the pool: faults make what they report late, stale or missing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from xapi_lab.faults import Fault

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

Publish = Callable[[], None]


class Agents:
    """Takes every report of a guest, publishes it unless a fault is in its way, and later when the fault has gone."""

    def __init__(self, lab: Lab, forget_metrics: Callable[[str], None]) -> None:
        """`forget_metrics` takes away the guest metrics of a VM (its reference)."""
        self._lab = lab
        self._forget_metrics = forget_metrics
        self._domains: dict[str, int] = {}
        self._reported: dict[str, dict[str, Publish]] = {}
        self._held: set[str] = set()

    def report(self, vm_ref: str, what: str, publish: Publish) -> None:
        """A guest reports something; a later report of the same kind takes its place."""
        domain = self._lab.database.get("VM", vm_ref, "domid")
        if self._domains.get(vm_ref) != domain:
            self._domains[vm_ref], self._reported[vm_ref] = domain, {}
            self._held.discard(vm_ref)
        self._reported[vm_ref][what] = publish
        fault = self._fault(vm_ref)
        if fault is None:
            publish()
            return
        fault.hits += 1
        if fault.agent == "late":
            seconds = fault.latency + random.uniform(0, fault.jitter)
            self._lab.background(self._publish_later(seconds, vm_ref, domain, publish))
        else:
            self._held.add(vm_ref)

    async def _publish_later(self, seconds: float, vm_ref: str, domain: int, publish: Publish) -> None:
        await asyncio.sleep(seconds)
        if self._is_domain(vm_ref, domain):
            publish()

    def faults_changed(self) -> None:
        """Publish what was held back by a fault that has gone, and drop what is missing from now on."""
        for vm_ref, domain in list(self._domains.items()):
            if not self._is_domain(vm_ref, domain):
                del self._domains[vm_ref], self._reported[vm_ref]
                self._held.discard(vm_ref)
                continue
            fault = self._fault(vm_ref)
            if fault is not None and fault.agent == "missing":
                self._forget_metrics(vm_ref)
                self._held.add(vm_ref)
            elif fault is None and vm_ref in self._held:
                self._held.discard(vm_ref)
                for publish in self._reported[vm_ref].values():
                    publish()
        self._lab.save()

    def _is_domain(self, vm_ref: str, domain: int) -> bool:
        database = self._lab.database
        return database.exists("VM", vm_ref) and database.get("VM", vm_ref, "domid") == domain

    def _fault(self, vm_ref: str) -> Fault | None:
        vm = self._lab.database.record("VM", vm_ref)
        return self._lab.faults.of_agent(vm["name_label"], vm["uuid"])
