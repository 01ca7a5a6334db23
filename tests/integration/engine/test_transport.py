# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine over ssh: an sshd of our own on loopback, its host key pinned."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Daemon, Engine
from .sshd import Server, run_sshd

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Server]:
    with run_sshd(tmp_path_factory.mktemp("sshd"), AllowStreamLocalForwarding="yes") as server:
        yield server


def ssh_children() -> list[str]:
    """Process id and command line of every ssh that this process has started and that still runs."""
    command = ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line.strip() for line in found.stdout.splitlines() if line.split()[1] == "ssh"]


@pytest.fixture
def remote(engine: Engine, daemon: Daemon, server: Server) -> Engine:
    engine.host = server.host(daemon.socket)
    return engine


def test_a_set_is_deployed_over_one_ssh_connection(remote: Engine, server: Server) -> None:
    way = {"docker_ssh_key": server.key, "docker_ssh_host_key": server.host_key}
    logins = (server.directory / "log").read_text().count("Accepted publickey")
    assert remote.deploy({"one": {"image": "box:1"}}, **way).members["one"]["state"] == "running"
    assert (server.directory / "log").read_text().count("Accepted publickey") == logins + 1
    assert not remote.deploy({"one": {"image": "box:1"}}, **way).changed
    assert ssh_children() == []


def test_a_killed_ssh_is_replaced_and_the_old_set_kept(remote: Engine, server: Server) -> None:
    way = {"docker_ssh_key": server.key, "docker_ssh_host_key": server.host_key}
    remote.deploy({"one": {"image": "box:1"}}, **way)
    before = remote.daemon.running()
    slow = {"one": {"image": "box:2", "healthcheck": {"test": "false", "interval": "100ms", "retries": 1000}}}

    def kill_ssh() -> None:
        while "shop_one.new" not in remote.daemon.running():
            time.sleep(0.1)
        for child in ssh_children():
            os.kill(int(child.split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill_ssh)
    killer.start()
    with pytest.raises(HardshellError, match="The set runs as it did before"):
        remote.deploy(slow, **way)
    killer.join(30)
    assert remote.daemon.running() == before
    assert ssh_children() == []


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        pytest.param({"docker_ssh_host_key": "stranger"}, "the host key is not the one that is pinned", id="host key"),
        pytest.param({"docker_ssh_key": "stranger"}, "the login was refused", id="login"),
        pytest.param({"path": "/run/no-engine.sock"}, "nothing answers at /run/no-engine.sock", id="no engine"),
        pytest.param({"port": 1}, "nothing listens there", id="no sshd"),
    ],
)
def test_what_is_wrong_is_said(remote: Engine, server: Server, change: dict[str, t.Any], sign: str) -> None:
    way: dict[str, t.Any] = {"docker_ssh_key": server.key, "docker_ssh_host_key": server.host_key}
    if "docker_ssh_host_key" in change:
        way["docker_ssh_host_key"] = (server.directory / "stranger.pub").read_text().strip()
    if "docker_ssh_key" in change:
        way["docker_ssh_key"] = str(server.directory / "stranger")
    if "path" in change:
        remote.host = server.host(change["path"])
    if "port" in change:
        remote.host = remote.host.replace(f":{server.port}/", ":1/")
    with pytest.raises(HardshellError, match=sign):
        remote.deploy({"one": {"image": "box:1"}}, **way)
    assert ssh_children() == []


def test_an_unknown_host_is_refused_without_a_pinned_key(remote: Engine, server: Server, tmp_path: Path) -> None:
    way = {"docker_ssh_key": server.key, "docker_ssh_options": [f"UserKnownHostsFile={tmp_path}/none"]}
    with pytest.raises(HardshellError, match="host key is not the one"):
        remote.deploy({"one": {"image": "box:1"}}, **way)
    with pytest.raises(HardshellError, match="host key is not the one"):
        remote.deploy(
            {"one": {"image": "box:1"}},
            **{**way, "docker_ssh_options": [*way["docker_ssh_options"], "StrictHostKeyChecking=no"]},
        )


def test_the_users_agent_and_jump_host_are_respected(
    remote: Engine, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    found = dict(re.findall(r"(SSH_AUTH_SOCK|SSH_AGENT_PID)=([^;]+);", agent))
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", found["SSH_AUTH_SOCK"])
        subprocess.run(["ssh-add", "-q", server.key], check=True)
        (server.directory / "known").write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
        jump = f"ssh -p {server.port} -o UserKnownHostsFile={server.directory}/known -W %h:%p root@127.0.0.1"
        logins = (server.directory / "log").read_text().count("Accepted publickey")
        way = {"docker_ssh_host_key": server.host_key, "docker_ssh_options": [f"ProxyCommand={jump}"]}
        assert remote.deploy({"one": {"image": "box:1"}}, **way).changed
        assert (server.directory / "log").read_text().count("Accepted publickey") == logins + 2
    finally:
        os.kill(int(found["SSH_AGENT_PID"]), signal.SIGTERM)
