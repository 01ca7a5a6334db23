# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on VMs that boot. One story, told in order: each test goes on from the state that the one before it left."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .world import World, ask

pytestmark = pytest.mark.e2e

OWN_DISKS = {"acme-shop": {"root", "data"}, "globex-wiki": {"root"}}


def vms(world: World) -> dict[str, dict[str, Any]]:
    records = world.pool().xenapi.VM.get_all_records().values()
    return {
        record["name_label"]: record
        for record in records
        if not (record["is_a_template"] or record["is_control_domain"] or record["is_a_snapshot"])
    }


def images(world: World) -> list[dict[str, Any]]:
    """Every VDI that is ours: the template's, and those of the VMs."""
    return [
        record
        for record in world.pool().xenapi.VDI.get_all_records().values()
        if any(key.startswith("hardshell:") for key in record["other_config"])
    ]


def templates(world: World) -> list[dict[str, Any]]:
    records = world.pool().xenapi.VM.get_all_records().values()
    return [record for record in records if record["is_a_template"] and record["name_label"] == "debian-12-docker"]


def test_an_upload_that_was_killed_is_done_again(world: World) -> None:
    world.play_and_kill("guest_image", r"(?i)upload")
    assert templates(world) == []
    assert world.play("guest_image").returncode == 0
    assert len(templates(world)) == 1
    assert len(images(world)) == 1


def test_a_run_killed_between_clone_and_start_is_finished_by_the_next(world: World) -> None:
    world.play_and_kill("site", r"acme-shop \| .*(?i:create (disk|nic|config|vbd|vif))", "--limit", "acme")
    assert all(record["power_state"] == "Halted" for record in vms(world).values())
    world.play_and_kill("site", r"\| .*(?i:create container)")
    run = world.play("site")
    assert run.returncode == 0, run.output
    assert set(vms(world)) == set(OWN_DISKS)


def test_nothing_is_left_over(world: World) -> None:
    expected = 1 + sum(len(disks) for disks in OWN_DISKS.values())
    assert len(images(world)) == expected
    assert sorted(world.docker("acme-shop", "ps", "--all", "--format", "{{.Names}}").split()) == [
        "acme-shop_api",
        "acme-shop_db",
        "acme-shop_web",
    ]


def test_what_is_written_through_the_links_comes_back(world: World) -> None:
    url = world.front("acme-shop")
    for text in ("first entry", "second entry"):
        ask(url, text)
        assert text in ask(url)
    assert "first entry" in ask(url)


def test_a_second_run_changes_nothing(world: World) -> None:
    run = world.play("site")
    assert run.returncode == 0
    assert set(run.changed().values()) == {0}, run.output


def test_check_mode_announces_what_the_run_then_does(world: World) -> None:
    def change(tenants: dict[str, Any]) -> None:
        shop = tenants["acme"]["hosts"]["acme-shop"]
        shop["vm_disks"].append({"name": "logs", "size": "1GiB"})
        shop["container_set_containers"]["api"]["memory"] = "128MiB"
        shop["container_set_containers"]["web"]["environment"] = {"TITLE": "changed"}

    world.edit(change)
    announced = world.play("site", "--check", "--diff")
    assert announced.returncode == 0, announced.output
    before = copy.deepcopy(vms(world)["acme-shop"]["VBDs"])
    done = world.play("site", "--diff")
    assert done.returncode == 0, done.output
    assert announced.changes == done.changes
    assert announced.changes != []
    assert len(vms(world)["acme-shop"]["VBDs"]) == len(before) + 1
    assert "first entry" in ask(world.front("acme-shop"))
    assert set(world.play("site").changed().values()) == {0}


def test_teardown_removes_one_tenant_whole_and_leaves_the_other(world: World) -> None:
    refused = world.play("teardown")
    assert refused.returncode != 0
    assert "--limit" in refused.output
    run = world.play("teardown", "--limit", "acme")
    assert run.returncode == 0, run.output
    assert set(vms(world)) == {"globex-wiki"}
    assert len(images(world)) == 1 + len(OWN_DISKS["globex-wiki"])
    assert ask(world.front("globex-wiki"))
    assert set(world.play("teardown", "--limit", "acme").changed().values()) == {0}
