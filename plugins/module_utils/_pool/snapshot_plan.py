# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm_snapshot`` is asked for, and the plan for it. Pure: the time is handed in."""

from __future__ import annotations

import datetime
import re
import typing as t
from dataclasses import dataclass, replace

from .._errors import HardshellError, OptionError
from .._plan import Change, Plan
from .converge import Outcome
from .option_checks import MOST_SECONDS, refuse_unwritable
from .pool_facts import one_named
from .power import power_changes, power_steps
from .snapshot_facts import Snapshot
from .times import parse_time
from .vm_spec import VmSpec

KIND = "snapshot"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class SnapshotSpec:
    """One snapshot of one VM. ``keep_for`` is seconds."""

    vm: VmSpec
    name: str
    state: str
    description: str = ""
    memory: bool = False
    keep_last: int | None = None
    keep_for: int | None = None
    allow_power_cycle: bool = False

    @property
    def making_name(self) -> str:
        """The name of a snapshot until it carries its mark: a run that is cut off there is known by it."""
        return f"{self.name} (hardshell.xen is making it)"


@dataclass(frozen=True)
class ObservedSnapshots:
    """The VM, None where there is none, and its snapshots, the oldest first. ``power_state`` is in lower case."""

    ref: str | None = None
    name: str = ""
    power_state: str = "halted"
    snapshots: tuple[Snapshot, ...] = ()


@dataclass(frozen=True)
class NewSnapshot:
    """A snapshot to be taken, or only to be finished where an interrupted run left ``unfinished``."""

    snapshot: Snapshot
    unfinished: Snapshot | None


@dataclass(frozen=True)
class RemovedSnapshot:
    snapshot: Snapshot


@dataclass(frozen=True)
class Revert:
    snapshot: Snapshot


def snapshot_spec(parameters: t.Mapping[str, t.Any], vm: VmSpec) -> SnapshotSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    refuse_unwritable(parameters)
    name = parameters["snapshot"]
    if not name.strip() or not name.isprintable():
        raise OptionError("snapshot", name, "give a name of printable characters")
    keep_last = parameters["keep_last"]
    if keep_last is not None and keep_last < 1:
        raise OptionError("keep_last", keep_last, "give a number of snapshots, 1 or more")
    for option in ("keep_last", "keep_for"):
        if parameters[option] is not None and parameters["state"] != "present":
            raise OptionError(option, parameters[option], "old snapshots are removed with state: present only")
    return SnapshotSpec(
        vm=vm,
        name=name,
        state=parameters["state"],
        description=parameters["description"] or "",
        memory=parameters["memory"],
        keep_last=keep_last,
        keep_for=_seconds(parameters["keep_for"]),
        allow_power_cycle=parameters["allow_power_cycle"],
    )


def plan_snapshot(spec: SnapshotSpec, observed: ObservedSnapshots, now: datetime.datetime) -> Outcome:
    """The plan for one snapshot. Raises ``HardshellError`` for what cannot be done, so before anything is changed."""
    if spec.state == "absent":
        return _plan_absent(spec, observed)
    if observed.ref is None:
        raise OptionError(
            "name", spec.vm.name, f"{spec.vm.owner.tenant} has no such VM to take a snapshot of or to revert"
        )
    if spec.state == "reverted":
        return _plan_reverted(spec, observed)
    return _plan_present(spec, observed, now)


def _plan_present(spec: SnapshotSpec, observed: ObservedSnapshots, now: datetime.datetime) -> Outcome:
    finished = [each for each in observed.snapshots if each.name != spec.making_name]
    unfinished = [each for each in observed.snapshots if each.name == spec.making_name]
    named = next((each for each in finished if spec.name in (each.name, each.uuid)), None)
    changes = []
    after = list(finished)
    left = unfinished
    if named is None:
        taken_up = unfinished[-1] if unfinished else None
        if spec.memory and taken_up is None and observed.power_state == "halted":
            raise OptionError(
                "memory", True, f"{observed.name!r} is halted and has no memory to keep; start it or leave memory out"
            )
        named = Snapshot(spec.name, spec.description, spec.memory, ours=True)
        reason = "an interrupted run left it unfinished" if taken_up else ""
        shown = {"vm": observed.name, "memory": named.memory, "description": named.description}
        payload = NewSnapshot(named, taken_up)
        changes.append(Change("snapshot", "create", KIND, spec.name, None, shown, reason=reason, payload=payload))
        after.append(named)
        left = unfinished[:-1]
    changes += [_removal(each, "an interrupted run left it") for each in left]
    outdated = _outdated(spec, named, after, now)
    changes += [_removal(each, "it is past what is kept") for each in outdated]
    kept = [each for each in after if each not in outdated]
    return _outcome(changes, observed, named, observed.snapshots, kept)


