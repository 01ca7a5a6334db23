# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Process 1 of a guest: boots it, runs its services, plays its guest agent, and ends it. Standard library only.

Run as ``python -m xapi_lab.machines.namespace.init UUID FOLDER LISTENER GO``: a process that makes the namespaces, leaves
process 1 behind in them, and ends. LISTENER is the descriptor of the machine's control socket, GO that of a pipe: the
guest boots with the first byte, when its NICs are in place.

On the control socket both sides send JSON, one object a line. From the lab: ``{"command": "poweroff" | "reset"}``. To the
lab: ``{"event": "booted" | "poweroff" | "reboot"}``, ``{"event": "addresses", "addresses": {device: [...]}}`` and
``{"event": "os", "os_version": {...}}``; a lab that connects later is told of the present state first.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from . import cgroups, file_system, guest_setup, syscalls

BOOT_FILE = "boot.json"
PID_FILE = "pid"
DOCKER_SOCKET = "/run/docker.sock"
DOCKER_STOP_SECONDS = 20.0
"""Docker gives containers ten seconds of their own (docker stop)."""
TERM_SECONDS = 0.5
RESPAWN_SECONDS = 1.0
SETTLE_SECONDS = 0.2
"""Interfaces change in bursts, as when a container starts: look once, when it is over."""
POWER_OFF_SIGNAL, REBOOT_SIGNAL = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
_RTMGRP = 0x1 | 0x10 | 0x100  # link, IPv4 addresses, IPv6 addresses (linux/rtnetlink.h)
_NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWCGROUP
)  # fmt: skip


def launch(uuid: str, folder: str, listener: int, go: int) -> int:
    """Make the guest's namespaces and process 1; returns when that waits for GO."""
    for inherited in (listener, go):
        os.set_inheritable(inherited, False)
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    boot = _read(descriptor)
    known = cgroups.of_this_machine()
    cgroups.join(map(Path, boot["cgroups"]))
    syscalls.unshare(_NAMESPACES)
    child = os.fork()
    if child == 0:
        try:
            disks = [(number, Path(tree)) for number, tree in boot["disks"]]
            file_system.enter(Path(boot["tree"]), disks, known)
            syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
            cgroups.leave_inner_node(Path("/sys/fs/cgroup"))
            if os.read(go, 1):
                os.close(go)
                Init(uuid, descriptor, socket.socket(fileno=listener)).run()
        except BaseException as error:
            print(f"init: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    temporary = os.open(f"{PID_FILE}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600, dir_fd=descriptor)
    os.write(temporary, str(child).encode())
    os.rename(f"{PID_FILE}.new", PID_FILE, src_dir_fd=descriptor, dst_dir_fd=descriptor)
    return 0


def _read(folder: int) -> dict[str, Any]:
    with open(os.open(BOOT_FILE, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)) as file:
        content: dict[str, Any] = json.load(file)
    return content


