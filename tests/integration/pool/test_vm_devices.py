# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The devices of a VM that is there already: each option through check mode, for real and once more."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from conftest import Pool

FRONT = "Pool-wide network associated with eth0"
INSIDE = "Host internal management network"
SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}
NEW = {**SHOP, "template": "Debian Bookworm 12"}
MOST_CALLS = 6


def cycle(pool: Pool, **arguments: t.Any) -> dict[str, t.Any]:
    """Check, for real, and again: what is announced is done, at once, and a run without a change takes few calls."""
    arguments = {**SHOP, **arguments}
    announced = pool.ok("vm", check=True, **arguments)
    assert announced["changed"]
    assert announced["diff"]["before"] != announced["diff"]["after"]
    assert pool.mutating_calls() == {}
    done = pool.ok("vm", **arguments)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    unchanged = pool.ok("vm", **arguments)
    assert unchanged["changes"] == []
    assert pool.without_addresses(unchanged["vm"]) == pool.without_addresses(done["vm"])
    assert sum(pool.calls().values()) <= MOST_CALLS
    return done


def make(pool: Pool, **arguments: t.Any) -> dict[str, t.Any]:
    """A running VM whose guest has its drivers."""
    nics = [{"name": "front", "network": FRONT}]
    running = {**NEW, "networks": nics, "state": "running", "wait_for": {"address": "true"}, **arguments}
    vm: dict[str, t.Any] = pool.ok("vm", **running)["vm"]
    return vm


def power_state(pool: Pool) -> str:
    return str(pool.record("VM", "shop")["power_state"])


def test_nics_are_limited_and_locked_while_the_vm_runs(pool: Pool) -> None:
    nic: dict[str, t.Any] = {"name": "front", "network": FRONT}
    made = make(pool, networks=[nic])["networks"][0]
    assert (made["rate_limit"], made["locking_mode"], made["mtu"]) == (None, "network_default", 1500)

    nic.update(rate_limit=1000, locking_mode="locked", ipv4_allowed=["192.0.2.10"], ipv6_allowed=["2001:DB8::10"])
    done = cycle(pool, networks=[nic])
    changed = done["vm"]["networks"][0]
    assert (changed["uuid"], changed["mac"]) == (made["uuid"], made["mac"])
    assert done["changes"][0]["after"].keys() == {"rate_limit", "locking_mode", "ipv4_allowed", "ipv6_allowed"}
    (vif,) = pool.lab.records("VIF").values()
    assert (vif["qos_algorithm_type"], vif["qos_algorithm_params"]) == ("ratelimit", {"kbps": "1000"})
    assert (vif["locking_mode"], vif["ipv4_allowed"], vif["ipv6_allowed"]) == (
        "locked",
        ["192.0.2.10"],
        ["2001:db8::10"],
    )
    assert vif["currently_attached"]

    nic = {"name": "front", "network": INSIDE, "rate_limit": 0, "locking_mode": "unlocked", "mtu": 9000}
    replaced = cycle(pool, networks=[nic])["vm"]["networks"][0]
    assert replaced["mac"] == made["mac"], "a larger MTU makes the interface anew, with the address it had"
    (vif,) = pool.lab.records("VIF").values()
    assert (vif["qos_algorithm_type"], vif["locking_mode"], vif["MTU"]) == ("", "unlocked", 9000)
    assert vif["currently_attached"]
    assert power_state(pool) == "Running"

    assert cycle(pool, networks=[])["vm"]["networks"] == []


def test_a_nic_that_a_cut_off_run_left_unplugged_is_plugged(controller_pool: Pool) -> None:
    pool = controller_pool
    nic = {"name": "front", "network": FRONT}
    make(pool, networks=[nic])
    (ref,) = pool.lab.records("VIF")
    pool.call("VIF.unplug", ref)
    assert cycle(pool, networks=[nic])["changes"][0]["after"] == {"plugged": True}
    assert pool.lab.records("VIF")[ref]["currently_attached"]


def sr(pool: Pool, kind: str) -> str:
    return next(ref for ref, record in pool.lab.records("SR").items() if record["content_type"] == kind)


def add_vdi(pool: Pool, name: str, kind: str = "user", **more: t.Any) -> str:
    """A disk, or an ISO, that somebody else made. Returns its UUID."""
    record = {"name_label": name, "SR": sr(pool, kind), "virtual_size": 4 << 20, "type": "user", "sharable": False,
              "read_only": False, "other_config": {}, **more}  # fmt: skip
    made = pool.call("VDI.create", record)
    return str(pool.lab.records("VDI")[made]["uuid"])


def disks(vm: dict[str, t.Any]) -> list[tuple[str, int]]:
    return [(disk["name"], disk["size"] >> 30) for disk in vm["disks"]]