def _outdated(
    spec: SnapshotSpec, named: Snapshot, there: t.Sequence[Snapshot], now: datetime.datetime
) -> list[Snapshot]:
    """Which of our snapshots no rule keeps. Those of others are neither counted nor removed."""
    if spec.keep_last is None and spec.keep_for is None:
        return []
    ours = [each for each in there if each.ours]
    newest = ours[-spec.keep_last :] if spec.keep_last is not None else []
    return [
        each for each in ours if each is not named and each not in newest and not _is_young(each, spec.keep_for, now)
    ]


def _is_young(snapshot: Snapshot, keep_for: int | None, now: datetime.datetime) -> bool:
    taken = parse_time(snapshot.taken)
    return taken is None or (keep_for is not None and (now - taken).total_seconds() <= keep_for)


def _plan_absent(spec: SnapshotSpec, observed: ObservedSnapshots) -> Outcome:
    meant = [each for each in observed.snapshots if spec.name in (each.name, each.uuid)]
    if len(meant) > 1:
        meant = [one_named("snapshot", spec.name, meant, "snapshot")]
    meant += [each for each in observed.snapshots if each.name == spec.making_name]
    kept = [each for each in observed.snapshots if each not in meant]
    return _outcome([_removal(each, "") for each in meant], observed, None, observed.snapshots, kept)


def _plan_reverted(spec: SnapshotSpec, observed: ObservedSnapshots) -> Outcome:
    snapshot = one_named("snapshot", spec.name, observed.snapshots, "snapshot of this VM")
    state = observed.power_state
    if state != "halted" and not spec.allow_power_cycle:
        raise HardshellError(
            f"{observed.name!r} is {state}, and a revert throws away what it is doing. "
            "Set allow_power_cycle: true to have it turned off for that, or halt it first"
        )
    reverted = "suspended" if snapshot.memory else "halted"
    final = "running" if state in ("running", "paused") else reverted
    shown = {"snapshot": snapshot.name, "taken": snapshot.taken}
    changes = [
        Change(
            "revert",
            "revert",
            "vm",
            observed.name,
            {"power_state": state},
            {**shown, "power_state": reverted},
            payload=Revert(snapshot),
        ),
        *(
            replace(change, needs=("revert",))
            for change in power_changes(observed.name, reverted, power_steps(reverted, final))
        ),
    ]
    before = {"vm": observed.name, "power_state": state}
    after = {"vm": observed.name, "power_state": final, "reverted_to": shown}
    return Outcome(Plan(tuple(changes), before, after), snapshot.facts())


def _outcome(
    changes: list[Change],
    observed: ObservedSnapshots,
    named: Snapshot | None,
    before: t.Iterable[Snapshot],
    after: t.Iterable[Snapshot],
) -> Outcome:
    def listed(snapshots: t.Iterable[Snapshot]) -> dict[str, t.Any]:
        return {"vm": observed.name, "snapshots": [each.name for each in snapshots]}

    return Outcome(Plan(tuple(changes), listed(before), listed(after)), named.facts() if named else None)


def _removal(snapshot: Snapshot, reason: str) -> Change:
    before = {"uuid": snapshot.uuid, "taken": snapshot.taken}
    return Change(
        f"remove:{snapshot.uuid}",
        "delete",
        KIND,
        snapshot.name,
        before,
        None,
        reason=reason,
        payload=RemovedSnapshot(snapshot),
    )


def _seconds(value: str | None) -> int | None:
    if value is None:
        return None
    match = re.fullmatch(r"\s*(\d{1,12})\s*([smhdw])\s*", str(value).lower())
    if match is None or not 1 <= int(match[1]) * _UNITS[match[2]] <= MOST_SECONDS:
        raise OptionError(
            "keep_for", value, "give a number and a unit of s, m, h, d or w, such as 14d, and less than ten years"
        )
    return int(match[1]) * _UNITS[match[2]]
