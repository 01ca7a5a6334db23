# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.config_drive import config_drive_image, with_macs
from ansible_collections.hardshell.xen.plugins.module_utils._pool.drive_spec import DriveSpec, drive_spec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.iso9660 import iso9660
from ansible_collections.hardshell.xen.plugins.module_utils._pool.ssh_host_key import new_ssh_host_key
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(shutil.which("isoinfo") is None, reason="isoinfo (genisoimage) reads what we write")


def listed(image: bytes, folder: Path) -> set[str]:
    """The paths of the files that another program finds in a volume, by their Rock Ridge names."""
    path = folder / "drive.iso"
    path.write_bytes(image)
    out = subprocess.run(["isoinfo", "-R", "-f", "-i", str(path)], capture_output=True, text=True, check=True).stdout
    return {line.removeprefix("/") for line in out.splitlines()}


def content(name: str, folder: Path) -> bytes:
    return subprocess.run(
        ["isoinfo", "-R", "-x", f"/{name}", "-i", str(folder / "drive.iso")], capture_output=True, check=True
    ).stdout


def test_another_program_reads_names_contents_and_label(tmp_path: Path) -> None:
    files = {"user-data": b"u" * 5000, "meta-data": b"m", "empty": b"", "openstack/latest/user_data": b"o" * 2048}
    found = listed(iso9660("cidata", files), tmp_path)
    assert found == {*files, "openstack", "openstack/latest"}
    assert {name: content(name, tmp_path) for name in files} == files
    volume = subprocess.run(
        ["isoinfo", "-d", "-i", str(tmp_path / "drive.iso")], capture_output=True, text=True, check=True
    ).stdout
    assert "Volume id: cidata" in volume
    assert "Rock Ridge" in volume


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.text("abcdefghijklmnop-_.", min_size=1, max_size=60).filter(lambda name: not name.startswith(".")),
        st.binary(max_size=5000),
        max_size=60,
    )
)
def test_any_files_come_back(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> None:
    folder = tmp_path_factory.mktemp("iso")
    assert listed(iso9660("cidata", files), folder) == set(files)
    for name in list(files)[:3]:
        assert content(name, folder) == files[name]


def test_the_drive_has_both_layouts_and_the_key_in_vendor_data_alone(tmp_path: Path) -> None:
    key = new_ssh_host_key()
    drive = DriveSpec(
        True, "#cloud-config\n{}\n", None, {"version": 2, "ethernets": {"a": {"match": {"macaddress": "nic:front"}}}}
    )
    image = config_drive_image(drive, vm_uuid="1234", hostname="shop", macs={"front": "02:00:00:00:00:01"}, key=key)
    assert listed(image, tmp_path) >= {
        "user-data",
        "meta-data",
        "vendor-data",
        "network-config",
        "openstack/latest/meta_data.json",
    }
    meta_data = json.loads(content("meta-data", tmp_path))
    assert meta_data["instance-id"].startswith("1234-")
    assert meta_data["local-hostname"] == "shop"
    vendor_data = content("vendor-data", tmp_path).decode()
    assert vendor_data.startswith("#cloud-config\n")
    assert json.loads(vendor_data.partition("\n")[2])["ssh_keys"] == {
        "ed25519_private": key.private,
        "ed25519_public": key.public,
    }
    assert b"PRIVATE KEY" not in content("user-data", tmp_path)
    assert "02:00:00:00:00:01" in content("network-config", tmp_path).decode()


def test_new_content_is_a_new_instance_and_the_same_is_not() -> None:
    def image(text: str) -> bytes:
        return config_drive_image(DriveSpec(True, text), vm_uuid="1", hostname="h", macs={}, key=None)

    assert image("a") == image("a")
    assert image("a") != image("b")


def test_an_unknown_interface_in_network_config_is_refused_by_name() -> None:
    with pytest.raises(OptionError, match="front"):
        with_macs({"match": ["nic:frnt"]}, {"front": "02:00:00:00:00:01"})


def test_openssh_reads_the_key(tmp_path: Path) -> None:
    key = new_ssh_host_key()
    path = tmp_path / "key"
    path.write_text(key.private)
    path.chmod(0o600)
    public = subprocess.run(["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True, check=True).stdout
    assert public.split()[:2] == key.public.split()[:2]
    assert key.private not in repr(key)


def test_a_guest_of_ignition_finds_its_configuration_and_its_host_key(tmp_path: Path) -> None:
    key = new_ssh_host_key()
    config = {"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "/etc/hostname"}]}}
    image = config_drive_image(DriveSpec(True, json.dumps(config)), vm_uuid="1234", hostname="shop", macs={}, key=key)
    assert "vendor-data" not in listed(image, tmp_path)
    volume = subprocess.run(
        ["isoinfo", "-d", "-i", str(tmp_path / "drive.iso")], capture_output=True, check=True
    ).stdout
    assert b"Volume id: config-2" in volume
    found = json.loads(content("openstack/latest/user_data", tmp_path))
    files = {file["path"]: file for file in found["storage"]["files"]}
    assert list(files) == ["/etc/hostname", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub"]
    private = files["/etc/ssh/ssh_host_ed25519_key"]
    assert private["mode"] == 0o600
    assert base64.b64decode(private["contents"]["source"].partition(",")[2]).decode() == key.private
    validator = shutil.which("ignition-validate")
    if validator is None:
        pytest.skip("ignition-validate (ignition) checks what we write")
    (tmp_path / "config.ign").write_text(json.dumps(found))
    checked = subprocess.run([validator, str(tmp_path / "config.ign")], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def test_a_configuration_that_ignition_would_not_take_is_refused() -> None:
    given = {"state": "present", "vendor_data": None, "meta_data": None, "network_config": None, "sr": None}
    with pytest.raises(OptionError, match="specification 3"):
        drive_spec({**given, "user_data": '{"ignition": {"version": "2.3.0"}}'})
    with pytest.raises(OptionError, match="network_config"):
        drive_spec({**given, "user_data": '{"ignition": {"version": "3.3.0"}}', "network_config": {"version": 2}})


def test_vendor_data_travels_beside_the_host_key_and_the_key_comes_last(tmp_path: Path) -> None:
    key = new_ssh_host_key()
    given = "#cloud-config\npackages: [htop]\n"
    drive = DriveSpec(True, "#cloud-config\n{}\n", vendor_data=given)
    alone = config_drive_image(drive, vm_uuid="1", hostname="h", macs={}, key=None)
    listed(alone, tmp_path)
    assert content("vendor-data", tmp_path).decode() == given
    assert json.loads(content("openstack/latest/vendor_data.json", tmp_path)) == {"cloud-init": given}

    both = config_drive_image(drive, vm_uuid="1", hostname="h", macs={}, key=key)
    listed(both, tmp_path)
    head, _, archive = content("vendor-data", tmp_path).decode().partition("\n")
    assert head == "#cloud-config-archive"
    first, last = (part["content"] for part in json.loads(archive))
    assert first == given
    assert json.loads(last.partition("\n")[2])["ssh_keys"]["ed25519_public"] == key.public


def test_vendor_data_is_content_too_and_what_has_none_keeps_its_sum() -> None:
    plain = DriveSpec(True, "x")
    assert plain.sha256() == hashlib.sha256(json.dumps(["x", {}, {}], sort_keys=True).encode()).hexdigest()
    assert DriveSpec(True, "x", vendor_data="a").sha256() != plain.sha256()


def test_ignition_has_no_vendor_data() -> None:
    value = {"user_data": '{"ignition": {"version": "3.3.0"}}', "vendor_data": "#cloud-config", "state": "present"}
    with pytest.raises(OptionError, match=r"config_drive\.vendor_data"):
        drive_spec({**dict.fromkeys(["meta_data", "network_config", "sr"]), **value})
