# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""From a plan to the steps that carry it out all or nothing. Pure.

Make new containers beside the old; stop the old, consumers first; start the new, providers first (or, with ``update_order=start-first``, one member
after another); see all of them ready; change in place what can be;
then move the old names aside, give the new ones theirs, and remove the old. Up to the moving of names everything can be taken back.
"""

from __future__ import annotations

import typing as t

from .._plan import Change, Plan
from .links import start_order
from .plan import Work
from .replicas import providers_of
from .update_order import BESIDE, IN_TURN

Need = t.Iterable[str]


class Add(t.Protocol):
    """Adds a step that comes after those it needs, as far as there are such, and returns its id."""

    def __call__(
        self, identity: str, action: str, change: Change, *needs: Need, name: str = "", kind: str = "container"
    ) -> str: ...


def steps(plan: Plan) -> Plan:
    """The steps of ``plan``. Their payload is the payload of the change they belong to."""
    found: list[Change] = []

    def add(identity: str, action: str, change: Change, *needs: Need, name: str = "", kind: str = "container") -> str:
        known = {step.id for step in found}
        wanted = dict.fromkeys(need for group in needs for need in group if need in known)
        found.append(Change(identity, action, kind, name or change.name, needs=tuple(wanted), payload=change.payload))
        return identity

    def of(kind: str, *actions: str) -> list[Change]:
        return [
            change
            for change in plan.changes
            if change.kind == kind and change.action in actions and not change.id.startswith("leftover:")
        ]

    leftovers: list[str] = []
    for change in plan.changes:
        if change.id.startswith("leftover:"):
            leftovers.append(add(change.id, f"{change.action} leftover", change, leftovers))
    ground = list(leftovers)
    for kind in ("network", "volume"):
        ground += [add(change.id, "create", change, leftovers, kind=kind) for change in of(kind, "create")]
    new, old = of("container", "create", "replace"), of("container", "replace", "remove")
    # Who shares a namespace is made after the one that it is shared with, whose id it needs.
    staged = [
        add(f"stage:{c.name}", "create", c, ground, [f"stage:{other}" for other in _follows(c)], name=f"{c.name}.new")
        for c in _providers_first(new)
    ]
    joined = [
        add(change.id, change.action, change, ground, kind="connection")
        for change in of("connection", "connect", "reconnect")
    ]
    starting = [*new, *of("container", "start")]
    below = [*ground, *staged, *joined]
    if any(_work(change).order for change in [*new, *old]):
        gone = of("container", "remove")
        stopped, started, steady = _one_after_another(add, below, starting, gone)
    else:
        stopped, started, steady = _all_at_once(add, below, starting, old)
    updated = [add(f"update:{change.name}", "update", change, ground, steady) for change in of("container", "update")]
    ready = [*staged, *joined, *stopped, *started, *steady, *updated]
    retired = [add(f"retire:{change.name}", "retire", change, ready) for change in old]
    promoted = [add(f"promote:{change.name}", "promote", change, ready, retired) for change in new]
    cleared = [add(f"discard:{change.name}", "remove", change, ready, retired, promoted) for change in old]
    above = [*leftovers, *ready, *promoted, *cleared]
    parted = [
        add(change.id, "disconnect", change, above, kind="connection") for change in of("connection", "disconnect")
    ]
    networks = [add(change.id, "remove", change, above, parted, kind="network") for change in of("network", "remove")]
    for change in of("volume", "remove"):
        add(change.id, "remove", change, above, networks, kind="volume")
    return Plan(tuple(found))


def _all_at_once(
    add: Add, below: list[str], starting: list[Change], old: list[Change]
) -> tuple[list[str], list[str], list[str]]:
    """The old set is stopped, consumers first, and then the new one started, providers first."""
    stopped: list[str] = []
    before = _providers_before(old)
    for change in _consumers_first(old):
        consumers = (f"stop:{other}" for other, providers in before.items() if change.name in providers)
        stopped.append(add(f"stop:{change.name}", "stop", change, below, consumers))
    started = []
    for change in _providers_first(starting):
        providers = (f"start:{provider}" for provider in _providers_after(change))
        started.append(add(f"start:{change.name}", "start", change, below, stopped, providers))
    steady = [add(f"steady:{change.name}", "watch", change, started) for change in starting]
    return stopped, started, steady


def _one_after_another(
    add: Add, below: list[str], starting: list[Change], gone: list[Change]
) -> tuple[list[str], list[str], list[str]]:
    """Each member is replaced once its providers are. One that may run beside its old container takes over its name before that is stopped."""
    stopped: list[str] = []
    started: list[str] = []
    steady: list[str] = []
    last: list[str] = []
    for change in _providers_first(starting):
        name = change.name
        providers = [f"{verb}:{p}" for p in _providers_after(change) for verb in ("steady", "switch", "stop")]
        order = _work(change).order if change.action == "replace" else ""
        if order == IN_TURN:
            stopped.append(add(f"stop:{name}", "stop", change, below, last, providers))
        started.append(add(f"start:{name}", "start", change, below, providers, [f"stop:{name}"]))
        steady.append(add(f"steady:{name}", "watch", change, [f"start:{name}"]))
        if order == IN_TURN:
            last = [f"steady:{name}"]
        elif order == BESIDE:
            stopped.append(add(f"switch:{name}", "switch", change, [f"steady:{name}"]))
            stopped.append(add(f"stop:{name}", "stop", change, [f"switch:{name}"]))
    before = _providers_before(gone)
    for change in _consumers_first(gone):
        consumers = (f"stop:{other}" for other, providers in before.items() if change.name in providers)
        stopped.append(add(f"stop:{change.name}", "stop", change, below, list(stopped), steady, consumers))
    return stopped, started, steady


def _work(change: Change) -> Work:
    return t.cast(Work, change.payload)


def _follows(change: Change) -> t.Sequence[str]:
    wanted = _work(change).wanted
    return wanted.spec.follows if wanted else ()


def _providers_before(changes: list[Change]) -> dict[str, list[str]]:
    return providers_of({change.name: current for change in changes if (current := _work(change).current)})


def _providers_after(change: Change) -> t.Sequence[str]:
    wanted = _work(change).wanted
    return wanted.spec.providers if wanted else ()


def _providers_first(changes: list[Change]) -> list[Change]:
    by_name = {change.name: change for change in changes}
    return [by_name[name] for name in start_order({change.name: _providers_after(change) for change in changes})]


def _consumers_first(changes: list[Change]) -> list[Change]:
    by_name = {change.name: change for change in changes}
    return [by_name[name] for name in reversed(start_order(_providers_before(changes)))]
