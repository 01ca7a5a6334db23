# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A running machine's disk, moved into another file while the guest goes on: QEMU's mirror job."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from .command_line import block_node, disk_number
from .contract import Disk, MachineError
from .machine import Machine

LOOK_SECONDS = 0.2


async def node_of(machine: Machine, device: int) -> str:
    """The name of the node that a disk device uses: another than at the start once the disk has been moved."""
    for block in await machine.execute("query-block"):
        if disk_number(str(block.get("qdev", ""))) == device and "inserted" in block:
            return str(block["inserted"]["node-name"])
    raise MachineError(f"machine {machine.uuid} has no disk {device}")


async def move(machine: Machine, disk: Disk, progress: Callable[[float], None]) -> None:
    """Let a device use the file of `disk`, which gets all that the present one holds; on failure that one stays."""
    present = await node_of(machine, disk.device)
    target = {**block_node(disk), "node-name": f"disk-{disk.device}-{disk.uuid[:8]}", "read-only": False}
    await machine.execute("blockdev-add", target)
    job = f"move-{disk.device}"
    try:
        await machine.execute(
            "blockdev-mirror", {"job-id": job, "device": present, "target": target["node-name"], "sync": "full"}
        )
        await _until(machine, job, "BLOCK_JOB_READY", progress)
        await machine.execute("block-job-complete", {"device": job})
        await _until(machine, job, "BLOCK_JOB_COMPLETED", progress)
    except BaseException:
        with contextlib.suppress(MachineError):
            await _give_up(machine, job)
            await machine.execute("blockdev-del", {"node-name": target["node-name"]})
        raise
    await machine.execute("blockdev-del", {"node-name": present})


async def give_up_all(machine: Machine) -> None:
    """End the jobs that a lab which was killed has left behind; the disks stay where they were."""
    for job in await machine.execute("query-block-jobs"):
        await _give_up(machine, job["device"])


async def _give_up(machine: Machine, job: str) -> None:
    with contextlib.suppress(MachineError):  # it may have ended by itself
        await machine.execute("block-job-cancel", {"device": job, "force": True})
        await _ended(machine, job)


async def _ended(machine: Machine, job: str) -> None:
    while any(other["device"] == job for other in await machine.execute("query-block-jobs")):
        await asyncio.sleep(LOOK_SECONDS)


async def _until(machine: Machine, job: str, wanted: str, progress: Callable[[float], None]) -> None:
    """Wait for an event of a job; raises MachineError when it ends otherwise, or the machine does."""
    while True:
        event = await _next_event(machine)
        if event is None:
            for state in await machine.execute("query-block-jobs"):
                if state["device"] == job and state["len"]:
                    progress(min(0.99, state["offset"] / state["len"]))
            continue
        name, data = event
        if data.get("device") != job:
            continue
        if data.get("error") or name in ("BLOCK_JOB_CANCELLED", "BLOCK_JOB_ERROR"):
            raise MachineError(
                f"machine {machine.uuid}: its disk could not be moved: {data.get('error', 'see its log')}"
            )
        if name == wanted:
            return


async def _next_event(machine: Machine) -> tuple[str, dict[str, object]] | None:
    """The next event of a job; None after a while without."""
    waits = [asyncio.ensure_future(machine.job_events.get()), asyncio.ensure_future(machine.gone.wait())]
    try:
        done, _ = await asyncio.wait(waits, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if waits[0] in done:
            return await waits[0]  # type: ignore[return-value]
        if done:
            raise MachineError(f"machine {machine.uuid} ended while its disk was moved")
        return None
    finally:
        for wait in waits:
            wait.cancel()
