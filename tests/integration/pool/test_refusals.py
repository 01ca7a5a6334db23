# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What cannot be done is refused before the first change, in one message that says what is wrong and what would be right."""

from __future__ import annotations

import socket
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from conftest import Pool

NEW = {"name": "new", "tenant": "acme", "template": "Debian Bookworm 12", "state": "running"}


def test_wrong_password(pool: Pool) -> None:
    message = pool.refused("vm", **NEW, xapi_password="wrong")
    assert "xapi_password" in message
    assert "SESSION_AUTHENTICATION_FAILED" in message
    assert "wrong" not in message


def test_unreachable_pool(pool: Pool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    message = pool.refused("vm", **NEW, xapi_host=[f"127.0.0.1:{port}"])
    assert "xapi_host" in message
    assert str(port) in message
    assert "refuses connections" in message


def test_a_pool_that_does_not_answer_in_time(controller_pool: Pool) -> None:
    controller_pool.lab.fault("session.login_with_password", latency=3)
    result = controller_pool.run("pool_info", xapi_timeout=1)
    assert "does not answer in time" in result["msg"]


def test_the_next_member_is_asked(pool: Pool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    pool.ok("vm", check=True, **NEW, xapi_host=[f"127.0.0.1:{port}", pool.lab.url])


def test_untrusted_certificate(pool: Pool) -> None:
    message = pool.refused("vm", **NEW, xapi_ca_path=None)
    assert "xapi_ca_path" in message
    assert pool.lab.fingerprint.replace(":", "").lower() in message
    assert "session.login_with_password" not in pool.calls()


def test_a_pinned_certificate_is_enough_and_another_is_not(pool: Pool) -> None:
    pool.ok("vm", check=True, **NEW, xapi_ca_path=None, xapi_fingerprint=[pool.lab.fingerprint])
    message = pool.refused("vm", **NEW, xapi_ca_path=None, xapi_fingerprint=["00" * 32])
    assert "xapi_fingerprint" in message
    assert "session.login_with_password" not in pool.calls()


def test_unknown_template(pool: Pool) -> None:
    message = pool.refused("vm", **{**NEW, "template": "Debian Bookwurm 12"})
    assert "template" in message
    assert "'Debian Bookworm 12'" in message


def test_no_template(pool: Pool) -> None:
    assert "template" in pool.refused("vm", **{**NEW, "template": None})


def test_template_named_twice(controller_pool: Pool) -> None:
    pool = controller_pool
    template = pool.ref("VM", "Debian Bookworm 12")
    other = pool.call("VM.clone", template, "Debian Bookworm 12")
    uuids = [pool.lab.records("VM")[ref]["uuid"] for ref in (template, other)]
    message = pool.refused("vm", **NEW)
    assert all(uuid in message for uuid in uuids)
    pool.ok("vm", check=True, **{**NEW, "template": uuids[0]})


def test_unknown_network(pool: Pool) -> None:
    message = pool.refused("vm", **NEW, networks=[{"network": "Pool-wide network"}])
    assert "networks[0].network" in message
    assert "Pool-wide network associated with eth0" in message


def test_sr_too_full(pool: Pool) -> None:
    message = pool.refused("vm", **NEW, disks=[{"name": "big", "size": "900TiB"}])
    assert message.startswith("sr: 'Local storage'")
    assert "900 TiB" in message
    assert "free" in message


def test_disks_that_fit_one_by_one_but_not_together(pool: Pool) -> None:
    assert "sr" in pool.refused("vm", **NEW, disks=[{"name": str(number), "size": "120GiB"} for number in range(2)])


def test_more_vcpus_than_a_host_has(pool: Pool) -> None:
    """XAPI refuses the start alone, and not where the VM's platform says so."""
    shop = {"name": "shop", "tenant": "acme", "template": "Debian Bookworm 12", "vcpus": 17}
    message = pool.refused("vm", **shop, state="running")
    assert message.startswith("vcpus: 17 cannot be used; the host with the most has 16 physical CPUs")
    assert "'xapi-lab' has 16" in pool.refused("vm", **shop, state="running", resident_on="xapi-lab")
    assert pool.ok("vm", **shop, state="halted")["changed"]
    pool.refused("vm", **shop, state="running")
    assert pool.ok("vm", **shop, state="running", platform={"vcpu-unrestricted": True})["changed"]


def test_a_storage_repository_that_no_host_has_attached(pool: Pool, disk_image: Path) -> None:
    name, vdi = "Local storage", {"name": "data", "size": "1GiB"}
    (sr,) = [record for record in pool.lab.records("SR").values() if record["name_label"] == name]
    for pbd in sr["PBDs"]:
        pool.call("PBD.unplug", pbd)
    expected = f"{name!r} is not attached to any host; plug its PBD there (xe pbd-plug), or name one that is: none"
    shop = {"name": "shop", "tenant": "acme", "template": "Debian Bookworm 12"}
    assert expected in pool.refused("vm", **shop, disks=[{**vdi, "sr": name}])
    assert expected in pool.refused("image", name="golden", path=str(disk_image), sr=name)
    assert pool.ok("vm", **shop)["changed"], "without disks it is no matter"


def test_memory_in_gigs(pool: Pool) -> None:
    message = pool.refused("vm", **NEW, memory="2 Gigs")
    assert message.startswith("memory: '2 Gigs'")
    assert "2GiB" in message


def test_a_change_that_needs_a_halt(pool: Pool, shop: dict[str, t.Any]) -> None:
    pool.ok("vm", **shop)
    shop["memory"] = "2GiB"
    message = pool.refused("vm", **shop)
    assert "allow_power_cycle" in message
    assert "1 GiB to 2 GiB" in message


def test_new_drive_content_for_a_guest_that_has_booted(pool: Pool, shop: dict[str, t.Any]) -> None:
    pool.ok("vm", **shop)
    shop["config_drive"] = {"user_data": "another"}
    assert "config_drive" in pool.refused("vm", **shop)


def test_shrinking_a_disk(pool: Pool, shop: dict[str, t.Any]) -> None:
    pool.ok("vm", **shop)
    message = pool.refused("vm", **{**shop, "disks": [{"name": "data", "size": "1GiB"}]})
    assert "disks[0].size" in message
    assert "5 GiB" in message


def test_image_file_that_is_not_there(pool: Pool, tmp_path: Path) -> None:
    assert str(tmp_path / "no.raw") in pool.refused("image", name="debian", path=str(tmp_path / "no.raw"))


def test_image_with_another_checksum(pool: Pool, disk_image: Path) -> None:
    message = pool.refused("image", name="debian", path=str(disk_image), checksum="sha256:" + "0" * 64)
    assert "checksum" in message
    assert message.count("sha256:") == 2


def test_image_that_does_not_fit(pool: Pool, disk_image: Path) -> None:
    assert "sr" in pool.refused("image", name="debian", path=str(disk_image), size="900TiB")


def test_image_in_the_wrong_format(pool: Pool, disk_image: Path) -> None:
    assert "format" in pool.refused("image", name="debian", path=str(disk_image), format="qcow2")


def test_template_of_somebody_else(pool: Pool, disk_image: Path) -> None:
    assert "Debian Bookworm 12" in pool.refused("image", name="Debian Bookworm 12", path=str(disk_image))
    assert "Debian Bookworm 12" in pool.refused("image", name="Debian Bookworm 12", state="absent")


def test_a_failed_upload_leaves_nothing(pool: Pool, disk_image: Path) -> None:
    pool.lab.fault("/import_raw_vdi", error="VDI_IO_ERROR,the disk is broken")
    failed = pool.run("image", name="debian", path=str(disk_image))
    assert "VDI_IO_ERROR" in failed["msg"]
    assert {name for name in pool.left_over() if name != "task"} == set()


def test_user_data_is_in_no_result(pool: Pool, shop: dict[str, t.Any]) -> None:
    shop["config_drive"] = {"user_data": "#cloud-config\npassword: hunter2\n"}
    assert "hunter2" not in str(pool.ok("vm", **shop))
    assert "hunter2" not in str(pool.lab.records("VM"))
    assert "hunter2" not in str(pool.lab.records("VDI"))


def test_a_mapping_as_user_data_hides_nothing_else(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    shop["config_drive"] = {"user_data": {"hostname": "acme-shop", "count": 1, "password": "hunter2"}}
    made = controller_pool.ok("vm", **shop)
    assert made["vm"]["inventory_host"] == "acme-shop"
    assert "hunter2" not in str(made)


def test_a_nop_takes_at_most_six_calls(pool: Pool, shop: dict[str, t.Any]) -> None:
    shop["disks"] = [{"name": f"disk{number}", "size": "1GiB"} for number in range(8)]
    shop["networks"] = [{"name": f"nic{number}", "network": "Host internal management network"} for number in range(5)]
    pool.ok("vm", **shop)
    assert not pool.ok("vm", **shop)["changed"]
    assert sum(pool.calls().values()) <= 6
