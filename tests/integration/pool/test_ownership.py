# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose a VM and a disk are, and what is never touched."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from conftest import Pool

SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}


def bare(shop: dict[str, t.Any]) -> dict[str, t.Any]:
    return {**shop, "config_drive": None, "ssh_host_key": False}


def vdi_of(pool: Pool, disk: str) -> str:
    return pool.ref("VDI", f"shop {disk}")


def test_a_stranger_is_refused_and_can_be_adopted(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    pool.ok("vm", **bare(shop))
    ref = pool.ref("VM", "shop")
    for key in ("hardshell:tenant", "hardshell:host", "hardshell:vm"):
        pool.call("VM.remove_from_other_config", ref, key)
    assert "adopt" in pool.refused("vm", **bare(shop))
    assert "adopt" in pool.refused("vm", **SHOP, state="absent")
    assert pool.ok("vm", **bare(shop), adopt=True)["changed"]
    assert not pool.ok("vm", **bare(shop))["changed"]
    assert pool.record("VM", "shop")["power_state"] == "Running"


def test_another_tenants_is_refused_even_to_adopt(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    pool.ok("vm", **bare(shop))
    for state in ("running", "absent"):
        message = pool.refused("vm", name="shop", tenant="globex", template=shop["template"], state=state, adopt=True)
        assert "acme/acme-shop" in message


def test_a_clone_by_hand_is_not_taken_for_the_original(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    pool.ok("vm", **{**bare(shop), "state": "halted"})
    clone = pool.call("VM.clone", pool.ref("VM", "shop"), "shop")
    assert not pool.ok("vm", **{**bare(shop), "state": "halted"})["changed"]
    pool.ok("vm", **SHOP, state="absent")
    left = pool.lab.records("VM")[clone]
    for vbd in left["VBDs"]:
        assert pool.lab.records("VBD")[vbd]["VDI"] in pool.lab.records("VDI")
    assert "adopt" in pool.refused("vm", **{**bare(shop), "state": "halted"})


def test_a_renamed_vm_is_known_by_its_marks(pool: Pool, shop: dict[str, t.Any]) -> None:
    pool.ok("vm", **bare(shop))
    uuid = pool.record("VM", "shop")["uuid"]
    pool.call("VM.set_name_label", pool.ref("VM", "shop"), "somebody renamed it")
    renamed = pool.ok("vm", **bare(shop))
    assert [change["after"] for change in renamed["changes"]] == [{"name": "shop"}]
    assert pool.record("VM", "shop")["uuid"] == uuid


def test_absent_leaves_what_others_hold(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    shop["disks"] = [{"name": name, "size": "1GiB"} for name in ("data", "shared", "kept")]
    pool.ok("vm", **{**bare(shop), "state": "halted"})
    pool.call("VDI.add_to_other_config", vdi_of(pool, "kept"), "hardshell:keep", "true")
    pool.ok("vm", name="other", tenant="globex", template=shop["template"])
    other = pool.ref("VM", "other")
    blueprint = pool.lab.records("VBD")[pool.lab.records("VDI")[vdi_of(pool, "shared")]["VBDs"][0]]
    wanted = {
        key: blueprint[key]
        for key in ("VDI", "bootable", "mode", "type", "empty", "other_config", "qos_algorithm_type")
    }
    pool.call("VBD.create", {**wanted, "VM": other, "userdevice": "5", "qos_algorithm_params": {}})
    pool.ok("vm", **SHOP, state="absent")
    names = {record["name_label"] for record in pool.lab.records("VDI").values()}
    assert {"shop shared", "shop kept"} <= names
    assert "shop data" not in names


def test_absent_takes_the_snapshots(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    pool.ok("vm", **{**bare(shop), "state": "halted"})
    pool.call("VM.snapshot", pool.ref("VM", "shop"), "before the update")
    gone = pool.ok("vm", **SHOP, state="absent")
    assert "before the update" in [change["name"] for change in gone["changes"]]
    assert pool.left_over() == {}


def test_absent_takes_no_template_and_no_snapshot_of_that_name(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    pool.ok("vm", **{**bare(shop), "name": "other", "host": "acme-other", "state": "halted"})
    snapshot = pool.call("VM.snapshot", pool.ref("VM", "other"), "shop", [])
    template = pool.call("VM.clone", pool.ref("VM", shop["template"]), "shop")
    assert not pool.ok("vm", **SHOP, state="absent", adopt=True)["changed"]
    assert {snapshot, template} <= set(pool.lab.records("VM"))


def test_a_guest_that_does_not_shut_down_is_turned_off_only_by_name(
    controller_pool: Pool, shop: dict[str, t.Any]
) -> None:
    pool = controller_pool
    pool.ok("vm", **bare(shop))
    fault = pool.lab.fault("Async.VM.clean_shutdown", error="VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT")
    failed = pool.run("vm", **SHOP, state="absent")
    assert "force" in failed["msg"]
    assert pool.record("VM", "shop")["power_state"] == "Running"
    pool.ok("vm", **SHOP, state="absent", force=True)
    pool.lab.clear_faults(fault)
    assert pool.left_over() == {}


def copies_by_hand(pool: Pool, *disks: str) -> dict[str, str]:
    """Copies that an administrator makes of disks, before something risky. XAPI copies our marks too."""
    vdis = {disk: vdi_of(pool, disk) for disk in disks}
    made = {disk: pool.call("VDI.copy", vdi, pool.lab.records("VDI")[vdi]["SR"]) for disk, vdi in vdis.items()}
    assert [pool.lab.records("VDI")[copy]["other_config"]["hardshell:disk"] for copy in made.values()] == list(made)
    return made


def test_copies_by_hand_of_disks_are_left_alone(
    pool: Pool, shop: dict[str, t.Any], two_images: tuple[str, str]
) -> None:
    wanted = {**shop, "template": two_images[0], "state": "halted"}
    pool.ok("vm", **wanted)
    cloned = {pool.call("VDI.clone", vdi_of(pool, "data"), {})}
    pool.call("VDI.set_name_label", *cloned, "a clone of the data")
    copies = {*copies_by_hand(pool, "root", "data", "config-drive").values(), *cloned}
    assert pool.ok("vm", **wanted)["changes"] == []
    gone = pool.ok("vm", **SHOP, disks=[{"name": "data", "state": "absent", "keep": False}], allow_power_cycle=True)
    assert [change["action"] for change in gone["changes"] if change["kind"] == "disk"] == ["delete"]
    anew = pool.ok("vm", **SHOP, disks=[{"name": "data", "size": "1GiB"}], allow_power_cycle=True)["vm"]
    vdis = pool.lab.records("VDI")
    assert {disk["uuid"] for disk in anew["disks"]} & {vdis[ref]["uuid"] for ref in copies} == set()
    pool.ok("vm", **SHOP, state="absent", force=True)
    assert copies <= set(pool.lab.records("VDI"))


def test_a_copy_of_an_image_by_hand_is_left_alone(controller_pool: Pool, two_images: tuple[str, str]) -> None:
    pool = controller_pool
    vdi = pool.ref("VDI", f"{two_images[0]} image")
    copy = pool.call("VDI.copy", vdi, pool.lab.records("VDI")[vdi]["SR"])
    pool.ok("image", name=two_images[0], state="absent")
    assert copy in pool.lab.records("VDI")


def test_a_kept_disk_that_was_moved_by_copying_is_found_again(pool: Pool, shop: dict[str, t.Any]) -> None:
    wanted = {**bare(shop), "disks": [{"name": "data", "size": "1GiB", "keep": True}]}
    pool.ok("vm", **wanted)
    pool.ok("vm", **SHOP, state="absent", force=True)
    original = vdi_of(pool, "data")
    copy = copies_by_hand(pool, "data")["data"]
    again = pool.ok("vm", **wanted)["vm"]
    assert again["disks"][-1]["uuid"] == pool.lab.records("VDI")[original]["uuid"], "of the two it is the original"
    pool.ok("vm", **SHOP, state="absent", force=True)
    pool.call("VDI.destroy", original)
    moved = pool.ok("vm", **wanted)["vm"]
    assert moved["disks"][-1]["uuid"] == pool.lab.records("VDI")[copy]["uuid"]
    assert pool.ok("vm", **wanted)["changes"] == []


def test_a_copy_that_is_attached_by_name_of_its_vdi_is_not_ours(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    pool.ok("vm", **{**bare(shop), "state": "halted"})
    copy = copies_by_hand(pool, "data")["data"]
    more = {"name": "restored", "vdi": pool.lab.records("VDI")[copy]["uuid"]}
    wanted = {**bare(shop), "disks": [*shop["disks"], more], "allow_power_cycle": True}
    assert [disk["name"] for disk in pool.ok("vm", **wanted)["vm"]["disks"]][-1] == "restored"
    assert pool.ok("vm", **wanted)["changes"] == []
    pool.ok("vm", **SHOP, state="absent", force=True)
    assert copy in pool.lab.records("VDI")


def made_by_somebody(pool: Pool, *labels: str) -> list[str]:
    """A VM with a system disk and one disk for each label, of which we know nothing. Returns the UUIDs of these."""
    pool.call("VM.set_name_label", pool.call("VM.clone", pool.ref("VM", "debian-12"), "theirs"), "theirs")
    vm = pool.ref("VM", "theirs")
    pool.call("VM.set_is_a_template", vm, False)
    (storage,) = {vdi["SR"] for vdi in pool.lab.records("VDI").values() if vdi["name_label"] == "debian-12 image"}
    made = []
    for position, label in enumerate(labels, 1):
        record = {"name_label": label, "SR": storage, "virtual_size": 4 << 20, "type": "user", "sharable": False,
                  "read_only": False, "other_config": {}}  # fmt: skip
        vdi = pool.call("VDI.create", record)
        pool.call("VBD.create", {"VM": vm, "VDI": vdi, "userdevice": str(position), "bootable": False, "mode": "RW",
                                 "type": "Disk", "empty": False, "other_config": {}, "qos_algorithm_type": "",
                                 "qos_algorithm_params": {}})  # fmt: skip
        made.append(pool.call("VDI.get_uuid", vdi))
    return made


def test_the_disks_of_an_adopted_vm_are_those_that_are_meant(pool: Pool, two_images: tuple[str, str]) -> None:
    uuids = made_by_somebody(pool, "theirs data", "old stuff", "scratch")
    meant = [{"name": "data", "size": "1GiB"}, {"name": "archive", "vdi": uuids[1]}]
    wanted = {"name": "theirs", "tenant": "acme", "disks": meant, "adopt": True}
    announced = pool.ok("vm", check=True, **wanted)
    done = pool.ok("vm", **wanted)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    found = {disk["name"]: disk["uuid"] for disk in done["vm"]["disks"]}
    assert [found.pop("data"), found.pop("archive"), found.pop("disk3")] == uuids
    assert list(found) == ["root"]
    assert pool.ok("vm", **wanted)["changes"] == []
    pool.ok("vm", name="theirs", tenant="acme", state="absent")
    assert not [vdi for vdi in pool.lab.records("VDI").values() if vdi["uuid"] in uuids]


def test_an_unlisted_disk_of_an_adopted_vm_is_only_detached(controller_pool: Pool, two_images: tuple[str, str]) -> None:
    pool = controller_pool
    uuids = made_by_somebody(pool, "theirs data", "scratch")
    wanted = {"name": "theirs", "tenant": "acme", "disks": [{"name": "data"}], "adopt": True}
    done = pool.ok("vm", **wanted, remove_unmanaged_disks=True)
    assert [disk["name"] for disk in done["vm"]["disks"]] == ["root", "data"]
    pool.ok("vm", name="theirs", tenant="acme", state="absent")
    assert [vdi["name_label"] for vdi in pool.lab.records("VDI").values() if vdi["uuid"] in uuids] == ["scratch"]
