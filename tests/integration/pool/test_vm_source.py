# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM made from another VM or from a snapshot, cloned or copied: with its disks, and without its secrets, marks and name."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from conftest import Pool

COPY = {"name": "twin", "tenant": "acme", "host": "acme-twin", "source": "shop", "state": "running"}


def test_a_vm_is_made_from_another(pool: Pool, shop: dict[str, t.Any]) -> None:
    pool.ok("vm", **{**shop, "tags": ["gold"], "state": "halted", "delete_protection": True})
    pool.call("VM.add_to_other_config", pool.ref("VM", "shop"), "docker_ps", "<docker_ps/>")
    made = pool.four_steps("vm", **COPY, disks=[{"name": "data", "size": "6GiB"}], memory="2GiB")
    twin, original = made["vm"], pool.record("VM", "shop")
    assert [(disk["name"], disk["size"]) for disk in twin["disks"]] == [("data", 6 << 30)]
    assert [nic["name"] for nic in twin["networks"]] == ["front"]
    assert twin["config_drive"]["state"] == "absent"
    assert (twin["vcpus"], twin["memory"], twin["delete_protection"]) == (2, 2 << 30, False)
    assert (twin["tags"], twin["ssh_host_key"]) == (["tenant:acme"], None)
    record = pool.record("VM", "twin")
    marks = {key: value for key, value in record["other_config"].items() if key.startswith(("hardshell:", "docker"))}
    assert marks == {"hardshell:tenant": "acme", "hardshell:host": "acme-twin", "hardshell:vm": record["uuid"]}
    assert len(record["VBDs"]) == len(original["VBDs"]) - 1, "without the config drive"
    assert twin["networks"][0]["mac"] not in {
        vif["MAC"] for ref, vif in pool.lab.records("VIF").items() if ref in original["VIFs"]
    }

    pool.four_steps("vm", name="twin", tenant="acme", host="acme-twin", state="absent")
    assert pool.record("VM", "shop")["power_state"] == "Halted"
    pool.ok("vm", name="shop", tenant="acme", host="acme-shop", state="absent", delete_protection=False)
    assert pool.left_over() == {}


def test_a_vm_is_copied_whole_from_a_snapshot_of_one_that_runs(pool: Pool, shop: dict[str, t.Any]) -> None:
    pool.ok("vm", **shop)
    pool.call("VM.snapshot", pool.ref("VM", "shop"), "nightly", [])
    pool.call("SR.create", *slow_disks(pool))
    made = pool.four_steps("vm", **{**COPY, "source": "nightly", "clone": "full", "sr": "slow disks"})["vm"]
    assert [(disk["name"], disk["sr"]) for disk in made["disks"]] == [("data", "slow disks")]
    assert not pool.record("VM", "twin")["is_a_template"]
    pool.ok("vm", name="twin", tenant="acme", host="acme-twin", state="absent")
    pool.ok("vm", name="shop", tenant="acme", host="acme-shop", state="absent", force=True)
    assert pool.left_over() == {}


def slow_disks(pool: Pool) -> tuple[t.Any, ...]:
    (host,) = pool.lab.records("host")
    return host, {}, "0", "slow disks", "", "ext", "user", False, {}


def test_sources_that_cannot_be_used_are_named(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    plain = {**shop, "config_drive": None, "ssh_host_key": False}
    pool.ok("vm", **plain)
    assert "halt it, or name a snapshot" in pool.refused("vm", **COPY)
    assert "did you mean 'shop'" in pool.refused("vm", **{**COPY, "source": "shops"})
    assert "did you mean 'shop'" not in pool.refused("vm", **{**COPY, "source": None, "template": "shops"})
    pool.ok("vm", name="shop", tenant="acme", host="acme-shop", state="halted")
    uuid = pool.record("VM", "shop")["uuid"]
    pool.call("VM.clone", pool.ref("VM", "shop"), "shop")
    assert uuid in pool.refused("vm", **COPY)
    assert pool.ok("vm", check=True, **{**COPY, "source": uuid})["changed"]
    assert "data of acme, not of globex" in pool.refused("vm", **{**COPY, "tenant": "globex", "source": uuid})
    assert "iso" in pool.refused("vm", **{**COPY, "source": uuid, "clone": "full", "sr": "ISO library"}).lower()
