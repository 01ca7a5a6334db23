"""A plan's own rules: order, uniqueness, and what is shown of it."""

from __future__ import annotations

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._plan import Change, Plan

DISK = Change("disk:data", "create", "disk", "data", after={"size": "10 GiB"})
PLUG = Change("plug:data", "plug", "disk", "data", needs=("disk:data",))


def test_an_id_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="disk:data.*twice"):
        Plan((DISK, DISK))


@pytest.mark.parametrize("changes", [(PLUG,), (PLUG, DISK)], ids=["absent", "later"])
def test_a_change_is_refused_unless_what_it_needs_comes_before_it(changes: tuple[Change, ...]) -> None:
    with pytest.raises(ValueError, match="plug:data.*disk:data"):
        Plan(changes)


def test_an_empty_plan_changes_nothing_and_has_no_diff() -> None:
    plan = Plan(before={"vcpus": 2}, after={"vcpus": 2})
    assert plan.result(diff_mode=True) == {"changed": False, "changes": [], "diff": {"before": "", "after": ""}}


def test_the_result_shows_the_changes_in_order_and_the_whole_before_and_after() -> None:
    plan = Plan((DISK, PLUG), before={"disks": []}, after={"disks": ["data"]})
    assert plan.result(diff_mode=True) == {
        "changed": True,
        "changes": [
            {"action": "create", "kind": "disk", "name": "data", "after": {"size": "10 GiB"}},
            {"action": "plug", "kind": "disk", "name": "data"},
        ],
        "diff": {"before": {"disks": []}, "after": {"disks": ["data"]}},
    }


def test_no_diff_unless_asked_for() -> None:
    assert "diff" not in Plan((DISK,)).result(diff_mode=False)


def test_a_summary_tells_nothing_of_the_payload() -> None:
    change = Change("user-data", "write", "config drive", "shop", reason="not there", payload={"password": "hunter2"})
    assert change.summary() == {"action": "write", "kind": "config drive", "name": "shop", "reason": "not there"}
    assert "hunter2" not in repr(change)


def test_values_that_are_false_are_shown() -> None:
    change = Change("tags", "update", "vm", "shop", before=0, after=[])
    assert change.summary() == {"action": "update", "kind": "vm", "name": "shop", "before": 0, "after": []}
