# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.vm_snapshot``: the cycle, what a revert keeps, and runs that are killed."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session import Session, is_read

if t.TYPE_CHECKING:
    from conftest import Pool

SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}
BEFORE = {**SHOP, "snapshot": "before"}


class Killed(BaseException):
    """As a killed process: nothing catches it."""


def make(pool: Pool, **more: t.Any) -> dict[str, t.Any]:
    disks = [{"name": "data", "size": "1GiB"}]
    made: dict[str, t.Any] = pool.ok("vm", **SHOP, template="Debian Bookworm 12", disks=disks, state="running", **more)[
        "vm"
    ]
    return made


def cycle(pool: Pool, **arguments: t.Any) -> dict[str, t.Any] | None:
    """Check twice, for real twice: what is announced is done, and once done there is nothing more to do."""
    before = pool.contents()
    announced = pool.ok("vm_snapshot", check=True, **arguments)
    assert announced["changed"]
    assert announced["diff"]["before"] != announced["diff"]["after"]
    assert pool.mutating_calls() == {}
    assert pool.ok("vm_snapshot", check=True, **arguments)["changes"] == announced["changes"]
    assert pool.contents() == before
    done = pool.ok("vm_snapshot", **arguments)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    assert (done["snapshot"] or {}).keys() == (announced["snapshot"] or {}).keys()
    if arguments.get("state") != "reverted":
        again = pool.ok("vm_snapshot", **arguments)
        assert not again["changed"]
        assert again["diff"] == {"before": "", "after": ""}
        assert again["snapshot"] == done["snapshot"]
        assert pool.mutating_calls() == {}
    snapshot: dict[str, t.Any] | None = done["snapshot"]
    return snapshot


def names(pool: Pool) -> list[str]:
    (vm,) = pool.ok("vm_info", tenants=["acme"])["vms"]
    return [snapshot["name"] for snapshot in vm["snapshots"]]


@pytest.mark.parametrize("memory", [False, True])
def test_taken_reverted_to_and_removed(pool: Pool, memory: bool) -> None:
    made = make(pool, tags=["gold"])
    bare = pool.left_over()
    taken = cycle(pool, **BEFORE, memory=memory, description="as it was")
    assert taken is not None
    assert (taken["memory"], taken["description"]) == (memory, "as it was")
    assert pool.lab.records("VM")[pool.ref("VM", "before")]["other_config"]["hardshell:snapshot"] == "before"

    assert "Set allow_power_cycle: true" in pool.refused("vm_snapshot", **BEFORE, state="reverted")
    pool.ok("vm", **SHOP, description="changed since")
    cycle(pool, **BEFORE, state="reverted", allow_power_cycle=True)
    record = pool.record("VM", "shop")
    assert record["power_state"] == "Running"
    assert record["name_description"] == ""
    reverted = pool.ok("vm", **SHOP, template="Debian Bookworm 12", disks=[{"name": "data", "size": "1GiB"}])
    assert not reverted["changed"], reverted["changes"]
    assert (reverted["vm"]["uuid"], reverted["vm"]["tenant"]) == (made["uuid"], "acme")
    assert reverted["vm"]["disks"][0]["uuid"] != made["disks"][0]["uuid"], "a revert makes new disks"

    assert cycle(pool, **BEFORE, state="absent") is None
    assert pool.left_over() == bare
    pool.ok("vm", **SHOP, state="absent")
    assert pool.left_over() == {}


def test_a_halted_vm_stays_halted(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool)
    pool.ok("vm", **SHOP, state="halted")
    pool.ok("vm_snapshot", **BEFORE)
    cycle(pool, **BEFORE, state="reverted")
    assert pool.record("VM", "shop")["power_state"] == "Halted"
    assert "is halted and has no memory to keep" in pool.refused("vm_snapshot", **SHOP, snapshot="x", memory=True)


def test_the_marks_are_true_after_a_revert_to_before_they_were_made(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool)
    ref = pool.ref("VM", "shop")
    marks = {
        key: value for key, value in pool.record("VM", "shop")["other_config"].items() if key.startswith("hardshell:")
    }
    vdi = next(vdi for vdi, record in pool.lab.records("VDI").items() if "hardshell:disk" in record["other_config"])
    disk_marks = pool.lab.records("VDI")[vdi]["other_config"]
    for key in marks:
        pool.call("VM.remove_from_other_config", ref, key)
    for key in disk_marks:
        pool.call("VDI.remove_from_other_config", vdi, key)
    pool.call("VM.snapshot", ref, "before")
    for key, value in marks.items():
        pool.call("VM.add_to_other_config", ref, key, value)
    for key, value in disk_marks.items():
        pool.call("VDI.add_to_other_config", vdi, key, value)
    pool.ok("vm_snapshot", **BEFORE, state="reverted", allow_power_cycle=True)
    assert marks.items() <= pool.record("VM", "shop")["other_config"].items()
    pool.ok("vm", **SHOP, state="absent")
    assert pool.left_over() == {}


