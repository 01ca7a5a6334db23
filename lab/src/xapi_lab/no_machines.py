# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The `none` backend: machines without a process and disks without a file, for the control plane alone."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from xapi_lab.machines.contract import (
    Disk,
    MachineError,
    MachineListener,
    MachineSpec,
    Nic,
    StorageError,
    Usage,
)
from xapi_lab.machines.vif_locking import may_receive


class NoMachines:
    """Every machine starts at once, has an address after `address_delay` seconds, and obeys."""

    def __init__(self, listener: MachineListener, address_delay: float = 0.1) -> None:
        self._listener = listener
        self._address_delay = address_delay
        self._running: dict[str, MachineSpec] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def start(self, spec: MachineSpec, *, paused: bool = False) -> None:
        if spec.uuid in self._running:
            raise MachineError(f"machine {spec.uuid} runs already")
        self._running[spec.uuid] = spec
        self._announce(spec)

    async def shutdown(self, uuid: str, timeout: float) -> bool:
        await self.kill(uuid)
        return True

    async def kill(self, uuid: str) -> None:
        self._running.pop(uuid, None)
        timer = self._timers.pop(uuid, None)
        if timer is not None:
            timer.cancel()

    async def reset(self, uuid: str) -> None:
        self._announce(self.spec(uuid))

    async def pause(self, uuid: str) -> None:
        self.spec(uuid)

    async def unpause(self, uuid: str) -> None:
        self.spec(uuid)

    async def suspend(self, uuid: str, path: Path) -> None:
        self.spec(uuid)
        await self.kill(uuid)

    async def resume(self, spec: MachineSpec, path: Path, *, paused: bool = False) -> None:
        await self.start(spec, paused=paused)

    async def migrate(self, spec: MachineSpec, progress: Callable[[float], None]) -> None:
        self.spec(spec.uuid)
        progress(0.5)

    async def move_disk(self, uuid: str, disk: Disk, progress: Callable[[float], None]) -> None:
        self.spec(uuid)
        progress(0.5)

    async def plug_disk(self, uuid: str, disk: Disk) -> None:
        self.spec(uuid)

    async def unplug_disk(self, uuid: str, disk_device: int) -> None:
        self.spec(uuid)

    async def plug_nic(self, uuid: str, nic: Nic) -> None:
        self.spec(uuid)

    async def unplug_nic(self, uuid: str, nic_device: int) -> None:
        self.spec(uuid)

    async def lock_nic(self, uuid: str, nic: Nic) -> None:
        spec = self.spec(uuid)
        nics = tuple(nic if other.device == nic.device else other for other in spec.nics)
        self._running[uuid] = replace(spec, nics=nics)
        self._announce(self._running[uuid])

    async def change_medium(self, uuid: str, device: int, path: Path | None) -> None:
        self.spec(uuid)

    async def adopt(self, spec: MachineSpec) -> bool:
        self._running[spec.uuid] = spec
        self._announce(spec)
        return True

    def display(self, uuid: str) -> Path | None:
        return None

    async def usage(self, uuid: str) -> Usage:
        return Usage(memory=self.spec(uuid).memory)

    async def stop_all(self) -> None:
        for uuid in list(self._running):
            await self.kill(uuid)

    async def release(self) -> None:
        await self.stop_all()

    def spec(self, uuid: str) -> MachineSpec:
        """What a running machine consists of now."""
        if uuid not in self._running:
            raise MachineError(f"machine {uuid} is not running")
        return self._running[uuid]

    def _announce(self, spec: MachineSpec) -> None:
        addresses = {nic.device: (nic.address,) for nic in spec.nics if nic.address and may_receive(nic.locking)}
        if addresses:
            self._timers[spec.uuid] = asyncio.get_running_loop().call_later(
                self._address_delay, self._listener.on_addresses, spec.uuid, addresses
            )


