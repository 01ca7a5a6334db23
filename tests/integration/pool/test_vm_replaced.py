# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Another template, or another version of it, for a VM that is there: its system disk is made anew, and all else stays."""

from __future__ import annotations

import subprocess
import sys
import typing as t
from pathlib import Path

import yaml

if t.TYPE_CHECKING:
    from conftest import Pool

Arguments = dict[str, t.Any]
ALLOWED = {"allow_replace": True, "allow_power_cycle": True}
SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}


def root_of(pool: Pool) -> Arguments:
    """The VDI of the system disk of the VM."""
    (vbd,) = [
        vbd
        for vbd in pool.lab.records("VBD").values()
        if vbd["VM"] == pool.ref("VM", "shop") and vbd["userdevice"] == "0"
    ]
    return pool.lab.records("VDI")[vbd["VDI"]]


def test_another_template_makes_the_system_disk_anew(pool: Pool, shop: Arguments, two_images: tuple[str, str]) -> None:
    old, new = two_images
    shop = {**shop, "template": old, "disks": [{"name": "root", "size": "1GiB"}, {"name": "data", "size": "2GiB"}]}
    before = pool.ok("vm", **shop)["vm"]
    pool.ok("vm", **SHOP, config_drive={"state": "absent"})
    old_root = root_of(pool)
    disks = len(pool.lab.records("VDI"))

    shop = {**shop, "template": new}
    assert "'debian-12'" in pool.refused("vm", **shop)
    assert "allow_power_cycle" in pool.refused("vm", **shop, allow_replace=True)
    without_drive = {**shop, "config_drive": None, "ssh_host_key": False}
    assert "config_drive" in pool.refused("vm", **without_drive, **ALLOWED)

    done = pool.four_steps("vm", **shop, **ALLOWED)
    after = done["vm"]
    assert [change["action"] for change in done["changes"]] == ["shut down", "replace", "update", "create", "start"]
    assert (after["uuid"], after["power_state"], after["template"]) == (before["uuid"], "running", new)
    assert [nic["mac"] for nic in after["networks"]] == [nic["mac"] for nic in before["networks"]]
    (was_root, was_data), (root, data) = before["disks"], after["disks"]
    assert data["uuid"] == was_data["uuid"]
    assert (root["device"], root["size"]) == (was_root["device"], 1 << 30)
    assert root["uuid"] != was_root["uuid"]
    assert root_of(pool)["other_config"]["hardshell:origin"] == after["template_id"] != before["template_id"]
    assert old_root["uuid"] not in {vdi["uuid"] for vdi in pool.lab.records("VDI").values()}
    assert len(pool.lab.records("VDI")) == disks + 1, "the config drive is there again"
    assert after["config_drive"]["state"] == "attached"

    pool.four_steps("vm", **SHOP, state="absent")


def test_a_newer_version_of_the_template_is_taken_only_by_name(
    controller_pool: Pool, shop: Arguments, two_images: tuple[str, str], tmp_path: Path
) -> None:
    pool, (old, _new) = controller_pool, two_images
    shop = {**shop, "template": old, "state": "halted", "disks": [{"name": "root", "keep": True}]}
    made = pool.ok("vm", **shop)["vm"]
    path = tmp_path / "newer.raw"
    path.write_bytes(b"newer" * 4096)
    pool.ok("image", name=old, path=str(path))
    assert not pool.ok("vm", **shop)["changed"]
    assert not pool.ok("vm", **{**shop, "template": None})["changed"]
    rolled = pool.ok("vm", **shop, allow_replace=True)
    assert rolled["vm"]["template"] == made["template"]
    assert rolled["vm"]["template_id"] != made["template_id"]
    assert rolled["vm"]["disks"][0]["keep"]
    kept = [vdi for vdi in pool.lab.records("VDI").values() if vdi["uuid"] == made["disks"][0]["uuid"]]
    assert kept[0]["VBDs"] == [], "it was to be kept"
    assert not pool.ok("vm", **shop)["changed"]


def test_a_system_disk_that_was_left_unattached_comes_back(
    controller_pool: Pool, shop: Arguments, two_images: tuple[str, str]
) -> None:
    pool, shop = controller_pool, {**SHOP, "template": two_images[0], "state": "halted"}
    made = pool.ok("vm", **shop)["vm"]
    (vbd,) = [ref for ref, vbd in pool.lab.records("VBD").items() if vbd["VDI"] in ref_of(pool, root_of(pool)["uuid"])]
    pool.call("VBD.destroy", vbd)
    back = pool.four_steps("vm", **shop)
    assert [change["action"] for change in back["changes"]] == ["attach"]
    assert back["vm"]["disks"] == made["disks"]


def test_the_role_tells_that_the_guest_is_a_new_one(
    controller_pool: Pool, two_images: tuple[str, str], tmp_path: Path
) -> None:
    """Its engine is new then, and holds no containers."""
    pool, (old, new) = controller_pool, two_images
    pool.ok("vm", **SHOP, template=old, state="halted", networks=[])
    names = ("xapi_host", "xapi_password", "xapi_ca_path")
    given = {**pool.connection(), "vm_name": "shop", "vm_tenant": "acme", "vm_template": new, "vm_state": "halted"}
    hosts = {"acme-shop": {**given, "vm_networks": [], "vm_allow_replace": True}}
    tasks = [
        {"ansible.builtin.include_role": {"name": "hardshell.xen.vm"}},
        {"ansible.builtin.assert": {"that": "vm_created"}},
    ]
    defaults = {"group/hardshell.xen.xapi": {name: f"{{{{ {name} }}}}" for name in names}}
    play = [{"hosts": "all", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": hosts}}))
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert root_of(pool)["other_config"]["hardshell:origin-name"] == new


def ref_of(pool: Pool, uuid: str) -> set[str]:
    return {ref for ref, vdi in pool.lab.records("VDI").items() if vdi["uuid"] == uuid}
