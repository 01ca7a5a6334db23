# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a set of eight containers takes, beside other tools and beside the bare requests that are the least it can cost. Prints a table, judges nobody."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest

from .conftest import Daemon, Engine, UnixConnection

pytestmark = [pytest.mark.engine, pytest.mark.bench]

MEMBERS = [f"member{number}" for number in range(8)]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hardshell.xen"
NO_OPS = 3


class Contender:
    """A way to have the eight containers run: ``deploy`` is called for the first time on an empty engine, then again for a no-op."""

    name = ""

    def deploy(self) -> None:
        raise NotImplementedError


class Floor(Contender):
    """The requests alone, one after another on one connection."""

    name = "bare requests"

    def __init__(self, daemon: Daemon) -> None:
        self._connection = UnixConnection(daemon.socket)

    def _ask(self, method: str, path: str, body: t.Any = None) -> t.Any:
        headers = {"Content-Type": "application/json"}
        self._connection.request(method, f"/v1.41{path}", body=json.dumps(body) if body else None, headers=headers)
        answer: http.client.HTTPResponse = self._connection.getresponse()
        content = answer.read()
        assert answer.status < 400, content
        return json.loads(content) if content else None

    def deploy(self) -> None:
        for path in ("/networks", "/images/json"):
            self._ask("GET", path)
        there = self._ask("GET", "/containers/json?all=1")
        for container in there:
            self._ask("GET", f"/containers/{container['Id']}/json")
        if not there:
            self._ask("POST", "/networks/create", {"Name": "floor"})
            for name in MEMBERS:
                body = {"Image": "box:1", "HostConfig": {"NetworkMode": "floor"}}
                self._ask("POST", f"/containers/create?name={name}", body)
                self._ask("POST", f"/containers/{name}/start")


class Command(Contender):
    """A program that is run anew each time."""

    def __init__(self, name: str, command: list[str], folder: Path, **environment: str) -> None:
        self.name, self._command, self._folder = name, command, folder
        self._environment = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", **environment}

    def deploy(self) -> None:
        done = subprocess.run(
            self._command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def playbook(folder: Path, name: str, tasks: list[dict[str, t.Any]]) -> str:
    path = folder / f"{name}.json"
    path.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]))
    return str(path)


def contenders(engine: Engine, folder: Path) -> t.Iterator[Contender]:
    """Everything that is installed. All make one network and eight containers in it."""
    yield Floor(engine.daemon)
    program = str(Path(sys.executable).parent / "ansible-playbook")
    yield Command("ansible-playbook without a task", [program, playbook(folder, "nothing", [])], folder)
    containers = {name: {"image": "box:1"} for name in MEMBERS}
    ours = [{"hardshell.xen.container_set": engine.arguments(containers, network="flat")}]
    yield Command("container_set", [program, playbook(folder, "ours", ours)], folder)
    theirs: list[dict[str, t.Any]] = [
        {"community.docker.docker_network": {"name": "theirs", "docker_host": engine.host}},
        {
            "community.docker.docker_container": {
                "name": "{{ item }}",
                "image": "box:1",
                "pull": "never",
                "networks": [{"name": "theirs"}],
                "docker_host": engine.host,
            },
            "loop": MEMBERS,
        },
    ]
    if (CACHE / "community/venv/bin/ansible-playbook").exists():
        # Its modules run under the tests' Python, which has what they import. No collection but its own.
        command = [
            str(CACHE / "community/venv/bin/ansible-playbook"),
            "-e",
            f"ansible_python_interpreter={sys.executable}",
        ]
        yield Command(
            "community.docker", [*command, playbook(folder, "theirs", theirs)], folder, ANSIBLE_COLLECTIONS_PATH="/none"
        )
    if shutil.which("docker-compose"):
        (folder / "compose.yaml").write_text(
            json.dumps({"version": "3", "services": {name: {"image": "box:1"} for name in MEMBERS}})
        )
        yield Command(
            "docker-compose",
            ["docker-compose", "-f", "compose.yaml", "up", "-d"],
            folder,
            DOCKER_HOST=engine.host,
            COMPOSE_HTTP_TIMEOUT="600",
        )


def seconds(work: t.Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def test_eight_containers(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    floor = (0.0, 0.0)
    for contender in contenders(engine, tmp_path):
        engine.daemon.clear()
        first = seconds(contender.deploy)
        running = engine.daemon.running()
        again = min(seconds(contender.deploy) for _again in range(NO_OPS))
        assert engine.daemon.running() == running
        assert len(running) in (0, len(MEMBERS)), running
        floor = floor if rows else (first, again)
        rows.append(
            f"{contender.name:<32} {first:8.2f} s {first / floor[0]:6.1f} x {again:10.3f} s {again / floor[1]:8.1f} x"
        )
    with capsys.disabled():
        print(f"\n{'':<32} {'first deploy':>10} {'of floor':>8} {'no-op':>12} {'of floor':>10}", *rows, sep="\n")
