# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The services of a guest: sshd, dockerd, and simple units of /etc/systemd/system, with a systemctl that knows their verbs.

Of a unit count ExecStart, Restart, RestartSec and StateDirectory of [Service] (systemd.service(5)). The guest's systemctl
does enable, disable and the like with files, and asks here, on a socket that only root may use, for all else.
"""

from __future__ import annotations

import configparser
import contextlib
import json
import os
import shlex
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from .loop import Loop, say, spawn

REQUEST_SOCKET = "/run/init.sock"
NOTIFY_SOCKET = "/run/notify.sock"
DOCKER_SOCKET = "/run/docker.sock"
UNITS = Path("/etc/systemd/system")
WANTED = UNITS / "multi-user.target.wants"
STOP_SECONDS = 20.0
"""Docker gives containers ten seconds of their own (docker stop)."""
DOCKER_STATE = ("/run/docker.pid", "/run/docker/containerd/containerd.pid")
# The protocol of sd_listen_fds(3): the socket is descriptor 3 of the process that LISTEN_PID names.
_DOCKER = (
    "LISTEN_PID=$$ LISTEN_FDS=1 exec dockerd --host=fd:// --exec-opt=native.cgroupdriver=cgroupfs --log-level=warn"
)

SYSTEMCTL = """\
#!/usr/bin/python3
# The systemctl of a guest in namespaces: process 1 answers for its services.
import json, os, socket, sys
words = [word for word in sys.argv[1:] if not word.startswith("-")]
verb, units = (words or ["status"])[0], [unit.removesuffix(".service") for unit in words[1:]]
quiet, now = bool({"-q", "--quiet"} & set(sys.argv)), "--now" in sys.argv
wanted = "/etc/systemd/system/multi-user.target.wants/%s.service"
def ask(verb, unit):
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect("/run/init.sock")
        asked.sendall(json.dumps({"verb": verb, "unit": unit}).encode() + b"\\n")
        return json.loads(asked.makefile().readline())
def one(verb, unit):
    if verb == "enable":
        os.makedirs(os.path.dirname(wanted), exist_ok=True)
        if not os.path.lexists(wanted % unit):
            os.symlink("../%s.service" % unit, wanted % unit)
    elif verb == "disable":
        if os.path.lexists(wanted % unit):
            os.unlink(wanted % unit)
    elif verb == "is-enabled":
        enabled = unit in ("ssh", "docker") or os.path.lexists(wanted % unit)
        quiet or print("enabled" if enabled else "disabled")
        return 0 if enabled else 1
    if verb in ("enable", "disable", "daemon-reload", "reset-failed", "mask", "unmask"):
        return one("start" if verb == "enable" else "stop", unit) if now and verb in ("enable", "disable") else 0
    answer = ask(verb, unit)
    if verb in ("is-active", "status"):
        quiet or print(answer["state"])
        return 0 if answer["state"] == "active" else 3
    answer["error"] and print(answer["error"], file=sys.stderr)
    return 1 if answer["error"] else 0
try:
    sys.exit(max([one(verb, unit) for unit in units or [""]]))
except PermissionError:
    sys.exit("systemctl: only root may do this")
"""


@dataclass
class Service:
    """A service, and the process that it has now."""

    name: str
    command: list[str]
    restart: str = "no"
    """`always`, `on-failure` or `no`."""
    restart_seconds: float = 0.1
    environment: dict[str, str] = field(default_factory=dict)
    notifies: bool = False
    """Tells by sd_notify(3) when it is ready; others are ready at once."""
    pid: int = 0
    state: str = "inactive"
    wanted: bool = False
    waiting: list[Callable[[str], None]] = field(default_factory=list)
    """Whom to tell of the end of a start or stop: with what went wrong, or nothing."""
    stopping: list[Callable[[str], None]] = field(default_factory=list)


def read_unit(path: Path) -> Service | None:
    """The service that a unit file describes; None when it starts nothing."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(path.read_text())
        section = parser["Service"]
        command = shlex.split(section["ExecStart"].lstrip("-@:+!"))
        seconds = float(section.get("RestartSec", "0.1").removesuffix("s"))
    except (OSError, KeyError, ValueError, configparser.Error):
        return None
    service = Service(path.stem, command, section.get("Restart", "no"), seconds)
    if "StateDirectory" in section:
        service.environment["STATE_DIRECTORY"] = f"/var/lib/{section['StateDirectory']}"
    return service


