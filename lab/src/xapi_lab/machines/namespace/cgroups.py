# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A machine's control groups: they bound its memory and CPUs, freeze it, and count what it uses. Versions 1 and 2.

With version 1 there is one folder a hierarchy, below this process's own; with version 2 one below the root, because a
group that has processes, as a login session's has, cannot hand controllers down.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from . import syscalls
from .syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID

GROUP = "xapi-lab"
CPU_PERIOD = 100_000
"""Microseconds."""
REMOVE_SECONDS = 5.0
_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC


@dataclass(frozen=True)
class Hierarchy:
    """A mounted cgroup file system."""

    mount_point: Path
    options: str
    """Controllers as they are mounted, such as `cpu,cpuacct` or `name=systemd`; empty for version 2."""
    own: str
    """The group of this process, such as `/user.slice`."""

    @property
    def is_unified(self) -> bool:
        return not self.options

    def controls(self, controller: str) -> bool:
        return controller in self.options.split(",")

    def group(self, uuid: str) -> Path:
        """The folder of a machine's group."""
        parent = self.mount_point if self.is_unified else self.mount_point / self.own.lstrip("/")
        return parent / GROUP / uuid

    def mount_in_guest(self, place: Path) -> None:
        """Mount the hierarchy, seen from inside a cgroup namespace, below the guest's /sys/fs/cgroup."""
        if self.is_unified:
            syscalls.mount("cgroup2", str(place), "cgroup2", _FLAGS)
            return
        if not os.path.ismount(place):
            syscalls.mount("tmpfs", str(place), "tmpfs", _FLAGS, "mode=755")
        name = self.options.removeprefix("name=")
        (place / name).mkdir()
        syscalls.mount("cgroup", str(place / name), "cgroup", _FLAGS, self.options)
        for controller in name.split(",") if "," in name else ():
            (place / controller).symlink_to(name)


def hierarchies(mounts: str, groups: str) -> list[Hierarchy]:
    """The hierarchies in the text of /proc/self/mounts, with this process's groups from that of /proc/self/cgroup.

    Where version 1 is in use, version 2 beside it has no controllers and is left out.
    """
    own = {}
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        own[controllers] = path
    first, second = [], []
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            second.append(Hierarchy(Path(place), "", own.get("", "/")))
        elif kind == "cgroup":
            words = set(options.split(","))
            first += [Hierarchy(Path(place), name, own[name]) for name in own if name and set(name.split(",")) <= words]
    return first or second[:1]


def of_this_machine() -> list[Hierarchy]:
    return hierarchies(Path("/proc/self/mounts").read_text(), Path("/proc/self/cgroup").read_text())


