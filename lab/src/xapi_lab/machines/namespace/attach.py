# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Mount a disk's tree in a running guest, and unmount it: a process of its own enters the guest's mount namespace.

Run as ``python -m xapi_lab.machines.namespace.attach PROCESS attach TREE PLACE`` or ``... PROCESS detach PLACE``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ..contract import MachineError
from . import syscalls


async def attach(process: int, tree: Path, place: str) -> None:
    tree.mkdir(parents=True, exist_ok=True)
    await _run(process, "attach", str(tree), place)


async def detach(process: int, place: str) -> None:
    """MachineError when the guest uses the disk."""
    await _run(process, "detach", place)


async def _run(process: int, *arguments: str) -> None:
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "xapi_lab.machines.namespace.attach", str(process), *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, complaint = await run.communicate()
    if run.returncode != 0:
        raise MachineError(complaint.decode(errors="replace").strip())


def main(process: int, action: str, arguments: list[str]) -> None:
    namespace = os.open(f"/proc/{process}/ns/mnt", os.O_RDONLY)
    if action == "attach":
        tree, place = arguments
        mount = syscalls.open_tree(tree)
        syscalls.enter(namespace, syscalls.CLONE_NEWNS)
        os.makedirs(place, exist_ok=True)
        syscalls.attach_tree(mount, place)
    else:
        syscalls.enter(namespace, syscalls.CLONE_NEWNS)
        syscalls.umount(arguments[0])


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
    except OSError as error:
        sys.exit(error.strerror or str(error))
