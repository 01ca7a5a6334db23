# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A real Docker Engine for each test run: its own network namespace, its own directories, nothing of the machine's own engine."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible_collections.hardshell.xen.plugins.module_utils._engine import health
from ansible_collections.hardshell.xen.plugins.module_utils._module import Context
from ansible_collections.hardshell.xen.plugins.modules import container_set, container_set_info

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh",
    "printf",
    "sleep",
    "httpd",
    "nc",
    "nslookup",
    "ping",
    "cat",
    "echo",
    "test",
    "touch",
    "ls",
    "id",
    "env",
    "true",
    "false",
    "kill",
    "mkdir",
)
START_SECONDS = 60


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Daemon:
    """The engine, spoken to without any code of the collection."""

    def __init__(self, socket_path: str, pid: int) -> None:
        self.socket = socket_path
        self.pid = pid

    def request(self, method: str, path: str, body: t.Any = None, data: bytes | None = None) -> t.Any:
        connection = UnixConnection(self.socket)
        headers = {"Content-Type": "application/x-tar" if data is not None else "application/json"}
        connection.request(
            method, f"/v1.41{path}", body=data if data is not None else json.dumps(body or {}), headers=headers
        )
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")
        try:
            return json.loads(content)
        except ValueError:
            return content

    def containers(self) -> dict[str, dict[str, t.Any]]:
        return {item["Names"][0].lstrip("/"): item for item in self.request("GET", "/containers/json?all=1")}

    def inspect(self, name: str) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self.request("GET", f"/containers/{name}/json"))

    def running(self) -> dict[str, str]:
        """Names and ids of what runs."""
        return {name: item["Id"] for name, item in self.containers().items() if item["State"] == "running"}

    def networks(self) -> set[str]:
        return {item["Name"] for item in self.request("GET", "/networks")} - {"bridge", "host", "none"}

    def volumes(self) -> set[str]:
        return {item["Name"] for item in self.request("GET", "/volumes")["Volumes"] or []}

    def execute(self, name: str, *command: str) -> tuple[int, str]:
        """Exit code and output of a command in a container."""
        made = self.request(
            "POST",
            f"/containers/{name}/exec",
            {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "Tty": True},
        )
        output = self.request("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": True})
        code = self.request("GET", f"/exec/{made['Id']}/json")["ExitCode"]
        return code, output.decode() if isinstance(output, bytes) else str(output)

    def reaches(self, consumer: str, address: str) -> bool:
        """Whether a container gets an answer over HTTP from another one."""
        request = f"printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80"
        return "200 OK" in self.execute(consumer, "sh", "-c", request)[1]

    def clear(self) -> None:
        for name in self.containers():
            self.request("DELETE", f"/containers/{name}?force=1&v=1")
        for name in self.networks():
            self.request("DELETE", f"/networks/{name}")
        for name in self.volumes():
            self.request("DELETE", f"/volumes/{name}")


