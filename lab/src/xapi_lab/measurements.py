# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What is measured of VMs and hosts every few seconds, under the names and units of XAPI's data sources.

Figures of a VM are those of its machine's process. What the machine does not tell is left out: no figure is made up.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING

from xapi_lab import guests, memory
from xapi_lab.machines.contract import MachineError, Usage
from xapi_lab.rrd import STEP, Rrd, Source

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

_LOG = logging.getLogger(__name__)
KIB = 2**10
SAVE_SECONDS = 600.0
EXTREMES_KEY = "create_min_max_in_new_VM_RRDs"
"""Key of pool.other_config: archives that are made from then on have MIN and MAX."""


class Measurements:
    """The archives of a lab's VMs and hosts, by uuid. A file keeps them from one start of the lab to the next."""

    def __init__(self, lab: Lab) -> None:
        self.vms: dict[str, Rrd] = {}
        self.hosts: dict[str, Rrd] = {}
        self._lab = lab
        self._file = lab.state_dir / "measurements.json"
        self._before: dict[str, tuple[float, Usage]] = {}
        self._seen = False

    async def run(self) -> None:
        """Measure once a step, for ever."""
        saved = time.monotonic()
        while True:
            await asyncio.sleep(STEP - time.time() % STEP)
            await self.measure()
            if time.monotonic() - saved > SAVE_SECONDS:
                saved = time.monotonic()
                self.save()

    def save(self) -> None:
        """Write all archives to the file, if there are any."""
        if not self.vms and not self.hosts:
            return
        plain = {
            kind: {uuid: rrd.as_plain_data() for uuid, rrd in rrds.items()} for kind, rrds in self._kinds().items()
        }
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps(plain, separators=(",", ":")))
        new.replace(self._file)

    def load(self) -> None:
        """Read what an earlier lab saved; a file that cannot be read is left out, since figures can be had anew."""
        try:
            plain = json.loads(self._file.read_text())
            for kind, rrds in self._kinds().items():
                rrds.update({uuid: Rrd.from_plain_data(rrd) for uuid, rrd in plain[kind].items()})
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            _LOG.warning("earlier measurements in %s are left out: %s", self._file, error)

    def _kinds(self) -> dict[str, dict[str, Rrd]]:
        return {"vms": self.vms, "hosts": self.hosts}

    def _archive(self, rrds: dict[str, Rrd], uuid: str) -> Rrd:
        """A VM's or host's archive; a new one keeps what the pool asks for (monitor_master.ml)."""
        if uuid not in rrds:
            pool = self._lab.database.record("pool", self._lab.members.pool)
            rrds[uuid] = Rrd(extremes=pool["other_config"].get(EXTREMES_KEY) == "true")
        return rrds[uuid]

    async def measure(self) -> None:
        """Measure all running VMs and all hosts now."""
        database, now = self._lab.database, time.time()
        running = [
            (ref, vm["uuid"])
            for ref, vm in database.records("VM")
            if vm["power_state"] in {"Running", "Paused"} and not vm["is_control_domain"]
        ]
        busy: dict[str, float] = {}
        for ref, uuid in running:
            try:
                usage = await self._lab.machines.usage(uuid)
            except MachineError as error:  # it ended a moment ago
                _LOG.debug("machine %s was not measured: %s", uuid, error)
                continue
            if database.exists("VM", ref):
                busy[ref] = self._add_vm(ref, uuid, usage, now)
        for host in database.refs("host"):
            self._add_host(host, busy, now)
        self._seen = True
        self._forget_destroyed()

    def _add_vm(self, ref: str, uuid: str, usage: Usage, now: float) -> float:
        """Take in what a machine used; returns how many CPUs it kept busy since it was measured last."""
        database = self._lab.database
        vm = database.record("VM", ref)
        measured = {
            Source("memory", "Memory currently allocated to VM", "B"): float(usage.memory),
            Source("memory_target", "Target of VM balloon driver", "B"): float(vm["memory_target"]),
        }
        before = self._before.get(uuid)
        self._before[uuid] = (now, usage)
        busy = 0.0
        if before is not None and now > before[0] and not _restarted(before[1], usage):
            measured |= rates(before[1], usage, now - before[0])
            busy = (sum(usage.cpu_seconds) - sum(before[1].cpu_seconds)) / (now - before[0])
        self._archive(self.vms, uuid).add(now, measured)
        return busy

    def _add_host(self, host: str, busy: dict[str, float], now: float) -> None:
        database = self._lab.database
        record = database.record("host", host)
        total = int(database.get("host_metrics", record["metrics"], "memory_total"))
        here = [database.record("VM", vm) for vm in record["resident_VMs"]]
        cpus = int(record["cpu_info"].get("cpu_count", "0")) or 1
        used = sum(busy.get(vm, 0.0) for vm in record["resident_VMs"])
        measured = {
            Source("memory_total_kib", "Total amount of memory in the host", "KiB"): total / KIB,
            Source("memory_free_kib", "Total amount of free memory", "KiB"): memory.free(database, host) / KIB,
            Source("running_domains", "Total number of running domains", "count"): float(len(here)),
            Source("running_vcpus", "The total number of running vCPUs per host", "count"): float(
                sum(vm["VCPUs_at_startup"] for vm in here if vm["power_state"] == "Running")
            ),
        }
        if self._seen:
            measured[Source("cpu_avg", "Average physical cpu usage", "(fraction)", 1.0)] = min(1.0, used / cpus)
            measured[Source("hostload", "vCPUs that run or could run, per physical CPU", "(fraction)")] = used / cpus
        self._archive(self.hosts, record["uuid"]).add(now, measured)

    def _forget_destroyed(self) -> None:
        database = self._lab.database
        for uuid in [uuid for uuid in self.vms if database.find_uuid("VM", uuid) is None]:
            del self.vms[uuid]
            self._before.pop(uuid, None)
        for uuid in [uuid for uuid in self.hosts if database.find_uuid("host", uuid) is None]:
            del self.hosts[uuid]