class Services:
    """All services of the guest; process 1 tells of children that ended."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._services: dict[str, Service] = {}
        self._sockets: list[socket.socket] = []
        self._docker_socket: socket.socket | None = None

    # --- boot and end

    def boot(self) -> None:
        self._services = {"ssh": Service("ssh", ["/usr/sbin/sshd", "-D", "-e"], "always")}
        self._open(REQUEST_SOCKET, socket.SOCK_STREAM, 0o600, self._accept)
        self._open(NOTIFY_SOCKET, socket.SOCK_DGRAM, 0o600, self._notified)
        self._start(self._services["ssh"])
        if os.path.exists("/usr/sbin/dockerd"):
            command = ["/bin/sh", "-c", _DOCKER]
            self._services["docker"] = Service("docker", command, "always", 1.0, notifies=True)
            self._listen_for_docker()
        for link in sorted(WANTED.glob("*.service")):
            if (service := self._find(link.stem)) is not None:
                self._start(service)

    def stop_docker(self, then: Callable[[], None]) -> None:
        """Let Docker stop its containers, and all others end with it; ``then`` is called in any case."""
        docker = self._services.get("docker")
        for service in self._services.values():
            service.wanted = False
        if docker is None or not docker.pid:
            self._loop.after(0, "end", then)
            return
        docker.stopping.append(lambda _: self._loop.after(0, "end", then))
        self._loop.after(STOP_SECONDS, "end", then)
        os.kill(docker.pid, signal.SIGTERM)

    def forget(self) -> None:
        """All processes are gone: forget them, and close what they were reached at."""
        for opened in self._sockets:
            self._loop.unwatch(opened)
            opened.close()
        self._sockets.clear()
        self._services.clear()
        self._docker_socket = None

    # --- Docker starts with the first connection to its socket; at once when it has containers to bring back

    def _listen_for_docker(self) -> None:
        self._docker_socket = self._open(DOCKER_SOCKET, socket.SOCK_STREAM, 0o660, None)
        os.chown(DOCKER_SOCKET, 0, _group_number("docker"))
        self._docker_socket.listen(128)
        containers = Path("/var/lib/docker/containers")
        if containers.is_dir() and any(containers.iterdir()):
            self._start(self._services["docker"])
        else:
            self._loop.watch(self._docker_socket, lambda: self._start(self._services["docker"]))

    # --- start and stop

    def _find(self, name: str) -> Service | None:
        if name not in self._services:
            service = read_unit(UNITS / f"{name}.service")
            if service is None:
                return None
            self._services[name] = service
        return self._services[name]

    def _start(self, service: Service, told: Callable[[str], None] | None = None) -> None:
        service.wanted = True
        if service.pid:
            if told:
                told("")
            return
        if told:
            service.waiting.append(told)
        third = None
        environment = dict(service.environment)
        if service.name == "docker" and self._docker_socket is not None:
            self._loop.unwatch(self._docker_socket)
            third = self._docker_socket.fileno()
            for leftover in DOCKER_STATE:
                Path(leftover).unlink(missing_ok=True)
        if service.notifies:
            environment["NOTIFY_SOCKET"] = NOTIFY_SOCKET
        if "STATE_DIRECTORY" in environment:
            os.makedirs(environment["STATE_DIRECTORY"], exist_ok=True)
        try:
            service.pid = spawn(service.command, environment, third)
        except OSError as error:
            service.state = "failed"
            self._tell(service, str(error))
            return
        service.state = "activating" if service.notifies else "active"
        if not service.notifies:
            self._tell(service, "")

    def _stop(self, service: Service, told: Callable[[str], None]) -> None:
        service.wanted = False
        self._loop.forget(f"restart {service.name}")
        if not service.pid:
            told("")
            return
        service.stopping.append(told)
        with contextlib.suppress(ProcessLookupError):
            os.kill(service.pid, signal.SIGTERM)
        self._loop.after(STOP_SECONDS, f"kill {service.name}", lambda: self._kill(service))

    @staticmethod
    def _kill(service: Service) -> None:
        if service.pid:
            os.kill(service.pid, signal.SIGKILL)

    @staticmethod
    def _tell(service: Service, problem: str) -> None:
        waiting, service.waiting = service.waiting, []
        for told in waiting:
            told(problem)

    def ended(self, pid: int, code: int) -> None:
        """A child of process 1 has ended."""
        service = next((one for one in self._services.values() if one.pid == pid), None)
        if service is None:
            return
        say(f"{service.name} ended ({code})")
        service.pid, service.state = 0, "failed" if code and service.wanted else "inactive"
        self._loop.forget(f"kill {service.name}")
        self._tell(service, f"{service.name} ended with exit code {code}")
        stopping, service.stopping = service.stopping, []
        for told in stopping:
            told("")
        again = service.restart == "always" or (service.restart == "on-failure" and code)
        if service.wanted and not service.pid and again:
            self._loop.after(service.restart_seconds, f"restart {service.name}", lambda: self._start(service))

    # --- what services and systemctl ask

    def _open(
        self, path: str, kind: socket.SocketKind, mode: int, handler: Callable[[socket.socket], None] | None
    ) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        opened = socket.socket(socket.AF_UNIX, kind)
        opened.setblocking(False)
        opened.bind(path)
        os.chmod(path, mode)
        self._sockets.append(opened)
        if handler is not None:
            if kind == socket.SOCK_STREAM:
                opened.listen(16)
            self._loop.watch(opened, lambda: handler(opened))
        return opened

    def _notified(self, opened: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while message := opened.recv(65536):
                if b"READY=1" in message:
                    for service in self._services.values():
                        if service.notifies and service.pid:
                            service.state = "active"
                            self._tell(service, "")

    def _accept(self, opened: socket.socket) -> None:
        asking, _ = opened.accept()
        asking.settimeout(1)  # root of the guest, with one line to say
        try:
            request = json.loads(asking.makefile().readline())
            self._answer(asking, str(request["verb"]), str(request["unit"]))
        except (OSError, ValueError, KeyError, TypeError):
            asking.close()

    def _answer(self, asking: socket.socket, verb: str, unit: str) -> None:
        def reply(problem: str) -> None:
            with contextlib.suppress(OSError), asking:
                asking.sendall(
                    json.dumps({"state": service.state if service else "", "error": problem}).encode() + b"\n"
                )

        service = None
        if verb in ("poweroff", "halt", "reboot"):
            os.kill(1, signal.SIGRTMIN + (5 if verb == "reboot" else 4))
            reply("")
            return
        service = self._find(unit)
        if service is None:
            reply(f"Unit {unit}.service not found.")
        elif verb in ("is-active", "status"):
            reply("")
        elif verb == "start":
            self._start(service, reply)
        elif verb == "stop":
            self._stop(service, reply)
        elif verb in ("restart", "try-restart"):
            self._stop(service, lambda _: self._start(service, reply))
        elif verb == "reload" and service.pid:
            os.kill(service.pid, signal.SIGHUP)
            reply("")
        else:
            reply(f"{unit}.service cannot {verb}")


def _group_number(name: str) -> int:
    for line in Path("/etc/group").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split(":")[2])
    return 0