def test_old_ones_are_removed_and_those_of_others_stay(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool)
    pool.call("VM.snapshot", pool.ref("VM", "shop"), "by hand")
    for number in range(3):
        pool.ok("vm_snapshot", **SHOP, snapshot=f"nightly-{number}")
        taken = f"2026010{number + 1}T00:00:00Z"
        ref = pool.ref("VM", f"nightly-{number}")
        pool.lab.run(lambda lab, ref=ref, taken=taken: lab.database.set("VM", ref, "snapshot_time", taken))
    cycle(pool, **SHOP, snapshot="nightly-3", keep_last=2)
    assert sorted(names(pool)) == ["by hand", "nightly-2", "nightly-3"]
    cycle(pool, **SHOP, snapshot="nightly-3", keep_for="1d")
    assert sorted(names(pool)) == ["by hand", "nightly-3"]
    cycle(pool, **SHOP, snapshot="by hand", state="absent")
    assert names(pool) == ["nightly-3"]


def test_a_disk_of_a_snapshot_that_another_vm_holds_stays(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool)
    pool.ok("vm_snapshot", **BEFORE)
    vdi = next(ref for ref, record in pool.lab.records("VDI").items() if record["is_a_snapshot"])
    pool.ok("vm", name="rescue", tenant="acme", template="Debian Bookworm 12")
    vbd = {
        "VM": pool.ref("VM", "rescue"),
        "VDI": vdi,
        "userdevice": "1",
        "bootable": False,
        "mode": "RO",
        "type": "Disk",
    }
    pool.call(
        "VBD.create", {**vbd, "empty": False, "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}
    )
    pool.ok("vm_snapshot", **BEFORE, state="absent")
    assert vdi in pool.lab.records("VDI")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({**BEFORE, "name": "nobody", "host": "nobody"}, "name: 'nobody' cannot be used; acme has no such VM"),
        ({**BEFORE, "tenant": "globex"}, "is not that of globex/acme-shop, but belongs to acme/acme-shop"),
        ({**SHOP, "snapshot": "nothing", "state": "reverted"}, "has no snapshot of this VM of that name or UUID"),
        ({**SHOP, "snapshot": "twice", "state": "reverted"}, "several are named so; give the UUID of one"),
        ({**SHOP, "snapshot": "twice", "state": "absent"}, "several are named so; give the UUID of one"),
    ],
)
def test_what_cannot_be_done_is_refused_before_the_first_change(
    controller_pool: Pool, arguments: dict[str, t.Any], said: str
) -> None:
    pool = controller_pool
    make(pool)
    for _twice in range(2):
        pool.call("VM.snapshot", pool.ref("VM", "shop"), "twice")
    assert said in pool.refused("vm_snapshot", **arguments)


def test_nothing_to_remove_is_no_change(pool: Pool) -> None:
    assert not pool.ok("vm_snapshot", **BEFORE, state="absent")["changed"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("state", ["present", "absent", "reverted"])
def test_a_run_that_is_killed_at_any_call_is_finished_by_the_next(
    controller_pool: Pool, monkeypatch: pytest.MonkeyPatch, when: str, state: str
) -> None:
    pool = controller_pool
    make(pool)
    bare = without_tasks(pool.left_over())
    asked = {**BEFORE, "state": state, "allow_power_cycle": True}
    for nth in range(1, 40):
        if state != "present":
            pool.ok("vm_snapshot", **BEFORE)
        was_killed = _killed(pool, monkeypatch, nth, when, asked)
        pool.ok("vm_snapshot", **asked)
        if state != "reverted":
            assert not pool.ok("vm_snapshot", **asked)["changed"], nth
        assert names(pool) == ([] if state == "absent" else ["before"]), nth
        pool.ok("vm_snapshot", **BEFORE, state="absent")
        pool.ok("vm", **SHOP, state="running")
        assert without_tasks(pool.left_over()) == bare, nth
        if not was_killed:
            break
    else:
        raise AssertionError("never ran through")
    assert nth > 3


def without_tasks(left: dict[str, int]) -> dict[str, int]:
    """A task that the killed run began and nobody collects is the pool's to forget."""
    return {name: count for name, count in left.items() if name != "task"}


def _killed(pool: Pool, monkeypatch: pytest.MonkeyPatch, nth: int, when: str, asked: dict[str, t.Any]) -> bool:
    """Run it, killed at its n-th call that changes something. False where it ran through."""
    sent = Session.call
    count = 0

    def call(self: Session, method: str, *arguments: t.Any, asked: str | None = None) -> t.Any:
        nonlocal count
        if count >= nth:
            raise Killed
        if is_read(method):
            return sent(self, method, *arguments, asked=asked)
        count += 1
        if count == nth and when == "before":
            raise Killed
        answer = sent(self, method, *arguments, asked=asked)
        if count == nth:
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Session, "call", call)
        try:
            pool.ok("vm_snapshot", **asked)
        except Killed:
            return True
    return False
