# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.marks import Owner
from ansible_collections.hardshell.xen.plugins.module_utils._pool.snapshot_facts import Snapshot
from ansible_collections.hardshell.xen.plugins.module_utils._pool.snapshot_plan import (
    ObservedSnapshots,
    plan_snapshot,
    snapshot_spec,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import VmSpec
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime.datetime(2026, 6, 10, tzinfo=datetime.UTC)
VM = VmSpec("shop", Owner("acme", "shop"))
OPTIONS: dict[str, t.Any] = {
    "snapshot": "new",
    "state": "present",
    "description": None,
    "memory": False,
    "keep_last": None,
    "keep_for": None,
    "allow_power_cycle": False,
}


def days_ago(days: int, *, ours: bool = True) -> Snapshot:
    taken = (NOW - datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Snapshot(f"{days} days", uuid=f"u{days}", taken=taken, ref=f"r{days}", ours=ours)


def planned(snapshots: t.Iterable[Snapshot], *, state: str = "running", **options: t.Any) -> list[str]:
    spec = snapshot_spec({**OPTIONS, **options}, VM)
    ordered = tuple(sorted(snapshots, key=lambda each: each.taken))
    return [
        str(change) for change in plan_snapshot(spec, ObservedSnapshots("vm", "shop", state, ordered), NOW).plan.changes
    ]


def test_nothing_is_removed_unless_asked_for() -> None:
    assert planned([days_ago(900)]) == ["create snapshot new"]


@pytest.mark.parametrize(
    ("options", "removed"),
    [
        ({"keep_last": 1}, [9, 5, 2]),
        ({"keep_last": 3}, [9]),
        ({"keep_last": 9}, []),
        ({"keep_for": "3d"}, [9, 5]),
        ({"keep_for": "1w"}, [9]),
        ({"keep_last": 3, "keep_for": "1h"}, [9]),
        ({"keep_last": 1, "keep_for": "6d"}, [9]),
    ],
)
def test_what_no_rule_keeps_is_removed(options: dict[str, t.Any], removed: list[int]) -> None:
    there = [days_ago(days) for days in (9, 5, 2)]
    assert planned(there, **options) == ["create snapshot new", *(f"delete snapshot {days} days" for days in removed)]


def test_the_snapshots_of_others_are_neither_counted_nor_removed() -> None:
    there = [days_ago(9), days_ago(8, ours=False), days_ago(1, ours=False)]
    assert planned(there, keep_last=2) == ["create snapshot new"]
    assert planned(there, keep_last=1) == ["create snapshot new", "delete snapshot 9 days"]


def test_the_one_that_is_asked_for_is_never_removed() -> None:
    assert planned([days_ago(9), days_ago(1)], snapshot="9 days", keep_last=1) == []


@given(
    st.sets(st.integers(0, 40)),
    st.none() | st.integers(1, 5),
    st.none() | st.integers(1, 40),
    st.none() | st.sampled_from([0, 7]),
)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    ages: set[int], keep_last: int | None, keep_days: int | None, named: int | None
) -> None:
    keep_for = f"{keep_days}d" if keep_days else None
    name = "new" if named is None else f"{named} days"
    there = tuple(days_ago(days) for days in sorted(ages, reverse=True))
    spec = snapshot_spec({**OPTIONS, "snapshot": name, "keep_last": keep_last, "keep_for": keep_for}, VM)
    changes = plan_snapshot(spec, ObservedSnapshots("vm", "shop", "running", there), NOW).plan.changes
    gone = {change.name for change in changes if change.action == "delete"}
    left = [each for each in there if each.name not in gone]
    if any(change.action == "create" for change in changes):
        left.append(Snapshot(name, uuid="made", taken=NOW.strftime("%Y-%m-%dT%H:%M:%SZ"), ours=True))
    assert name in {each.name for each in left}
    assert not plan_snapshot(spec, ObservedSnapshots("vm", "shop", "running", tuple(left)), NOW).plan.changed


def test_what_an_interrupted_run_left_is_finished() -> None:
    left = Snapshot("new (hardshell.xen is making it)", uuid="u", taken="2026-06-09T00:00:00Z", ref="r")
    assert planned([left], keep_last=1) == ["create snapshot new"]
    assert planned([left], snapshot="new", state="halted", memory=True) == ["create snapshot new"]


@pytest.mark.parametrize(
    ("options", "state", "said"),
    [
        ({"keep_last": 0}, "running", "^keep_last: 0 cannot be used"),
        ({"keep_for": "3 fortnights"}, "running", "^keep_for: '3 fortnights' cannot be used"),
        ({"memory": True}, "halted", "^memory: True cannot be used; 'shop' is halted"),
        ({"snapshot": " "}, "running", "^snapshot: ' ' cannot be used"),
    ],
)
def test_what_cannot_be_done_is_refused(options: dict[str, t.Any], state: str, said: str) -> None:
    with pytest.raises(HardshellError, match=said):
        planned([], state=state, **options)
