# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create, modify and delete, each in check mode and for real, each twice."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import typing as t
from pathlib import Path

import pytest
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool


def test_vm(pool: Pool, shop: dict[str, t.Any]) -> None:
    made = pool.four_steps("vm", **shop, wait_for={"address": "127.0.0.0/8", "timeout": 30})["vm"]
    assert made["power_state"] == "running"
    assert made["address"].startswith("127.")
    assert made["ssh_host_key"].startswith("ssh-ed25519 ")
    record = pool.record("VM", "shop")
    assert record["tags"] == ["tenant:acme"]
    assert not record["is_a_template"]
    marks = {key: value for key, value in record["other_config"].items() if key.startswith("hardshell:")}
    assert marks.pop("hardshell:ssh-host-key") == made["ssh_host_key"]
    assert marks == {"hardshell:tenant": "acme", "hardshell:host": "acme-shop", "hardshell:vm": record["uuid"]}

    shop.update(vcpus=4, memory="2GiB", description="the shop", tags=["gold"], allow_power_cycle=True)
    shop["disks"] = [{"name": "data", "size": "6GiB", "description": "orders"}, {"name": "logs", "size": "1GiB"}]
    shop["networks"] = [
        {"name": "front", "network": "Host internal management network"},
        {"name": "back", "network": "Host internal management network", "mac": "02:00:00:00:00:01"},
    ]
    changed = pool.four_steps("vm", **shop)["vm"]
    assert changed["power_state"] == "running"
    assert (changed["vcpus"], changed["memory"]) == (4, 2 << 30)
    assert [(disk["name"], disk["size"]) for disk in changed["disks"]] == [("data", 6 << 30), ("logs", 1 << 30)]
    assert [(nic["name"], nic["network"]) for nic in changed["networks"]] == [
        ("front", "Host internal management network"),
        ("back", "Host internal management network"),
    ]
    assert changed["networks"][0]["mac"] == made["networks"][0]["mac"], "another network is no new interface"
    assert changed["networks"][1]["mac"] == "02:00:00:00:00:01"

    pool.four_steps("vm", name="shop", tenant="acme", host="acme-shop", config_drive={"state": "absent"})
    assert not pool.ok("vm", **shop)["changed"], "a drive that the guest has taken is not made again"

    gone = pool.four_steps("vm", name="shop", tenant="acme", host="acme-shop", state="absent")
    assert gone["vm"] is None
    assert pool.left_over() == {}


def test_image(pool: Pool, disk_image: Path) -> None:
    made = pool.four_steps("image", name="debian", path=str(disk_image))["image"]
    assert made["size"] == 2 << 20
    record = pool.record("VM", "debian")
    assert record["is_a_template"]
    assert "disks" not in record["other_config"]

    changed = pool.four_steps("image", name="debian", path=str(disk_image), firmware="uefi", vcpus=2, memory="2GiB")[
        "image"
    ]
    assert changed["uuid"] == made["uuid"]

    disk_image.write_bytes(b"another" * 100_000)
    replaced = pool.four_steps("image", name="debian", path=str(disk_image))["image"]
    assert replaced["uuid"] != made["uuid"]

    pool.four_steps("image", name="debian", state="absent")
    assert pool.left_over() == {}


