# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What is read from a NoCloud drive, and what a machine's control groups are called: pure."""

from __future__ import annotations

import base64
import gzip
import shutil
import subprocess
from pathlib import Path

import pytest
from xapi_lab.machines.namespace import iso9660
from xapi_lab.machines.namespace.cgroups import Hierarchy, hierarchies
from xapi_lab.machines.namespace.cloud_config import CloudConfig, User, from_drive
from xapi_lab.machines.namespace.services import read_unit


def drive(user_data: str, **others: str) -> CloudConfig:
    files = {"meta-data": "instance-id: one", "user-data": f"#cloud-config\n{user_data}"}
    files |= {name.replace("_", "-"): content for name, content in others.items()}
    return from_drive({name: content.encode() for name, content in files.items()})


def test_users_as_cloud_init_writes_them() -> None:
    config = drive("{users: [default, {name: ann, groups: 'a, b', sudo: false}, bob], ssh_authorized_keys: [key]}")
    assert [user.name for user in config.users] == ["debian", "ann", "bob"]
    assert config.users[0].authorized_keys == ("key",)
    assert config.users[0].sudo == ("debian ALL=(ALL) NOPASSWD:ALL",)
    assert config.users[1] == User("ann", groups=("a", "b"))


def test_user_data_counts_more_than_vendor_data_and_both_count() -> None:
    vendor = "#cloud-config\n{hostname: theirs, ssh_keys: {ed25519_private: secret, ed25519_public: known}}"
    config = drive("{hostname: ours, packages: [vim]}", vendor_data=vendor)
    assert config.hostname == "ours"
    assert config.host_keys == {"ssh_host_ed25519_key": "secret\n", "ssh_host_ed25519_key.pub": "known\n"}
    assert config.ignored == ("packages",)


def test_files_in_every_encoding() -> None:
    packed = base64.b64encode(gzip.compress(b"text")).decode()
    config = drive(
        f"{{write_files: [{{path: /a, content: {packed}, encoding: gz+b64, permissions: '0600'}}, {{path: /b, content: text}}]}}"
    )
    assert [base64.b64decode(file.content) for file in config.files] == [b"text", b"text"]
    assert [file.mode for file in config.files] == [0o600, 0o644]


@pytest.mark.parametrize(
    "network",
    [
        "{version: 2, ethernets: {x: {match: {macaddress: 'AA:BB:CC:00:00:01'}, addresses: [10.9.0.5/24], gateway4: 10.9.0.1}}}",
        "{network: {version: 1, config: [{type: physical, name: x, mac_address: 'aa:bb:cc:00:00:01', subnets: "
        "[{type: static, address: 10.9.0.5, netmask: 255.255.255.0, gateway: 10.9.0.1}]}]}}",
    ],
)
def test_static_addresses(network: str) -> None:
    assert drive("", network_config=network).addresses == {
        "aa:bb:cc:00:00:01": ("addr replace 10.9.0.5/24 dev DEV", "route replace default via 10.9.0.1 dev DEV")
    }


@pytest.mark.parametrize(
    ("user_data", "words"),
    [
        ("users: [{groups: a}]", "has no name"),
        ("write_files: [{path: a}]", "absolute"),
        ("a: [", "user-data .* no YAML"),
    ],
)
def test_what_cannot_be_right_is_named(user_data: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        drive(user_data)


@pytest.mark.skipif(shutil.which("genisoimage") is None, reason="genisoimage is not installed")
@pytest.mark.parametrize("names", [["-J"], ["-r"], ["-J", "-r"]])
def test_a_volume_is_read_by_either_kind_of_long_names(tmp_path: Path, names: list[str]) -> None:
    files = {"user-data": b"x" * 5000, "openstack/latest/meta_data.json": b"{}"}
    for name, content in files.items():
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(content)
    image = tmp_path / "image"
    subprocess.run(["genisoimage", "-quiet", "-V", "cidata", *names, "-o", image, tmp_path / "tree"], check=True)
    assert iso9660.files(image.read_bytes()) == ("cidata", files)


@pytest.mark.parametrize("image", [b"", bytes(65536)])
def test_what_is_no_volume_is_said_to_be_none(image: bytes) -> None:
    with pytest.raises(iso9660.NoVolume):
        iso9660.files(image)


def test_the_hierarchies_of_both_versions_of_control_groups() -> None:
    first = hierarchies(
        "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n",
        "3:cpu,cpuacct:/user.slice\n0::/\n",
    )
    assert first == [Hierarchy(Path("/sys/fs/cgroup/cpu,cpuacct"), "cpu,cpuacct", "/user.slice")]
    assert first[0].group("u") == Path("/sys/fs/cgroup/cpu,cpuacct/user.slice/xapi-lab/u")
    second = hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "0::/user.slice/session-1.scope\n")
    assert [one.group("u") for one in second] == [Path("/sys/fs/cgroup/xapi-lab/u")]


def test_a_simple_unit(tmp_path: Path) -> None:
    (tmp_path / "watch.service").write_text(
        "[Unit]\nAfter=docker.service\n[Service]\nExecStart=/bin/sh -c 'a  b'\nRestart=always\nRestartSec=2\nStateDirectory=watch\n"
    )
    service = read_unit(tmp_path / "watch.service")
    assert service is not None
    assert (service.command, service.restart, service.restart_seconds) == (["/bin/sh", "-c", "a  b"], "always", 2.0)
    assert service.environment == {"STATE_DIRECTORY": "/var/lib/watch"}
    assert read_unit(tmp_path / "no.service") is None
