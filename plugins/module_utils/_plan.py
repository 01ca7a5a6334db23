# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The plan: what would turn the observed into the asked for, and how it is carried out.

A planner is a pure function ``plan(spec, observed) -> Plan``. Check mode stops after it; diff mode renders it;
``carry_out`` is the only way to turn it into writes. Both sides, pool and engine, use this file and no other for it.
"""

from __future__ import annotations

import concurrent.futures
import time
import typing as t
from dataclasses import dataclass, field

from ._errors import HardshellError

Undo = t.Callable[[], None]
Perform = t.Callable[["Change"], "Undo | None"]


@dataclass(frozen=True)
class Change:
    """One step of a plan.

    ``id`` is unique in its plan and stable between runs (``disk:data``). ``action`` is a verb (create, update, delete, start, ...),
    ``kind`` and ``name`` say of what. ``before`` and ``after`` are what a person is shown: plain data, no secrets, None where there is nothing.
    ``needs`` are the ids of changes that must be done first. ``payload`` is what the performer needs besides; it is never shown.
    """

    id: str
    action: str
    kind: str
    name: str
    before: t.Any = None
    after: t.Any = None
    needs: tuple[str, ...] = ()
    reason: str = ""
    payload: t.Any = field(default=None, compare=False, repr=False)

    def summary(self) -> dict[str, t.Any]:
        """The change as an entry of the result's ``changes`` list."""
        shown: dict[str, t.Any] = {"action": self.action, "kind": self.kind, "name": self.name}
        if self.before is not None:
            shown["before"] = self.before
        if self.after is not None:
            shown["after"] = self.after
        if self.reason:
            shown["reason"] = self.reason
        return shown

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.name}"


@dataclass(frozen=True)
class Plan:
    """Changes in order. ``before`` and ``after`` are the whole thing as it is and as it will be, for the diff."""

    changes: tuple[Change, ...] = ()
    before: t.Mapping[str, t.Any] = field(default_factory=dict)
    after: t.Mapping[str, t.Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for change in self.changes:
            if change.id in seen:
                raise ValueError(f"plan holds {change.id!r} twice")
            missing = [need for need in change.needs if need not in seen]
            if missing:
                raise ValueError(f"{change.id!r} needs {missing}, which the plan does not hold before it")
            seen.add(change.id)

    @property
    def changed(self) -> bool:
        return bool(self.changes)

    def summaries(self) -> list[dict[str, t.Any]]:
        return [change.summary() for change in self.changes]

    def diff(self) -> dict[str, t.Any]:
        """Ansible's diff. Empty on both sides exactly when nothing changes."""
        if not self.changed:
            return {"before": "", "after": ""}
        return {"before": dict(self.before), "after": dict(self.after)}

    def result(self, diff_mode: bool) -> dict[str, t.Any]:
        """The keys that every module's result shares: ``changed``, ``changes`` and, when asked for, ``diff``."""
        shared: dict[str, t.Any] = {"changed": self.changed, "changes": self.summaries()}
        if diff_mode:
            shared["diff"] = self.diff()
        return shared


@dataclass
class Entry:
    """A line of the journal: what became of one change, and how long it took."""

    change: Change
    state: str
    seconds: float
    message: str = ""

    def summary(self) -> dict[str, t.Any]:
        line: dict[str, t.Any] = {"change": str(self.change), "state": self.state, "seconds": round(self.seconds, 3)}
        if self.message:
            line["message"] = self.message
        return line


class Journal:
    """What was done, failed and undone, in the order in which it ended."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def note(self, change: Change, state: str, seconds: float, message: str = "") -> None:
        self.entries.append(Entry(change, state, seconds, message))

    def summaries(self) -> list[dict[str, t.Any]]:
        return [entry.summary() for entry in self.entries]


class ApplyError(HardshellError):
    """A plan was not carried out. ``cause`` is the first failure; ``details['journal']`` tells what was done and undone."""

    def __init__(self, cause: BaseException, change: Change, journal: Journal) -> None:
        details = dict(cause.details) if isinstance(cause, HardshellError) else {}
        details["journal"] = journal.summaries()
        failed_undo = [entry for entry in journal.entries if entry.state == "undo failed"]
        message = f"could not {change}: {cause}"
        if failed_undo:
            left = "; ".join(f"{entry.change} ({entry.message})" for entry in failed_undo)
            message += f". These steps could not be taken back: {left}"
        super().__init__(message, **details)
        self.cause = cause
        self.change = change


def carry_out(
    plan: Plan,
    perform: Perform,
    *,
    workers: int = 1,
    undo: bool = False,
    progress: t.Callable[[str], None] = lambda text: None,
) -> Journal:
    """Carry out every change of ``plan``, each after those it needs, up to ``workers`` at once.

    ``perform`` does one change and may return a function that takes it back. At the first failure no further change is begun,
    those under way are waited for and, with ``undo``, everything done is taken back, the newest first. Raises ``ApplyError``.
    ``perform`` is called from several threads when ``workers`` is above 1.
    """
    journal = Journal()
    undos: list[tuple[Change, Undo]] = []
    failed: tuple[Change, BaseException] | None = None
    waiting = list(plan.changes)
    done: set[str] = set()
    running: dict[concurrent.futures.Future[Undo | None], tuple[Change, float]] = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        while (waiting and not failed) or running:
            if not failed:
                for change in [c for c in waiting if done.issuperset(c.needs)][: max(1, workers) - len(running)]:
                    waiting.remove(change)
                    progress(str(change))
                    running[pool.submit(perform, change)] = (change, time.monotonic())
            finished, _still = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in finished:
                change, began = running.pop(future)
                seconds = time.monotonic() - began
                problem = future.exception()
                if problem is None:
                    done.add(change.id)
                    journal.note(change, "done", seconds)
                    take_back = future.result()
                    if take_back is not None:
                        undos.append((change, take_back))
                else:
                    journal.note(change, "failed", seconds, str(problem))
                    failed = failed or (change, problem)
    if failed is None:
        return journal
    if undo:
        _take_back(undos, journal, progress)
    change, problem = failed
    if not isinstance(problem, (HardshellError, OSError)):
        raise problem
    raise ApplyError(problem, change, journal) from problem


def _take_back(undos: list[tuple[Change, Undo]], journal: Journal, progress: t.Callable[[str], None]) -> None:
    for change, take_back in reversed(undos):
        progress(f"take back: {change}")
        began = time.monotonic()
        try:
            take_back()
        except Exception as error:  # whatever it is, the steps before it must still be taken back
            journal.note(change, "undo failed", time.monotonic() - began, str(error))
        else:
            journal.note(change, "undone", time.monotonic() - began)