def test_an_image_becomes_a_file(pool: Pool, disk_image: Path, tmp_path: Path) -> None:
    pool.ok("image", name="debian", path=str(disk_image))
    copy = {"name": "debian", "state": "exported"}
    pool.four_steps("image", **copy, path=str(tmp_path / "copy.raw"))
    assert (tmp_path / "copy.raw").stat().st_size == disk_image.stat().st_size
    left = ["copy.raw", "copy.raw.exported.json", disk_image.name]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    # A pool without machines has no disk to make a VHD of.
    assert "VDI_IO_ERROR" in pool.run("image", **copy, path=str(tmp_path / "half.vhd"))["msg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left
    assert ".raw, .img, .vhd or .xva" in pool.refused("image", **copy, path=str(tmp_path / "copy.iso"))
    assert "no image 'ubuntu'" in pool.refused("image", name="ubuntu", state="exported", path=str(tmp_path / "a.raw"))
    assert "no image 'debian' in version 7" in pool.refused("image", **copy, version="7", path=str(tmp_path / "a.raw"))

    disk_image.write_bytes(b"newer" * 8192)
    pool.ok("image", name="debian", path=str(disk_image))
    newer = pool.four_steps("image", **copy, path=str(tmp_path / "copy.raw"))
    assert [change["action"] for change in newer["changes"]] == ["update"]
    (tmp_path / "copy.raw").write_bytes(b"what somebody wrote")
    assert pool.ok("image", **copy, path=str(tmp_path / "copy.raw"))["changed"]
    (tmp_path / "mine.raw").write_bytes(b"mine")
    assert "did not write" in pool.refused("image", **copy, path=str(tmp_path / "mine.raw"))
    assert (tmp_path / "mine.raw").read_bytes() == b"mine"


def test_a_file_of_an_image_holds_what_it_was_made_from(
    controller_pool: Pool, disk_image: Path, tmp_path: Path
) -> None:
    """Against disks that hold something, which a pool without machines has none of."""
    with Lab(backend="qemu") as lab:
        pool = controller_pool
        pool.lab = lab
        pool.ok("image", name="debian", path=str(disk_image))
        pool.ok("image", name="debian", state="exported", path=str(tmp_path / "copy.raw"))
        pool.ok("image", name="again", path=str(tmp_path / "copy.raw"))
        pool.ok("image", name="again", state="exported", path=str(tmp_path / "copy.vhd"))
        pool.ok("image", name="third", path=str(tmp_path / "copy.vhd"))
        pool.ok("image", name="third", state="exported", path=str(tmp_path / "third.raw"))
        pool.ok("image", name="third", state="exported", path=str(tmp_path / "whole"), format="xva")
        (tmp_path / "whole.gz").write_bytes(gzip.compress((tmp_path / "whole").read_bytes()))
        pool.ok("image", name="fourth", path=str(tmp_path / "whole.gz"))
        pool.ok("image", name="fourth", state="exported", path=str(tmp_path / "fourth.raw"))
    with tarfile.open(tmp_path / "whole") as archive:
        assert archive.getnames()[0] == "ova.xml"
    assert (tmp_path / "copy.raw").read_bytes() == disk_image.read_bytes()
    assert (tmp_path / "third.raw").read_bytes() == disk_image.read_bytes()
    assert (tmp_path / "fourth.raw").read_bytes() == disk_image.read_bytes()


def test_versions_of_an_image(pool: Pool, tmp_path: Path) -> None:
    """The name is always the current version's. Images may be compressed."""
    files = {}
    for version, pack in {"1": gzip.compress, "2": lzma.compress, "3": bytes, "4": bz2.compress}.items():
        path = files[version] = tmp_path / version
        path.write_bytes(pack(version.encode() * 100_000))
    for version in "123":
        made = pool.four_steps("image", name="debian", path=str(files[version]), version=version, keep=2)["image"]
        assert made["size"] == 2 << 20
    older, current = pool.record("VM", "debian 2"), pool.record("VM", "debian")
    assert current["uuid"] == made["uuid"]
    assert pool.left_over() == {"VM": 2, "VDI": 2, "VBD": 2}
    assert "sha256" in pool.refused("image", name="debian", path=str(files["4"]), version="2")

    back = pool.four_steps("image", name="debian", path=str(files["2"]), version="2", keep=2)["image"]
    assert back["uuid"] == older["uuid"]
    assert pool.record("VM", "debian 3")["uuid"] == current["uuid"]
    vm = pool.ok("vm", name="web", tenant="acme", template="debian")["vm"]
    assert [disk["size"] for disk in vm["disks"]] == [2 << 20]
    pool.four_steps("image", name="debian", path=str(files["4"]), version="4", keep=1)
    assert [record["name_label"] for record in pool.lab.records("VM").values() if "debian" in record["name_label"]] == [
        "debian"
    ]
    pool.ok("vm", name="web", tenant="acme", state="absent")
    pool.four_steps("image", name="debian", state="absent")
    assert pool.left_over() == {}


def test_session_serves_many_tasks(pool: Pool) -> None:
    made = pool.ok("session")["session"]
    handed_on = {"xapi_host": [made["url"]], "xapi_session": made["ref"], "xapi_password": None}
    task = {"name": "none", "tenant": "acme", "state": "absent", **handed_on}
    assert not pool.ok("vm", **task)["changed"]
    assert "session.login_with_password" not in pool.calls()
    for _twice in range(2):
        assert not pool.ok("session", state="absent", **handed_on)["changed"]
    result = pool.run("vm", **task)
    assert "SESSION_INVALID" in result["msg"]


@pytest.mark.parametrize("state", ["halted", "paused", "suspended", "running", "present"])
@pytest.mark.parametrize("before", ["halted", "paused", "suspended", "running"])
def test_power_states(controller_pool: Pool, shop: dict[str, t.Any], before: str, state: str) -> None:
    pool = controller_pool
    pool.ok("vm", **{**shop, "config_drive": None, "ssh_host_key": False, "state": before})
    name = {"name": "shop", "tenant": "acme", "host": "acme-shop"}
    wanted = before if state == "present" else state
    if before == wanted:
        assert not pool.ok("vm", **name, state=state)["changed"]
    else:
        pool.four_steps("vm", **name, state=state)
    assert pool.record("VM", "shop")["power_state"].lower() == wanted


@pytest.mark.parametrize("before", ["halted", "paused", "suspended", "running"])
def test_restart_ends_running_each_time(controller_pool: Pool, shop: dict[str, t.Any], before: str) -> None:
    pool = controller_pool
    pool.ok("vm", **{**shop, "config_drive": None, "ssh_host_key": False, "state": before})
    for _twice in range(2):
        assert pool.ok("vm", name="shop", tenant="acme", host="acme-shop", state="restarted")["changed"]
        assert pool.record("VM", "shop")["power_state"] == "Running"
