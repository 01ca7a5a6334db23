# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The file system of a guest: /usr, /etc and dpkg's data are overlays over this machine's, the rest is the guest's own.

What the guest writes is below its root VDI's tree. /var/lib/docker is a plain directory there, so that Docker can use
overlays of its own, which it cannot on an overlay.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from . import syscalls
from .cgroups import Hierarchy
from .syscalls import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC

OVERLAYS = ("usr", "etc", "var/lib/dpkg")
USR_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Links into /usr on a merged system; directories, and then overlays, on another."""
DIRECTORIES = {
    "dev": 0o755, "proc": 0o555, "sys": 0o555, "run": 0o755, "tmp": 0o1777, "root": 0o700, "home": 0o755, "mnt": 0o755,
    "media": 0o755, "srv": 0o755, "opt": 0o755, "var": 0o755, "var/lib": 0o755, "var/log": 0o755, "var/cache": 0o755,
    "var/tmp": 0o1777, "var/spool": 0o755, "var/lib/docker": 0o710,
}  # fmt: skip
OWN_IN_ETC = ("ssh", "docker", "systemd/system")
"""Folders of /etc of which a guest sees nothing of this machine's: keys, the configuration of another engine, services."""
DEVICES = {
    "null": (1, 3, 0o666), "zero": (1, 5, 0o666), "full": (1, 7, 0o666), "random": (1, 8, 0o666),
    "urandom": (1, 9, 0o666), "tty": (5, 0, 0o666), "kmsg": (1, 11, 0o640), "fuse": (10, 229, 0o666),
    "net/tun": (10, 200, 0o666),
}  # fmt: skip


def enter(tree: Path, disks: Iterable[tuple[int, Path]], hierarchies: Iterable[Hierarchy]) -> None:
    """Build the guest's file system in this process's own mount namespace, and make it the root.

    ``disks`` are the data disks: number of the device, and the disk's tree. /proc is left to process 1.
    """
    syscalls.mount("", "/", flags=MS_REC | MS_PRIVATE)
    for _, disk in disks:
        (disk / "root").mkdir(parents=True, exist_ok=True)
    opened = {number: syscalls.open_tree(str(disk / "root")) for number, disk in disks}
    _prepare(tree)
    os.chdir(tree)
    # Relative paths: the mount options of an overlay cannot hold every path.
    for name in _overlays():
        _overlay(name)
    os.chdir("root")
    _devices()
    syscalls.mount("tmpfs", "run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    syscalls.mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    syscalls.mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for hierarchy in hierarchies:
        hierarchy.mount_in_guest(Path("sys/fs/cgroup"))
    syscalls.change_root()
    for number, descriptor in opened.items():
        place = disk_place(number)
        os.makedirs(place, exist_ok=True)
        syscalls.attach_tree(descriptor, place)
        os.close(descriptor)


def disk_place(device: int) -> str:
    """Where a guest finds a data disk: /media/xvdb for device 1."""
    letters, number = "", device + 1
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"/media/xvd{letters}"


def _overlays() -> list[str]:
    merged = [name for name in USR_LINKS if os.path.isdir(f"/{name}") and not os.path.islink(f"/{name}")]
    return [name for name in (*OVERLAYS, *merged) if os.path.isdir(f"/{name}")]


def _prepare(tree: Path) -> None:
    """Make what is missing of a tree; a no-op for one that has been started before."""
    os.umask(0o022)
    root = tree / "root"
    root.mkdir(parents=True, exist_ok=True)
    for name, mode in DIRECTORIES.items():
        path = root / name
        if not path.exists():
            path.mkdir()
            path.chmod(mode)
    for name in USR_LINKS:
        if os.path.islink(f"/{name}") and not os.path.lexists(root / name):
            os.symlink(os.readlink(f"/{name}"), root / name)
    if not os.path.lexists(root / "var/run"):
        os.symlink("/run", root / "var/run")
    for name in _overlays():
        for path in (root / name, tree / "upper" / name, tree / "work" / name):
            path.mkdir(parents=True, exist_ok=True)
    for name in OWN_IN_ETC:
        own = tree / "upper/etc" / name
        if not own.exists():
            own.mkdir(parents=True)
            os.setxattr(own, "trusted.overlay.opaque", b"y")
    syscalls.mount(str(root), str(root), flags=MS_BIND)


def _overlay(name: str) -> None:
    options = f"lowerdir=/{name},upperdir=upper/{name},workdir=work/{name}"
    syscalls.mount("overlay", f"root/{name}", "overlay", 0, options)


def _devices() -> None:
    syscalls.mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755")
    for name in ("pts", "shm", "net", "mqueue"):
        os.mkdir(f"dev/{name}")
    for name, (major, minor, mode) in DEVICES.items():
        os.mknod(f"dev/{name}", stat.S_IFCHR | mode, os.makedev(major, minor))
        os.chmod(f"dev/{name}", mode)
    syscalls.mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5")
    syscalls.mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    syscalls.mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    links = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
    for name, target in links.items():
        os.symlink(target, f"dev/{name}")
