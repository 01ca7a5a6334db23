# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.usage_info`` does: which VMs, what was measured of them, and the sums.

Beside the calls that find the VMs it takes at most four requests to each host that one of them runs on, and one for each VM that does not run.
"""

from __future__ import annotations

import datetime
import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .._module import Context
from .bulk_reads import snapshot_of
from .connection import connection_options
from .fleet_observe import read_fleet
from .metering import Usage, spans, usage_of
from .rrd import Archive
from .rrd_read import Unreadable, read_host, read_vm
from .session import Session
from .times import parse_time
from .vm_facts import Vm
from .vm_filter import vm_filter

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MOST_DAYS = 366


@dataclass(frozen=True)
class Measured:
    """A VM and what it used; ``usage`` is None where nobody could tell, and ``problem`` says why."""

    vm: Vm
    usage: Usage | None
    problem: str = ""

    def facts(self) -> dict[str, t.Any]:
        vm = self.vm
        return {
            "name": vm.name,
            "uuid": vm.uuid,
            "tenant": vm.owner.tenant if vm.owner else None,
            "inventory_host": vm.owner.host if vm.owner else None,
            "power_state": vm.power_state,
            "host": vm.host,
            "usage": self.usage.facts() if self.usage else None,
            "disk_bytes": provisioned([vm]),
        }


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Tell what VMs and tenants used over a time."""
    wanted = vm_filter(parameters)
    moments = {option: _Moment(option, parameters[option]) for option in ("since", "until")}
    with Session(connection_options(parameters), context.warn) as session:
        fleet = [each.vm for each in read_fleet(session, wanted)]
        seen = snapshot_of(session, "pool", "host")
        now = _now(session, next(iter(seen["pool"].values()))["master"])
        until = min(moments["until"].at(now), now)
        since = moments["since"].at(until)
        if since >= until:
            raise OptionError(
                "since", parameters["since"], "give a time before until and before now, or how long, such as 24h"
            )
        addresses = {ref: record["address"] for ref, record in seen["host"].items()}
        measured = read_usage(session, fleet, addresses, since, until, now)
    for problem in sorted({each.problem for each in measured if each.problem}):
        context.warn(f"what was measured is not complete: {problem}")
    return {
        "changed": False,
        "since": _iso(since),
        "until": _iso(until),
        "vms": [each.facts() for each in measured],
        "tenants": tenants_of(measured),
    }


def read_usage(
    session: Session, fleet: t.Sequence[Vm], addresses: t.Mapping[str, str], since: float, until: float, now: float
) -> list[Measured]:
    """What each VM used. A host that cannot be asked costs the figures of its own VMs."""
    by_host: dict[str, list[Vm]] = {}
    for vm in fleet:
        if vm.host_ref in addresses:
            by_host.setdefault(str(vm.host_ref), []).append(vm)
    found: dict[str, Measured] = {}
    for host, vms in by_host.items():
        only = str(vms[0].uuid) if len(vms) == 1 else "all"
        archives: dict[str, list[Archive]] = {}
        problem = ""
        try:
            for span in spans(since, until, now):
                for uuid, archive in read_host(session, addresses[host], span.step, span.start, only).items():
                    archives.setdefault(uuid, []).append(archive)
        except Unreadable as error:
            problem = f"{vms[0].host}: {error.message}"
        for vm in vms:
            usage = None if problem else usage_of(archives.get(str(vm.uuid), ()), since, until)
            found[str(vm.uuid)] = Measured(vm, usage, problem)
    for vm in fleet:
        if str(vm.uuid) not in found:
            found[str(vm.uuid)] = _of_one(session, vm, since, until)
    return [found[str(vm.uuid)] for vm in fleet]


def _of_one(session: Session, vm: Vm, since: float, until: float) -> Measured:
    try:
        return Measured(vm, usage_of(read_vm(session, str(vm.uuid)), since, until))
    except Unreadable as error:
        return Measured(vm, None, f"{vm.name}: {error.message}")


def tenants_of(measured: t.Sequence[Measured]) -> list[dict[str, t.Any]]:
    """The sums, by tenant. Those of VMs that nobody knows are left out, and ``complete`` says that they are. Pure."""
    names = sorted({each.vm.owner.tenant for each in measured if each.vm.owner})
    sums = []
    for name in names:
        own = [each for each in measured if each.vm.owner and each.vm.owner.tenant == name]
        known = [each.usage for each in own if each.usage is not None]
        sums.append(
            {
                "name": name,
                "vms": len(own),
                "complete": len(known) == len(own),
                "usage": sum(known, Usage()).facts(),
                "disk_bytes": provisioned([each.vm for each in own]),
            }
        )
    return sums


def provisioned(vms: t.Iterable[Vm]) -> int:
    """The virtual sizes of the disks of VMs, each disk once."""
    return sum({str(disk.vdi): disk.size for vm in vms for disk in vm.disks}.values())


class _Moment:
    """A moment as the user wrote it: a time in ISO 8601, in UTC where it does not say, or how long before another moment."""

    def __init__(self, option: str, written: str | None) -> None:
        self._back: float | None = 0.0
        self._time = 0.0
        text = (written or "").strip()
        back = re.fullmatch(r"(\d{1,9})\s*([smhdw])", text.lower())
        if back:
            self._back = float(int(back[1]) * _UNITS[back[2]])
        elif text:
            self._back = None
            self._time = _parsed(option, text)
        if self._back is not None and self._back > _MOST_DAYS * 86400:
            raise OptionError(option, written, "XAPI keeps what it measured for a year; give 366d or less")

    def at(self, reference: float) -> float:
        return self._time if self._back is None else reference - self._back


def _parsed(option: str, text: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        expected = "give a time such as 2026-05-01T00:00:00Z, or how long ago, such as 24h or 30d"
        raise OptionError(option, text, expected) from None


def _now(session: Session, coordinator: str) -> float:
    """The pool's own time: the archives are by its clock, not by ours."""
    moment = parse_time(session.call("host.get_servertime", coordinator, asked="ask for the time"))
    return moment.timestamp() if moment else datetime.datetime.now(datetime.UTC).timestamp()


def _iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
