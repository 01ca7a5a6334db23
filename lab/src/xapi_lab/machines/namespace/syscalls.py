# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The Linux system calls that Python 3.11 has no name for. Each raises OSError with what was being done."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

_AT_FDCWD = -100
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_FROM_DESCRIPTOR = 4

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(namespaces: int) -> None:
    _checked(_libc.unshare(namespaces), "new namespaces")


def enter(descriptor: int, kind: int) -> None:
    """Enter the namespace that an open file of /proc/PID/ns stands for."""
    _checked(_libc.setns(descriptor, kind), "enter a namespace")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _checked(result, f"mount {kind or source} on {target}")


def umount(target: str, flags: int = 0) -> None:
    _checked(_libc.umount2(target.encode(), flags), f"unmount {target}")


def change_root() -> None:
    """Make the current directory, which is a mount point, the root, and let go of the old root."""
    _checked(_libc.pivot_root(b".", b"."), "change the root")
    umount(".", MNT_DETACH)


def open_tree(path: str) -> int:
    """A descriptor of a bind mount of a directory, to be attached in whichever mount namespace."""
    return _checked(_libc.open_tree(_AT_FDCWD, path.encode(), _OPEN_TREE_CLONE | os.O_CLOEXEC), f"open {path}")


def attach_tree(descriptor: int, target: str) -> None:
    result = _libc.move_mount(descriptor, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_FROM_DESCRIPTOR)
    _checked(result, f"mount a disk on {target}")