def _root_file_system() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in ("bin", "etc", "tmp", "data"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        content = BUSYBOX.read_bytes()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
        for applet in APPLETS:
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        entry = tarfile.TarInfo("etc/hello")
        entry.size = len(b"hello")
        tar.addfile(entry, io.BytesIO(b"hello"))
    return buffer.getvalue()


def archive(name: str, **config: t.Any) -> bytes:
    """A busybox image as docker save writes it, with this configuration."""
    layer = _root_file_system()
    settings = {"Cmd": ["httpd", "-f", "-p", "80", "-h", "/etc"], "StopSignal": "SIGKILL", **config}
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    described = {
        "architecture": "amd64",
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [digest]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in (
            ("layer.tar", layer),
            ("config.json", json.dumps(described).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _make_images(daemon: Daemon) -> None:
    daemon.request("POST", "/images/load", data=archive("box:1", Env=["KIND=box", "LEVEL=1"]))
    daemon.request("POST", "/images/load", data=archive("box:2", Env=["KIND=box", "LEVEL=2"]))
    daemon.request("POST", "/images/load", data=archive("store:1", Volumes={"/data": {}}))


@pytest.fixture(scope="session")
def daemon() -> t.Iterator[Daemon]:
    if os.geteuid() != 0:
        pytest.skip("a Docker Engine of one's own needs root")
    dockerd = shutil.which("dockerd") or shutil.which("dockerd", path="/usr/sbin:/sbin")
    if not dockerd or not shutil.which("unshare"):
        pytest.skip("dockerd or unshare is not installed")
    if not BUSYBOX.exists():
        pytest.skip("the test images are made from busybox-static, which is not installed")
    base = tempfile.mkdtemp(prefix="hs-", dir="/tmp")
    socket_path = f"{base}/d.sock"
    # A limit for every container, as distributions set it: what the engine adds by itself must look like no change.
    limit = {"Name": "nofile", "Soft": 2048, "Hard": 4096}
    Path(base, "daemon.json").write_text(json.dumps({"default-ulimits": {"nofile": limit}}))
    flags = [
        f"--data-root={base}/data",
        f"--exec-root={base}/exec",
        f"--pidfile={base}/pid",
        f"--host=unix://{socket_path}",
    ]
    flags += [
        "--exec-opt=native.cgroupdriver=cgroupfs",
        "--bip=10.199.0.1/24",
        "--userland-proxy=false",
        f"--config-file={base}/daemon.json",
    ]
    flags += ["--default-address-pool=base=10.198.0.0/16,size=26"]
    # The engine ends with this process, however this process ends.
    script = 'ip link set lo up && exec setpriv --pdeathsig TERM "$0" "$@"'
    with open(f"{base}/log", "wb") as log:
        process = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script, dockerd, *flags],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    engine = Daemon(socket_path, process.pid)
    try:
        _await_answer(engine, process, Path(f"{base}/log"))
        _make_images(engine)
        yield engine
        engine.clear()
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(base, ignore_errors=True)


def _await_answer(engine: Daemon, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            engine.request("GET", "/version")
            return
        except (OSError, http.client.HTTPException):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"dockerd does not run here: {log.read_text()[-600:]}")
            time.sleep(0.1)


class Task:
    """One run of a module's definition: its result, and what it said meanwhile."""

    def __init__(self, definition: t.Any, arguments: dict[str, t.Any], check: bool) -> None:
        validation = ModuleArgumentSpecValidator(definition.argument_spec, **definition.constraints()).validate(
            arguments
        )
        assert not validation.error_messages, validation.error_messages
        self.said: list[str] = []
        self.warnings: list[str] = []
        context = Context(check_mode=check, diff_mode=True, progress=self.said.append, warn=self.warnings.append)
        self.result: dict[str, t.Any] = definition.run(validation.validated_parameters, context)

    @property
    def changed(self) -> bool:
        return bool(self.result["changed"])

    @property
    def actions(self) -> list[tuple[str, str, str]]:
        return [(change["action"], change["kind"], change["name"]) for change in self.result["changes"]]

    @property
    def members(self) -> dict[str, dict[str, t.Any]]:
        return t.cast("dict[str, dict[str, t.Any]]", self.result["container_set"]["members"])


class Engine:
    """The collection's modules, pointed at the engine."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.host = f"unix://{daemon.socket}"

    def arguments(self, containers: dict[str, t.Any] | None = None, **options: t.Any) -> dict[str, t.Any]:
        given = {
            "docker_host": self.host,
            "tenant": "acme",
            "name": "shop",
            "pull": "never",
            "wait_timeout": 30,
            **options,
        }
        return given if containers is None else {**given, "containers": containers}

    def deploy(self, containers: dict[str, t.Any] | None = None, *, check: bool = False, **options: t.Any) -> Task:
        return Task(container_set.DEFINITION, self.arguments(containers, **options), check)

    def remove(self, *, check: bool = False, **options: t.Any) -> Task:
        return self.deploy(None, check=check, state="absent", **options)

    def info(self, **options: t.Any) -> list[dict[str, t.Any]]:
        return t.cast(
            "list[dict[str, t.Any]]",
            Task(container_set_info.DEFINITION, {"docker_host": self.host, **options}, False).result["container_sets"],
        )


@pytest.fixture
def engine(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Engine]:
    monkeypatch.setattr(health, "STEADY_SECONDS", 0.5)
    daemon.clear()
    yield Engine(daemon)
    daemon.clear()