def test_disks_come_and_go_while_the_vm_runs(pool: Pool) -> None:
    make(pool, disks=[{"name": "data", "size": "1GiB"}])
    added = cycle(pool, disks=[{"name": "logs", "size": "2GiB", "qos": {"sched": "idle", "class": 7}}])["vm"]
    assert disks(added) == [("data", 1), ("logs", 2)]
    assert added["disks"][1]["qos"] == {"sched": "idle", "class": "7"}
    (vbd,) = [each for each in pool.lab.records("VBD").values() if each["qos_algorithm_type"]]
    assert (vbd["qos_algorithm_type"], vbd["qos_algorithm_params"]) == ("ionice", {"sched": "idle", "class": "7"})

    kept = cycle(
        pool, disks=[{"name": "logs", "keep": True, "qos": {"sched": "none"}}, {"name": "data", "state": "absent"}]
    )
    assert disks(kept["vm"]) == [("logs", 2)]
    assert [change["action"] for change in kept["changes"]] == ["delete", "update"]
    assert {record["name_label"] for record in pool.lab.records("VDI").values()} == {"shop logs"}

    assert disks(cycle(pool, disks=[], remove_unmanaged_disks=True)["vm"]) == []
    assert pool.record("VDI", "shop logs")["VBDs"] == [], "a disk that is kept is detached only"
    assert power_state(pool) == "Running"


def test_a_kept_disk_outlives_its_vm_and_is_taken_up_by_the_next(pool: Pool) -> None:
    data = {"name": "data", "size": "1GiB", "keep": True}
    made = pool.ok("vm", **NEW, disks=[data])["vm"]["disks"][0]
    pool.ok("vm", **SHOP, state="absent")
    assert not pool.ok("vm", **SHOP, state="absent")["changed"]

    taken_up = pool.ok("vm", **NEW, disks=[{**data, "size": "2GiB"}])
    assert disks(taken_up["vm"]) == [("data", 2)]
    assert taken_up["vm"]["disks"][0]["uuid"] == made["uuid"]
    assert taken_up["changes"][1]["reason"] == "it was kept"
    assert not pool.ok("vm", **NEW, disks=[{**data, "size": "2GiB"}])["changed"]

    assert cycle(pool, disks=[{"name": "data", "state": "absent"}])["vm"]["disks"] == []
    gone = cycle(pool, disks=[{"name": "data", "state": "absent", "keep": False}])
    assert gone["changes"][0]["reason"] == "it was kept until now"
    pool.ok("vm", **SHOP, state="absent")
    assert pool.left_over() == {}


def test_a_disk_that_is_there_is_attached_and_never_destroyed(pool: Pool) -> None:
    uuid = add_vdi(pool, "archive")
    make(pool)
    attached = cycle(pool, disks=[{"name": "old", "vdi": "archive"}])
    assert [change["action"] for change in attached["changes"]] == ["attach"]
    assert attached["vm"]["disks"][0]["uuid"] == uuid
    assert pool.record("VDI", "archive")["other_config"] == {}
    cycle(pool, disks=[{"name": "old", "vdi": uuid, "state": "absent"}])
    cycle(pool, disks=[{"name": "old", "vdi": uuid}])
    pool.ok("vm", **SHOP, state="absent")
    assert pool.record("VDI", "archive")["VBDs"] == []


def test_disks_that_cannot_be_attached_are_refused(controller_pool: Pool) -> None:
    pool = controller_pool
    add_vdi(pool, "theirs", other_config={"hardshell:tenant": "globex"})
    twice = [add_vdi(pool, "twice"), add_vdi(pool, "twice")]
    pool.ok("vm", **NEW, disks=[{"name": "data", "size": "1GiB"}])

    def refusal(**disk: t.Any) -> str:
        return pool.refused("vm", **SHOP, disks=[{"name": "more", **disk}])

    assert "belongs to globex" in refusal(vdi="theirs")
    assert all(uuid in refusal(vdi="twice") for uuid in twice)
    assert "did you mean 'twice'" in refusal(vdi="twise")
    assert "holds this disk already" in refusal(vdi="shop data")
    assert "the pool has no storage repository" in pool.refused(
        "vm", **SHOP, disks=[{"name": "data", "sr": "NFS storage"}]
    )
    other = {**NEW, "name": "wiki", "host": "acme-wiki"}
    assert "another VM" in pool.refused("vm", **other, disks=[{"name": "data", "vdi": "shop data"}])


def test_an_iso_is_inserted_changed_and_ejected(pool: Pool) -> None:
    add_vdi(pool, "tools.iso", "iso")
    add_vdi(pool, "rescue.iso", "iso")
    made = make(pool)
    assert made["iso"] is None
    assert "halted" in pool.refused("vm", **SHOP, iso="tools.iso")
    inserted = cycle(pool, iso="tools.iso", allow_power_cycle=True)
    assert inserted["vm"]["iso"]["name"] == "tools.iso"
    changed = cycle(pool, iso="rescue.iso")
    assert [change["action"] for change in changed["changes"]] == ["insert"]
    ejected = cycle(pool, iso="")
    assert ejected["vm"]["iso"] is None
    assert [vbd["type"] for vbd in pool.lab.records("VBD").values()] == ["CD"]
    assert power_state(pool) == "Running"


def test_isos_that_cannot_be_inserted_are_refused(controller_pool: Pool) -> None:
    pool = controller_pool
    uuids = [add_vdi(pool, "tools.iso", "iso"), add_vdi(pool, "tools.iso", "iso")]
    pool.ok("vm", **NEW)
    message = pool.refused("vm", **SHOP, iso="tools.iso")
    assert all(uuid in message for uuid in uuids)
    assert "did you mean 'tools.iso'" in pool.refused("vm", **SHOP, iso="tool.iso")
    assert cycle(pool, iso=uuids[1])["vm"]["iso"]["uuid"] == uuids[1]
    assert not pool.ok("vm", **SHOP, iso="tools.iso")["changed"], "the one that is inside is the one that is meant"
