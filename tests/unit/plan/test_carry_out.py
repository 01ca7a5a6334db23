"""How a plan is carried out: order, how many at once, failure and taking back."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._plan import (
    ApplyError,
    Change,
    Journal,
    Plan,
    Undo,
    carry_out,
)
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans of up to eight changes, each needing any of those before it."""
    changes: list[Change] = []
    for number in range(draw(st.integers(0, 8))):
        before = [change.id for change in changes]
        needs = tuple(draw(st.sets(st.sampled_from(before)))) if before else ()
        changes.append(Change(f"c{number}", "create", "thing", str(number), needs=needs))
    return Plan(tuple(changes))


@dataclass
class World:
    """A performer whose changes are seen as a set of ids, and which fails where it is told to."""

    failing: frozenset[str] = frozenset()
    made: set[str] = field(default_factory=set)
    began: list[str] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def perform(self, change: Change) -> Undo:
        with self._lock:
            self.began.append(change.id)
            if not self.made.issuperset(change.needs):
                self.out_of_order.append(change.id)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if change.id in self.failing:
                raise HardshellError(f"{change.id} was told to fail")
        finally:
            with self._lock:
                self._at_once -= 1
        with self._lock:
            self.made.add(change.id)
        return lambda: self.take_back(change)

    def take_back(self, change: Change) -> None:
        self.taken_back.append(change.id)
        self.made.remove(change.id)


def states(journal: Journal) -> list[tuple[str, str]]:
    return [(entry.change.id, entry.state) for entry in journal.entries]


def ids(plan: Plan) -> list[str]:
    return [change.id for change in plan.changes]


@given(plans(), st.integers(1, 4))
def test_every_change_is_done_once_after_what_it_needs(plan: Plan, workers: int) -> None:
    world = World()
    journal = carry_out(plan, world.perform, workers=workers)
    assert sorted(world.began) == sorted(ids(plan))
    assert world.out_of_order == []
    assert world.most_at_once <= workers
    assert sorted(states(journal)) == sorted((change, "done") for change in ids(plan))


@given(plans())
def test_one_worker_keeps_the_order_of_the_plan(plan: Plan) -> None:
    world = World()
    carry_out(plan, world.perform)
    assert world.began == ids(plan)


@given(plans().filter(lambda plan: plan.changed), st.integers(1, 4), st.data())
def test_with_undo_a_failure_leaves_nothing_behind(plan: Plan, workers: int, data: st.DataObject) -> None:
    failing = frozenset(data.draw(st.sets(st.sampled_from(ids(plan)), min_size=1)))
    world = World(failing)
    with pytest.raises(ApplyError) as caught:
        carry_out(plan, world.perform, workers=workers, undo=True)
    assert world.made == set()
    assert world.out_of_order == []
    journal = caught.value.details["journal"]
    done = [line["change"] for line in journal if line["state"] == "done"]
    undone = [line["change"] for line in journal if line["state"] == "undone"]
    assert undone == done[::-1]
    assert caught.value.change.id in failing


@given(plans().filter(lambda plan: plan.changed), st.integers(1, 4), st.data())
def test_without_undo_what_was_done_stays_and_what_needs_the_failed_is_not_begun(
    plan: Plan, workers: int, data: st.DataObject
) -> None:
    failed = data.draw(st.sampled_from(ids(plan)))
    world = World(frozenset({failed}))
    with pytest.raises(ApplyError):
        carry_out(plan, world.perform, workers=workers)
    assert world.made == set(world.began) - {failed}
    assert not [change.id for change in plan.changes if failed in change.needs and change.id in world.began]


def test_changes_that_do_not_need_each_other_run_at_once() -> None:
    plan = Plan((Change("a", "start", "vm", "a"), Change("b", "start", "vm", "b")))
    both_here = threading.Barrier(2, timeout=10)

    def perform(change: Change) -> None:
        both_here.wait()

    assert len(carry_out(plan, perform, workers=2).entries) == 2


def test_the_first_failure_is_told_with_its_details_and_those_under_way_are_waited_for() -> None:
    plan = Plan((Change("a", "start", "vm", "a"), Change("b", "start", "vm", "b"), Change("c", "start", "vm", "c")))
    a_failed = threading.Event()
    finished: list[str] = []

    def perform(change: Change) -> None:
        if change.id == "a":
            a_failed.set()
            raise HardshellError(
                "HOST_NOT_ENOUGH_FREE_MEMORY: 1 GiB asked, 512 MiB free", code="HOST_NOT_ENOUGH_FREE_MEMORY"
            )
        a_failed.wait(10)
        finished.append(change.id)

    with pytest.raises(ApplyError, match="could not start vm a: HOST_NOT_ENOUGH_FREE_MEMORY: 1 GiB") as caught:
        carry_out(plan, perform, workers=2)
    assert finished == ["b"]
    assert caught.value.details["code"] == "HOST_NOT_ENOUGH_FREE_MEMORY"
    lines = {line["change"]: line["state"] for line in caught.value.details["journal"]}
    assert lines == {"start vm a": "failed", "start vm b": "done"}


@pytest.mark.parametrize(
    "error", [HardshellError("busy"), OSError("gone"), KeyError("lost")], ids=["told", "os", "bug"]
)
def test_an_undo_that_fails_is_told_and_does_not_keep_the_others_from_running(error: Exception) -> None:
    plan = Plan(tuple(Change(name, "create", "vdi", name) for name in "abc"))
    taken_back: list[str] = []

    def perform(change: Change) -> Undo:
        if change.id == "c":
            raise HardshellError("SR_FULL")

        def undo() -> None:
            if change.id == "b":
                raise error
            taken_back.append(change.id)

        return undo

    with pytest.raises(
        ApplyError, match="could not create vdi c: SR_FULL.*could not be taken back: create vdi b"
    ) as caught:
        carry_out(plan, perform, undo=True)
    assert taken_back == ["a"]
    assert [line["state"] for line in caught.value.details["journal"]] == [
        "done",
        "done",
        "failed",
        "undo failed",
        "undone",
    ]


def test_a_programming_error_is_not_dressed_up_but_what_was_done_is_taken_back() -> None:
    plan = Plan((Change("a", "create", "vdi", "a"), Change("b", "create", "vdi", "b")))
    taken_back: list[str] = []

    def perform(change: Change) -> Undo:
        if change.id == "b":
            raise ZeroDivisionError
        return lambda: taken_back.append(change.id)

    with pytest.raises(ZeroDivisionError):
        carry_out(plan, perform, undo=True)
    assert taken_back == ["a"]


def test_progress_names_each_change_as_it_begins_and_each_step_back() -> None:
    plan = Plan((Change("a", "create", "vdi", "a"), Change("b", "create", "vdi", "b")))
    said: list[str] = []
    with pytest.raises(ApplyError):
        carry_out(plan, World(frozenset({"b"})).perform, undo=True, progress=said.append)
    assert said == ["create vdi a", "create vdi b", "take back: create vdi a"]