class NoStorage:
    """Disks that have a size only; the digest of what was uploaded into one is kept for tests."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._physical: dict[str, int] = {}
        self._srs: dict[str, Path] = {}
        self.digests: dict[str, str] = {}
        """SHA-256 of the last stream written into a disk, by VDI uuid; of what came before a stream was cut."""

    async def create(self, vdi_uuid: str, sr_path: Path, virtual_size: int) -> Path:
        self._sizes[vdi_uuid] = virtual_size
        self._physical[vdi_uuid] = 0
        self._srs[vdi_uuid] = sr_path
        return self.path(vdi_uuid, sr_path)

    async def clone(self, src_uuid: str, sr_path: Path, new_uuid: str) -> Path:
        self._sizes[new_uuid] = self._sizes.get(src_uuid, 0)
        self._physical[new_uuid] = 0
        self._srs[new_uuid] = sr_path
        return self.path(new_uuid, sr_path)

    async def copy(self, src_uuid: str, sr_path: Path, new_uuid: str, dest_sr_path: Path) -> Path:
        self._sizes[new_uuid] = self._sizes.get(src_uuid, 0)
        self._physical[new_uuid] = self._physical.get(src_uuid, 0)
        self._srs[new_uuid] = dest_sr_path
        return self.path(new_uuid, dest_sr_path)

    async def resize(self, uuid: str, sr_path: Path, size: int) -> None:
        self._sizes[uuid] = size

    async def destroy(self, uuid: str, sr_path: Path) -> None:
        self._sizes.pop(uuid, None)
        self._physical.pop(uuid, None)
        self._srs.pop(uuid, None)
        self.digests.pop(uuid, None)

    async def physical(self, uuid: str, sr_path: Path) -> int:
        return self._physical.get(uuid, 0)

    async def used(self, sr_path: Path) -> int:
        return sum(self._physical[uuid] for uuid, path in self._srs.items() if path == sr_path)

    async def write_stream(
        self, uuid: str, sr_path: Path, format: str, chunks: AsyncIterator[bytes], length: int | None
    ) -> None:
        digest, received, size = hashlib.sha256(), 0, self._sizes.get(uuid, 2**63)
        try:
            async for chunk in chunks:
                digest.update(chunk)
                received += len(chunk)
                if format == "raw" and received > size:
                    raise StorageError(f"the stream is longer than the disk's {size} bytes")
        finally:
            self._physical[uuid] = max(self._physical.get(uuid, 0), min(received, size))
            self.digests[uuid] = digest.hexdigest()

    async def write_extents(self, uuid: str, sr_path: Path, extents: AsyncIterator[tuple[int, bytes]]) -> None:
        digest, size = hashlib.sha256(), self._sizes.get(uuid, 2**63)
        async for offset, data in extents:
            if offset + len(data) > size:
                raise StorageError(f"the image is longer than the disk's {size} bytes")
            digest.update(data)
            self._physical[uuid] = min(size, self._physical.get(uuid, 0) + len(data))
        self.digests[uuid] = digest.hexdigest()

    async def read_extents(self, uuid: str, sr_path: Path, block: int) -> AsyncIterator[tuple[int, bytes]]:
        nothing: tuple[tuple[int, bytes], ...] = ()
        for extent in nothing:
            yield extent

    async def read_stream(
        self, uuid: str, sr_path: Path, format: str, base: tuple[str, Path] | None = None
    ) -> AsyncIterator[bytes]:
        if format != "raw":
            raise StorageError(f"the none backend cannot export {format}")
        left, block = self._sizes.get(uuid, 0), bytes(2**20)
        while left > 0:
            yield block[: min(left, len(block))]
            left -= len(block)

    def disks(self, sr_path: Path) -> dict[str, int]:
        return {uuid: self._sizes[uuid] for uuid, path in self._srs.items() if path == sr_path}

    def path(self, uuid: str, sr_path: Path) -> Path:
        return sr_path / uuid

    def format(self, uuid: str, sr_path: Path) -> str:
        return "raw"
