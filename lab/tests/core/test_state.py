# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What outlives the server, and the command line."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_client import Api, Failure
from xapi_lab import daemon
from xapi_lab.cli import main
from xapi_lab.config import ConfigError, from_mapping
from xapi_lab.testing import Lab


def test_objects_outlive_the_server_and_sessions_do_not(tmp_path: Path) -> None:
    with Lab("none", state_dir=tmp_path) as first:
        api = Api(first)
        vm = api.running_vm("kept")
        api("VM.add_tags", vm, "t")
        record, address, session = api("VM.get_record", vm), api.addresses(vm), api.session
        password, port = first.password, first.port
        first.stop(keep_machines=True)
    with Lab("none", state_dir=tmp_path) as second:
        assert (second.password, second.port) == (password, port)
        api = Api(second)
        again = api("VM.get_record", vm)
        same = ("uuid", "name_label", "power_state", "tags", "VBDs", "VIFs", "resident_on", "domid")
        assert {name: again[name] for name in same} == {name: record[name] for name in same}
        assert set(again["allowed_operations"]) == set(record["allowed_operations"])
        assert api.wait(lambda: api.addresses(vm)) == address
        assert api("task.get_all") == []
        with pytest.raises(Failure, match="SESSION_INVALID"):
            api.request("VM.get_all", session)


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    information = daemon.running(tmp_path)
    if information:
        os.kill(information["pid"], signal.SIGTERM)


def test_up_status_down(state_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--state-dir", str(state_dir)]
    shape = tmp_path / "pool.yml"
    shape.write_text("hosts: [{name: one}, {name: two, address: 127.0.0.9}]\nhost_assumed_dead_after: 0\n")
    assert main(["status", *common]) == 3
    assert main(["up", *common, "--backend", "none", "--config", str(shape)]) == 0
    capsys.readouterr()
    assert main(["status", *common, "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert status["state"] == "up"
    assert Path(status["ca_path"]).exists()
    assert Path(status["password_file"]).stat().st_mode & 0o077 == 0
    assert main(["up", *common, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pid"] == status["pid"]
    assert main(["fault", "add", *common, "--method", "VM.start", "--error", "SR_FULL,1,2"]) == 0
    assert main(["fault", "list", *common]) == 0
    assert "VM.start" in capsys.readouterr().out
    assert main(["host", "lose", *common, "three"]) == 1
    assert "there are" in capsys.readouterr().err
    assert main(["host", "promote", *common, "127.0.0.9"]) == 0
    assert main(["fault", "add", *common, "--host-loss", "one"]) == 0
    assert main(["host", "lose", *common, "two"]) == 1
    assert "the last host that is up" in capsys.readouterr().err
    assert main(["status", *common, "--json"]) == 0
    hosts = json.loads(capsys.readouterr().out)["hosts"]
    assert [(host["name"], host["up"], host["coordinator"]) for host in hosts] == [
        ("one", False, False), ("two", True, True)
    ]  # fmt: skip
    assert hosts[1]["url"].startswith("https://127.0.0.9:")
    assert main(["calls", *common, "--json"]) == 0
    assert main(["down", *common]) == 0
    assert daemon.running(state_dir) is None
    assert main(["down", *common]) == 0


def test_a_killed_lab_comes_back_with_its_objects(state_dir: Path) -> None:
    tool = [sys.executable, "-m", "xapi_lab.cli"]
    common = ["--state-dir", str(state_dir)]
    subprocess.run([*tool, "up", *common, "--backend", "none"], check=True, capture_output=True)
    first = daemon.running(state_dir)
    assert first is not None
    os.kill(first["pid"], signal.SIGKILL)
    with open(state_dir / "lab.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
    subprocess.run([*tool, "up", *common], check=True, capture_output=True)
    second = daemon.running(state_dir)
    assert second is not None
    assert (second["url"], second["backend"]) == (first["url"], "none")


def test_a_pool_keeps_its_backend(tmp_path: Path) -> None:
    with Lab("none", state_dir=tmp_path):
        pass
    with pytest.raises(ConfigError, match="was made with backend none"):
        Lab("qemu", state_dir=tmp_path).start()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"backend": "vmware"}, "backend is one of qemu, namespace, none"),
        ({"colour": 1}, "unknown option colour"),
        ({"srs": [{"name": "x", "capacity": "2 Gigs"}]}, "a size is a number of bytes or such as '20 GiB'"),
        ({"networks": [{"name": "x", "kind": "bridge"}]}, "kind is nat or private"),
        ({"hosts": []}, "at least one"),
        ({"hosts": [{"name": "a"}, {"name": "a"}]}, "a name and an address of its own"),
        ({"hosts": [{"name": "a", "address": "10.0.0.1"}]}, "loopback addresses such as 127.0.0.2"),
        ({"srs": [{"name": "x", "host": "nobody"}]}, "srs: host is one of xapi-lab, not 'nobody'"),
        ({"srs": [{"name": "x", "host": "xapi-lab", "shared": True}]}, "belongs to no host"),
    ],
)
def test_bad_configuration_is_refused_with_what_would_be_right(source: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(source)


def test_roles_are_enforced() -> None:
    accounts = [{"name": "watcher", "password": "w", "role": "read-only"}]
    with Lab("none", accounts=accounts) as lab:
        root = Api(lab)
        session = root.request("session.login_with_password", "watcher", "w")
        assert root.request("VM.get_all", session)
        with pytest.raises(Failure, match="RBAC_PERMISSION_DENIED network.create"):
            root.request("network.create", session, {"name_label": "n", "other_config": {}})
