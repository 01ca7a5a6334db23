# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Machines of several backends in one lab: each VM has the backend that its specification names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from .contract import Disk, MachineError, Machines, MachineSpec, Nic, Usage


class MachinesByVm:
    """Hands every message on to the machine's own backend; the ``Machines`` of the contract."""

    def __init__(self, makers: Mapping[str, Callable[[], Machines]]) -> None:
        """``makers``: how a backend is made, by name; it is made when the first machine asks for it."""
        self._makers = makers
        self._made: dict[str, Machines] = {}
        self._of_machine: dict[str, Machines] = {}

    def _backend(self, spec: MachineSpec) -> Machines:
        if spec.backend not in self._makers:
            raise MachineError(
                f"backend {spec.backend!r} is not one of this pool's, which are {', '.join(sorted(self._makers))}"
            )
        if spec.backend not in self._made:
            self._made[spec.backend] = self._makers[spec.backend]()
        self._of_machine[spec.uuid] = self._made[spec.backend]
        return self._made[spec.backend]

    def of(self, uuid: str) -> Machines:
        """The backend of a machine that was started."""
        if uuid not in self._of_machine:
            raise MachineError(f"machine {uuid} does not run")
        return self._of_machine[uuid]

    async def start(self, spec: MachineSpec, *, paused: bool = False) -> None:
        await self._backend(spec).start(spec, paused=paused)

    async def resume(self, spec: MachineSpec, path: Path, *, paused: bool = False) -> None:
        await self._backend(spec).resume(spec, path, paused=paused)

    async def adopt(self, spec: MachineSpec) -> bool:
        return await self._backend(spec).adopt(spec)

    async def shutdown(self, uuid: str, timeout: float) -> bool:
        return await self.of(uuid).shutdown(uuid, timeout)

    async def kill(self, uuid: str) -> None:
        if uuid in self._of_machine:
            await self._of_machine[uuid].kill(uuid)

    async def reset(self, uuid: str) -> None:
        await self.of(uuid).reset(uuid)

    async def pause(self, uuid: str) -> None:
        await self.of(uuid).pause(uuid)

    async def unpause(self, uuid: str) -> None:
        await self.of(uuid).unpause(uuid)

    async def suspend(self, uuid: str, path: Path) -> None:
        await self.of(uuid).suspend(uuid, path)

    async def migrate(self, spec: MachineSpec, progress: Callable[[float], None]) -> None:
        await self.of(spec.uuid).migrate(spec, progress)

    async def move_disk(self, uuid: str, disk: Disk, progress: Callable[[float], None]) -> None:
        await self.of(uuid).move_disk(uuid, disk, progress)

    async def plug_disk(self, uuid: str, disk: Disk) -> None:
        await self.of(uuid).plug_disk(uuid, disk)

    async def unplug_disk(self, uuid: str, disk_device: int) -> None:
        await self.of(uuid).unplug_disk(uuid, disk_device)

    async def plug_nic(self, uuid: str, nic: Nic) -> None:
        await self.of(uuid).plug_nic(uuid, nic)

    async def unplug_nic(self, uuid: str, nic_device: int) -> None:
        await self.of(uuid).unplug_nic(uuid, nic_device)

    async def lock_nic(self, uuid: str, nic: Nic) -> None:
        await self.of(uuid).lock_nic(uuid, nic)

    async def change_medium(self, uuid: str, device: int, path: Path | None) -> None:
        await self.of(uuid).change_medium(uuid, device, path)

    def display(self, uuid: str) -> Path | None:
        return self._of_machine[uuid].display(uuid) if uuid in self._of_machine else None

    async def usage(self, uuid: str) -> Usage:
        return await self.of(uuid).usage(uuid)

    async def stop_all(self) -> None:
        await asyncio.gather(*(backend.stop_all() for backend in self._made.values()))

    async def release(self) -> None:
        await asyncio.gather(*(backend.release() for backend in self._made.values()))
