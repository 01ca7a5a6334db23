# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks that are moved to another storage repository: by us, and by others, after which their VDIs have lost all marks."""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from conftest import Pool

SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}
FRONT = "Pool-wide network associated with eth0"
FAST = "fast disks"


def add_storage(pool: Pool) -> str:
    (host,) = pool.lab.records("host")
    return str(pool.call("SR.create", host, {}, "0", FAST, "", "ext", "user", False, {}))


def make(pool: Pool, two_images: tuple[str, str], **arguments: t.Any) -> dict[str, t.Any]:
    """A running VM with a system disk, a disk that is kept, one that is not, and a config drive."""
    wanted = {
        **SHOP,
        "template": two_images[0],
        "networks": [{"name": "front", "network": FRONT}],
        "disks": [{"name": "data", "size": "1GiB", "keep": True}, {"name": "logs", "size": "1GiB"}],
        "config_drive": {"user_data": {"hostname": "shop"}},
        "state": "running",
        "wait_for": {"address": "true"},
        **arguments,
    }
    vm: dict[str, t.Any] = pool.ok("vm", **wanted)["vm"]
    return vm


def move_all(pool: Pool, storage: str) -> None:
    """As an administrator does in XenCenter or Xen Orchestra."""
    vm = pool.record("VM", "shop")
    vbds = pool.lab.records("VBD")
    for vbd in vm["VBDs"]:
        if vbds[vbd]["type"] == "Disk":
            pool.call("VDI.pool_migrate", vbds[vbd]["VDI"], storage, {})
    moved = [vdi for vdi in pool.lab.records("VDI").values() if vdi["SR"] == storage]
    assert moved
    assert not [key for vdi in moved for key in vdi["other_config"] if key.startswith("hardshell:")]


def names(vm: dict[str, t.Any]) -> list[tuple[str, str, bool]]:
    return [(disk["name"], disk["sr"], disk["keep"]) for disk in vm["disks"]]


def test_disks_that_others_moved_are_known_and_marked_again(pool: Pool, two_images: tuple[str, str]) -> None:
    templates = pool.left_over()
    made = make(pool, two_images)
    move_all(pool, add_storage(pool))
    told = pool.ok("vm_info", names=["shop"])["vms"][0]
    assert names(told) == [("root", FAST, False), ("data", FAST, True), ("logs", FAST, False)]
    assert told["template_id"] == made["template_id"]

    arguments = {**SHOP, "disks": [{"name": "data"}], "remove_unmanaged_disks": True}
    announced = pool.ok("vm", check=True, **arguments)
    done = pool.ok("vm", **arguments)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    assert [(change["action"], change["name"]) for change in done["changes"]] == [
        *(("update", name) for name in ("root", "data", "logs", "config-drive")),
        ("delete", "logs"),
    ]
    assert names(done["vm"]) == [("root", FAST, False), ("data", FAST, True)]
    assert pool.ok("vm", **arguments)["changes"] == []

    pool.ok("vm", **SHOP, state="absent", force=True)
    assert pool.left_over() == {**templates, "VDI": templates["VDI"] + 1}
    (kept,) = [vdi for vdi in pool.lab.records("VDI").values() if "hardshell:keep" in vdi["other_config"]]
    assert kept["other_config"]["hardshell:disk"] == "data"


def test_a_vm_that_others_moved_goes_whole(controller_pool: Pool, two_images: tuple[str, str]) -> None:
    pool = controller_pool
    templates = pool.left_over()
    make(pool, two_images, disks=[{"name": "data", "size": "1GiB"}])
    pool.call("VM.snapshot", pool.ref("VM", "shop"), "nightly", [])
    move_all(pool, add_storage(pool))
    pool.ok("vm", **SHOP, state="absent", force=True)
    assert pool.left_over() == templates


def test_the_system_disk_of_a_moved_vm_is_still_of_its_template(
    controller_pool: Pool, two_images: tuple[str, str]
) -> None:
    pool = controller_pool
    make(pool, two_images)
    move_all(pool, add_storage(pool))
    replaced = pool.ok("vm", **SHOP, template=two_images[1], allow_replace=True, allow_power_cycle=True,
                       config_drive={"user_data": {"hostname": "shop"}})  # fmt: skip
    assert ("replace", "system disk") in [(change["action"], change["kind"]) for change in replaced["changes"]]
    assert [disk["name"] for disk in replaced["vm"]["disks"]] == ["root", "data", "logs"]


@pytest.mark.parametrize("state", ["running", "halted", "suspended"])
def test_a_disk_moves_where_it_is_asked_for(pool: Pool, two_images: tuple[str, str], state: str) -> None:
    templates = pool.left_over()
    make(pool, two_images)
    if state != "running":
        pool.ok("vm", **SHOP, state=state, force=True)
    add_storage(pool)
    disks = [{"name": "root", "sr": FAST}, {"name": "data", "sr": FAST, "keep": False}]
    announced = pool.ok("vm", check=True, **SHOP, disks=disks)
    assert [change["after"]["sr"] for change in announced["changes"]] == [FAST, FAST]
    assert pool.mutating_calls() == {}
    done = pool.ok("vm", **SHOP, disks=disks)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    assert names(done["vm"]) == [("root", FAST, False), ("data", FAST, False), ("logs", "Local storage", False)]
    assert done["vm"]["power_state"] == state
    assert pool.ok("vm", **SHOP, disks=disks)["changes"] == []
    pool.ok("vm", **SHOP, state="absent", force=True)
    assert pool.left_over() == templates


def test_disks_that_cannot_be_moved_are_named(controller_pool: Pool, two_images: tuple[str, str]) -> None:
    pool = controller_pool
    make(pool, two_images)
    add_storage(pool)
    wanted = {**SHOP, "disks": [{"name": "data", "sr": FAST}]}
    pool.ok("vm", **SHOP, blocked_operations={"migrate_send": "not now"})
    assert "migrate_send of the VM is blocked (not now)" in pool.refused("vm", **wanted)
    pool.ok("vm", **SHOP, blocked_operations={"migrate_send": None}, state="paused")
    assert "data cannot be moved to 'fast disks' as it is" in pool.refused("vm", **wanted)
    moved = pool.ok("vm", **wanted, allow_power_cycle=True, force=True)["vm"]
    assert ("data", FAST, True) in names(moved)
