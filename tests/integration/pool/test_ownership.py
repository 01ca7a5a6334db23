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
