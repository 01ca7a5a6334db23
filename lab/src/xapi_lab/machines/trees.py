# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Disks that a guest in namespaces keeps its files on: a VDI's folder of files, beside its disk file.

The folder, ``<uuid>.tree``, is made by the first start of a machine, and goes the way of its disk: cloned, copied,
counted and destroyed with it. The disk file stays what was imported or created.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

from .contract import StorageError
from .storage import QcowStorage


def tree_of(vdi_uuid: str, sr_path: Path) -> Path:
    return sr_path / f"{vdi_uuid}.tree"


class TreeStorage(QcowStorage):
    """The disks of QEMU machines, and of guests in namespaces; the ``Storage`` of the contract."""

    async def clone(self, src_uuid: str, sr_path: Path, new_uuid: str) -> Path:
        path = await super().clone(src_uuid, sr_path, new_uuid)
        await asyncio.to_thread(_copy, tree_of(src_uuid, sr_path), tree_of(new_uuid, sr_path))
        return path

    async def copy(self, src_uuid: str, sr_path: Path, new_uuid: str, dest_sr_path: Path) -> Path:
        path = await super().copy(src_uuid, sr_path, new_uuid, dest_sr_path)
        await asyncio.to_thread(_copy, tree_of(src_uuid, sr_path), tree_of(new_uuid, dest_sr_path))
        return path

    async def destroy(self, uuid: str, sr_path: Path) -> None:
        await asyncio.to_thread(shutil.rmtree, tree_of(uuid, sr_path), ignore_errors=True)
        await super().destroy(uuid, sr_path)

    async def physical(self, uuid: str, sr_path: Path) -> int:
        tree = await asyncio.to_thread(_bytes, tree_of(uuid, sr_path))
        return tree + await super().physical(uuid, sr_path)

    async def used(self, sr_path: Path) -> int:
        trees = [await asyncio.to_thread(_bytes, tree) for tree in sr_path.glob("*.tree")]
        return sum(trees) + await super().used(sr_path)


def _copy(source: Path, target: Path) -> None:
    """Copy a tree with owners, attributes and device files, sharing blocks where the file system can."""
    if not source.exists():
        return
    part = target.with_suffix(".tree.part")
    command = ["cp", "--archive", "--reflink=auto", "--no-target-directory", str(source), str(part)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        shutil.rmtree(part, ignore_errors=True)
        raise StorageError(f"could not copy the files of a disk: {done.stderr.strip().splitlines()[-1]}")
    part.rename(target)


def _bytes(tree: Path) -> int:
    """Bytes that a tree takes; 0 when there is none."""
    total = 0
    for folder, _, names in os.walk(tree):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                continue
    return total