class Init:
    """The loop of process 1."""

    def __init__(self, uuid: str, folder: int, listener: socket.socket) -> None:
        self._uuid = uuid
        self._folder = folder
        self._selector = selectors.DefaultSelector()
        self._labs: list[socket.socket] = []
        self._received: dict[socket.socket, bytes] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._docker: int | None = None
        self._docker_socket: socket.socket | None = None
        self._sshd: int | None = None
        self._setup: int | None = None
        self._setup_stage = ""
        self._problems = ""
        self._timers: dict[str, float] = {}
        self._ending = ""
        self._watch(listener, self._accept)
        listener.setblocking(False)

    # --- the loop

    def run(self) -> None:
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, POWER_OFF_SIGNAL, REBOOT_SIGNAL):
            signal.signal(number, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ, lambda: self._signals(wake))
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        netlink.bind((0, _RTMGRP))
        self._watch(netlink, lambda: self._interfaces_changed(netlink))
        self._boot()
        while True:
            now = time.monotonic()
            due = [name for name, when in self._timers.items() if when <= now]
            for name in due:
                del self._timers[name]
                getattr(self, f"_on_{name}")()
            timeout = min(self._timers.values(), default=now + 3600) - time.monotonic()
            for key, _ in self._selector.select(max(0.0, timeout)):
                key.data()

    def _watch(self, opened: socket.socket, handler: Any) -> None:
        self._selector.register(opened, selectors.EVENT_READ, handler)

    def _in(self, seconds: float, name: str) -> None:
        self._timers[name] = time.monotonic() + seconds

    def _signals(self, wake: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(wake, 4096):
                if number == REBOOT_SIGNAL or number == signal.SIGINT:
                    self._end("reboot")
                elif number in (POWER_OFF_SIGNAL, signal.SIGTERM):
                    self._end("poweroff")
        self._reap()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, code: int) -> None:
        if pid == self._docker:
            self._docker = None
            _say(f"dockerd ended ({code})")
            if self._ending:
                self._in(0, "docker_stopped")
            elif self._docker_socket is not None:
                self._in(RESPAWN_SECONDS, "docker_respawn")
        elif pid == self._sshd:
            self._sshd = None
            if not self._ending:
                self._in(RESPAWN_SECONDS, "sshd_respawn")
        elif pid == self._setup:
            self._setup = None
            self._set_up(code)

    # --- boot

    def _boot(self) -> None:
        self._told.clear()
        self._description = _read(self._folder)
        _say(f"booting {self._description['name']}")
        self._tell({"event": "booted"})
        self._start_setup("before")

    def _start_setup(self, stage: str) -> None:
        self._setup_stage = stage
        pid = os.fork()
        if pid:
            self._setup = pid
            return
        code = 1
        try:
            _forget_signals()
            config = self._description["config"]
            if stage == "before":
                problems = guest_setup.before_services(self._description["name"], config)
                Path("/run/cloud-init/problems").write_text(json.dumps([*self._description["problems"], *problems]))
            else:
                guest_setup.after_services(config, json.loads(Path("/run/cloud-init/problems").read_text()))
            code = 0
        except BaseException as error:
            _say(f"set-up: {error}")
        finally:
            os._exit(code)

    def _set_up(self, code: int) -> None:
        if self._ending:
            return
        if self._setup_stage == "before" and code == 0:
            self._start_sshd()
            self._listen_for_docker()
            self._in(0, "look")
            self._tell({"event": "os", "os_version": _os_version()})
            self._start_setup("after")

    def _start_sshd(self) -> None:
        self._sshd = _spawn(["/usr/sbin/sshd", "-D", "-e"])

    _on_sshd_respawn = _start_sshd

    def _listen_for_docker(self) -> None:
        """Docker starts with the first connection to its socket; at once when it has containers to bring back."""
        if not os.path.exists("/usr/sbin/dockerd"):
            return
        guest_setup.run(["groupadd", "--force", "docker"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(DOCKER_SOCKET)
        self._docker_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._docker_socket.bind(DOCKER_SOCKET)
        os.chmod(DOCKER_SOCKET, 0o660)
        os.chown(DOCKER_SOCKET, 0, _group_number("docker"))
        self._docker_socket.listen(128)
        containers = Path("/var/lib/docker/containers")
        if containers.is_dir() and any(containers.iterdir()):
            self._start_docker()
        else:
            self._watch(self._docker_socket, self._docker_wanted)

    def _docker_wanted(self) -> None:
        assert self._docker_socket is not None
        self._selector.unregister(self._docker_socket)
        self._start_docker()

    def _start_docker(self) -> None:
        assert self._docker_socket is not None
        for leftover in ("/run/docker.pid", "/run/docker/containerd/containerd.pid"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(leftover)
        # The protocol of sd_listen_fds(3): the socket is descriptor 3 of the process that LISTEN_PID names.
        command = 'LISTEN_PID=$$ LISTEN_FDS=1 exec /usr/sbin/dockerd "$@"'
        options = ["--host=fd://", "--exec-opt=native.cgroupdriver=cgroupfs", "--log-level=warn"]
        self._docker = _spawn(["/bin/sh", "-c", command, "dockerd", *options], self._docker_socket.fileno())

    def _on_docker_respawn(self) -> None:
        if self._docker_socket is not None and not self._ending:
            self._watch(self._docker_socket, self._docker_wanted)

    # --- end

    def _end(self, how: str) -> None:
        """Begin an orderly end: Docker stops its containers first."""
        if self._ending:
            return
        self._ending = how
        _say(f"{how}: stopping services")
        if self._docker is not None:
            os.kill(self._docker, signal.SIGTERM)
            self._in(DOCKER_STOP_SECONDS, "docker_stopped")
        else:
            self._in(0, "docker_stopped")

    def _on_docker_stopped(self) -> None:
        self._timers.pop("docker_stopped", None)
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGTERM)
        self._in(TERM_SECONDS if self._anyone_left() else 0, "finish")

    def _anyone_left(self) -> bool:
        return any(name.isdigit() and name != "1" for name in os.listdir("/proc"))

    def _on_finish(self) -> None:
        how, self._ending = self._ending, ""
        self._kill_all()
        self._tell({"event": how})
        if how == "poweroff":
            _say("switched off")
            os._exit(0)
        self._boot()

    def _reset(self) -> None:
        self._ending = ""
        self._timers.clear()
        self._kill_all()
        self._boot()

    def _kill_all(self) -> None:
        """End every process but this one, and forget what they left in memory."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        self._docker = self._sshd = self._setup = None
        if self._docker_socket is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(self._docker_socket)
            self._docker_socket.close()
            self._docker_socket = None
        _unmount_below("/var/lib/docker", "/run/docker")
        for name in os.listdir("/run"):
            if not os.path.ismount(f"/run/{name}"):
                subprocess.run(["rm", "-rf", f"/run/{name}"], check=False)

    # --- the lab

    def _accept(self) -> None:
        listener = next(key.fileobj for key in self._selector.get_map().values() if key.data == self._accept)
        assert isinstance(listener, socket.socket)
        lab, _ = listener.accept()
        lab.setblocking(False)
        self._labs.append(lab)
        self._received[lab] = b""
        self._watch(lab, lambda: self._hear(lab))
        for message in self._told.values():
            self._send(lab, message)

    def _hear(self, lab: socket.socket) -> None:
        try:
            data = lab.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(lab)
            return
        *lines, self._received[lab] = (self._received[lab] + data).split(b"\n")
        for line in lines:
            command = json.loads(line)["command"]
            if command == "reset":
                self._reset()
            elif command == "poweroff":
                self._end("poweroff")

    def _drop(self, lab: socket.socket) -> None:
        if lab in self._labs:
            self._labs.remove(lab)
            del self._received[lab]
            self._selector.unregister(lab)
            lab.close()

    def _tell(self, message: dict[str, Any]) -> None:
        self._told[message["event"]] = message
        for lab in list(self._labs):
            self._send(lab, message)

    def _send(self, lab: socket.socket, message: dict[str, Any]) -> None:
        try:
            lab.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._drop(lab)

    # --- the guest agent

    def _interfaces_changed(self, netlink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while netlink.recv(65536):
                pass
        if self._sshd is not None:
            self._in(SETTLE_SECONDS, "look")

    def _on_look(self) -> None:
        message = {"event": "addresses", "addresses": _addresses()}
        if self._told.get("addresses") != message:
            self._tell(message)


def _addresses() -> dict[str, list[str]]:
    """Addresses by number of the NIC; IPv4 first."""
    output = subprocess.run(
        ["ip", "-json", "address"], stdout=subprocess.PIPE, check=False, env=guest_setup.ENVIRONMENT
    )
    found: dict[str, list[str]] = {}
    for interface in json.loads(output.stdout or b"[]"):
        name = re.fullmatch(r"eth(\d+)", interface.get("ifname", ""))
        usable = [one for one in interface.get("addr_info", ()) if not one.get("tentative")]
        if name and usable:
            found[name[1]] = [one["local"] for one in sorted(usable, key=lambda one: one["family"])]
    return found


def _os_version() -> dict[str, str]:
    """What XAPI's guest tools say of the operating system."""
    release = platform.freedesktop_os_release()
    major, _, minor = release.get("VERSION_ID", "").partition(".")
    return {
        "name": release.get("PRETTY_NAME", ""),
        "distro": release.get("ID", ""),
        "major": major,
        "minor": minor,
        "uname": os.uname().release,
    }


def _unmount_below(*places: str) -> None:
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in reversed(mounted):
        if any(path.startswith(f"{place}/") for place in places):
            with contextlib.suppress(OSError):
                syscalls.umount(path, syscalls.MNT_DETACH)


def _group_number(name: str) -> int:
    for line in Path("/etc/group").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split(":")[2])
    return 0


def _spawn(command: list[str], as_third: int | None = None) -> int:
    """Start a service with a session of its own; ``as_third`` becomes its descriptor 3."""
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
    if as_third is not None:
        actions.append((os.POSIX_SPAWN_DUP2, as_third, 3))
    mask = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ]
    return os.posix_spawn(
        command[0], command, guest_setup.ENVIRONMENT, file_actions=actions, setsigdef=mask, setsid=True
    )


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, POWER_OFF_SIGNAL, REBOOT_SIGNAL):
        signal.signal(number, signal.SIG_DFL)


def _say(text: str) -> None:
    print(f"init: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
