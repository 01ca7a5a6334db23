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
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from . import cgroups, file_system, guest_setup, syscalls
from .loop import ENVIRONMENT, Loop, say
from .services import Services

BOOT_FILE = "boot.json"
PID_FILE = "pid"
TERM_SECONDS = 0.5
SETTLE_SECONDS = 0.2
"""Interfaces change in bursts, as when a container starts: look once, when it is over."""
POWER_OFF_SIGNAL, REBOOT_SIGNAL = signal.SIGRTMIN + 4, signal.SIGRTMIN + 5
SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, POWER_OFF_SIGNAL, REBOOT_SIGNAL)
_RTMGRP = 0x1 | 0x10 | 0x100  # link, IPv4 addresses, IPv6 addresses (linux/rtnetlink.h)
_NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWCGROUP
)  # fmt: skip


def launch(folder: str, listener: int, go: int) -> int:
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
                Init(descriptor, socket.socket(fileno=listener)).run()
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
    """Process 1 of a guest."""

    def __init__(self, folder: int, listener: socket.socket) -> None:
        self._folder = folder
        self._loop = Loop()
        self._services = Services(self._loop)
        self._listener = listener
        self._labs: list[socket.socket] = []
        self._received: dict[socket.socket, bytes] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._description: dict[str, Any] = {}
        self._setup = 0
        self._setup_stage = ""
        self._is_up = False
        self._ending = ""
        listener.setblocking(False)
        self._loop.watch(listener, self._accept)

    def run(self) -> None:
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in SIGNALS:
            signal.signal(number, lambda *_: None)
        self._loop.watch(wake, lambda: self._signals(wake))
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        netlink.bind((0, _RTMGRP))
        self._loop.watch(netlink, lambda: self._interfaces_changed(netlink))
        self._boot()
        while True:
            self._loop.turn()

    def _signals(self, wake: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in os.read(wake, 4096):
                if number in (REBOOT_SIGNAL, signal.SIGINT):
                    self._end("reboot")
                elif number in (POWER_OFF_SIGNAL, signal.SIGTERM):
                    self._end("poweroff")
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                code = os.waitstatus_to_exitcode(status)
                if pid == self._setup:
                    self._set_up(code)
                else:
                    self._services.ended(pid, code)

    # --- boot

    def _boot(self) -> None:
        self._told.clear()
        self._description = _read(self._folder)
        say(f"booting {self._description['name']}")
        self._tell({"event": "booted"})
        self._start_setup("before")

    def _start_setup(self, stage: str) -> None:
        self._setup_stage = stage
        self._setup = os.fork()
        if self._setup:
            return
        code = 1
        try:
            _forget_signals()
            config = self._description["config"]
            problems = Path("/run/cloud-init/problems")
            if stage == "before":
                found = guest_setup.before_services(self._description["name"], config)
                problems.write_text(json.dumps([*self._description["problems"], *found]))
            else:
                guest_setup.after_services(config, json.loads(problems.read_text()))
            code = 0
        except BaseException as error:
            say(f"set-up: {error}")
        finally:
            os._exit(code)

    def _set_up(self, code: int) -> None:
        self._setup = 0
        if self._ending or code or self._setup_stage != "before":
            return
        self._services.boot()
        self._is_up = True
        self._loop.after(0, "look", self._look)
        self._tell({"event": "os", "os_version": _os_version()})
        self._start_setup("after")

    # --- end

    def _end(self, how: str) -> None:
        """Begin an orderly end: Docker stops its containers first."""
        if self._ending:
            return
        self._ending = how
        say(f"{how}: stopping services")
        self._services.stop_docker(self._end_others)

    def _end_others(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGTERM)
        self._loop.after(TERM_SECONDS if _anyone_left() else 0, "end", self._finish)

    def _finish(self) -> None:
        how, self._ending = self._ending, ""
        self._kill_all()
        self._tell({"event": how})
        if how == "poweroff":
            say("switched off")
            os._exit(0)
        self._boot()

    def _reset(self) -> None:
        self._ending = ""
        self._kill_all()
        self._boot()

    def _kill_all(self) -> None:
        """End every process but this one, and forget what they left in memory."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        self._setup, self._is_up = 0, False
        self._loop.forget()
        self._services.forget()
        _unmount_below("/var/lib/docker", "/run/docker")
        for name in os.listdir("/run"):
            if not os.path.ismount(f"/run/{name}"):
                subprocess.run(["rm", "-rf", f"/run/{name}"], check=False)

    # --- the lab

    def _accept(self) -> None:
        lab, _ = self._listener.accept()
        lab.setblocking(False)
        self._labs.append(lab)
        self._received[lab] = b""
        self._loop.watch(lab, lambda: self._hear(lab))
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
            self._loop.unwatch(lab)
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
        if self._is_up:
            self._loop.after(SETTLE_SECONDS, "look", self._look)

    def _look(self) -> None:
        message = {"event": "addresses", "addresses": _addresses()}
        if self._told.get("addresses") != message:
            self._tell(message)


def _anyone_left() -> bool:
    return any(name.isdigit() and name != "1" for name in os.listdir("/proc"))


def _addresses() -> dict[str, list[str]]:
    """Addresses by number of the NIC; IPv4 first."""
    output = subprocess.run(["ip", "-json", "address"], stdout=subprocess.PIPE, check=False, env=ENVIRONMENT)
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


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(launch(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