def _restarted(before: Usage, after: Usage) -> bool:
    """Whether a machine's totals began anew."""
    return len(before.cpu_seconds) != len(after.cpu_seconds) or any(
        new < old for old, new in zip(before.cpu_seconds, after.cpu_seconds, strict=True)
    )


def rates(before: Usage, after: Usage, seconds: float) -> dict[Source, float]:
    """What a machine did between two readings of its totals, a second."""
    found: dict[Source, float] = {}
    cpus = [min(1.0, (new - old) / seconds) for old, new in zip(before.cpu_seconds, after.cpu_seconds, strict=True)]
    for number, share in enumerate(cpus):
        found[Source(f"cpu{number}", f"CPU{number} usage", "(fraction)", 1.0)] = share
    if cpus:
        found[Source("cpu_usage", "Domain CPU usage", "(fraction)", 1.0)] = sum(cpus) / len(cpus)
    for device in before.nics.keys() & after.nics.keys():
        received, sent = _a_second(before.nics[device], after.nics[device], seconds)
        where = f"on virtual interface number '{device}'"
        found[Source(f"vif_{device}_rx", f"Bytes per second received {where}", "B/s")] = received
        found[Source(f"vif_{device}_tx", f"Bytes per second transmitted {where}", "B/s")] = sent
    for device in before.disks.keys() & after.disks.keys():
        read, written = _a_second(before.disks[device], after.disks[device], seconds)
        name = guests.device_name(device)
        found[Source(f"vbd_{name}_read", f"Reads from device '{name}' in bytes per second", "B/s")] = read
        found[Source(f"vbd_{name}_write", f"Writes to device '{name}' in bytes per second", "B/s")] = written
    return found


def _a_second(before: tuple[int, int], after: tuple[int, int], seconds: float) -> tuple[float, float]:
    return max(0, after[0] - before[0]) / seconds, max(0, after[1] - before[1]) / seconds