class Groups:
    """The groups of one machine, made by ``make`` or found again by ``at``."""

    def __init__(self, places: Iterable[tuple[Hierarchy, Path]]) -> None:
        self._places = list(places)

    @classmethod
    def make(cls, uuid: str, known: Iterable[Hierarchy]) -> Groups:
        groups = cls([(hierarchy, hierarchy.group(uuid)) for hierarchy in known])
        for hierarchy, place in groups._places:
            if hierarchy.is_unified:
                _hand_down(hierarchy.mount_point)
                place.parent.mkdir(exist_ok=True)
                _hand_down(place.parent)
            place.mkdir(parents=True, exist_ok=True)
            for parent in (place.parent, place) if hierarchy.controls("cpuset") else ():
                _copy_cpuset(parent.parent, parent)
        return groups

    @classmethod
    def at(cls, paths: Iterable[Path], known: Iterable[Hierarchy]) -> Groups:
        """The groups whose folders an earlier process made."""
        found = []
        for path in paths:
            hierarchy = next((one for one in known if path.is_relative_to(one.mount_point)), None)
            if hierarchy is not None:
                found.append((hierarchy, path))
        return cls(found)

    @property
    def paths(self) -> list[Path]:
        return [place for _, place in self._places]

    def limit(self, memory: int, vcpus: int) -> None:
        """Bytes of memory, and CPUs' worth of time."""
        if place := self._of("memory"):
            (place / "memory.limit_in_bytes").write_text(str(memory))
        if place := self._of("cpu"):
            (place / "cpu.cfs_quota_us").write_text(str(vcpus * CPU_PERIOD))
        if place := self._unified():
            _write_if_there(place / "memory.max", str(memory))
            _write_if_there(place / "cpu.max", f"{vcpus * CPU_PERIOD} {CPU_PERIOD}")

    def freeze(self, frozen: bool) -> None:
        """Stop every process of the machine where it is, or let them go on."""
        if place := self._of("freezer"):
            (place / "freezer.state").write_text("FROZEN" if frozen else "THAWED")
        elif place := self._unified():
            (place / "cgroup.freeze").write_text("1" if frozen else "0")

    # --- what it used

    def cpu_seconds(self) -> float:
        if place := self._of("cpuacct"):
            return int((place / "cpuacct.usage").read_text()) / 1e9
        if place := self._unified():
            return _table(place / "cpu.stat").get("usage_usec", 0) / 1e6
        return 0.0

    def memory(self) -> int:
        """Bytes in use, without file pages that the kernel would give up at once."""
        if place := self._of("memory"):
            inactive = _table(place / "memory.stat").get("total_inactive_file", 0)
            return max(0, int((place / "memory.usage_in_bytes").read_text()) - inactive)
        if (place := self._unified()) and (place / "memory.current").exists():
            inactive = _table(place / "memory.stat").get("inactive_file", 0)
            return max(0, int((place / "memory.current").read_text()) - inactive)
        return 0

    def disk(self) -> tuple[int, int]:
        """Bytes read from and written to block devices."""
        read = written = 0
        if place := self._of("blkio"):
            for line in (place / "blkio.throttle.io_service_bytes_recursive").read_text().splitlines():
                words = line.split()
                read += int(words[2]) if words[1:2] == ["Read"] else 0
                written += int(words[2]) if words[1:2] == ["Write"] else 0
        elif (place := self._unified()) and (place / "io.stat").exists():
            for word in (place / "io.stat").read_text().split():
                name, _, value = word.partition("=")
                read += int(value) if name == "rbytes" else 0
                written += int(value) if name == "wbytes" else 0
        return read, written

    # --- end

    def remove(self) -> None:
        """Remove the groups, and those that the guest made below them, once their processes are gone."""
        deadline = time.monotonic() + REMOVE_SECONDS
        for _, place in self._places:
            for path, _, _ in os.walk(place, topdown=False):
                _remove(Path(path), deadline)
            with contextlib.suppress(OSError):
                place.parent.rmdir()

    def _of(self, controller: str) -> Path | None:
        return next((place for hierarchy, place in self._places if hierarchy.controls(controller)), None)

    def _unified(self) -> Path | None:
        return next((place for hierarchy, place in self._places if hierarchy.is_unified), None)


def join(paths: Iterable[Path]) -> None:
    """Put this process into groups."""
    for path in paths:
        (path / "cgroup.procs").write_text("0")


def leave_inner_node(path: Path) -> None:
    """Version 2, inside the guest: process 1 moves out of the way, so that the group can hand its controllers down."""
    if not (path / "cgroup.controllers").exists():
        return
    (path / "init").mkdir(exist_ok=True)
    (path / "init/cgroup.procs").write_text("0")
    _hand_down(path)


def _hand_down(path: Path) -> None:
    for controller in (path / "cgroup.controllers").read_text().split():
        # One at a time: a controller that cannot be handed down shall not keep the others.
        with contextlib.suppress(OSError):
            (path / "cgroup.subtree_control").write_text(f"+{controller}")


def _copy_cpuset(source: Path, target: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (target / name).read_text().strip():
            (target / name).write_text((source / name).read_text())


def _write_if_there(path: Path, text: str) -> None:
    if path.exists():
        path.write_text(text)


def _table(path: Path) -> dict[str, int]:
    pairs = (line.split() for line in path.read_text().splitlines())
    return {name: int(value) for name, value in pairs}


def _remove(path: Path, deadline: float) -> None:
    while True:
        try:
            path.rmdir()
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                return
            # There is no event for the last process leaving a group of version 1.
            time.sleep(0.01)
