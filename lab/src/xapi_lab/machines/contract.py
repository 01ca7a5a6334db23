# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What the XAPI side of the lab asks of the things that run machines and keep disks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .vif_locking import Locking


class MachineError(Exception):
    """A machine could not do what was asked; the message is for the person who reads the task's error."""


class StorageError(Exception):
    """A disk file could not be made, changed, read or written."""


@dataclass(frozen=True)
class Disk:
    """One block device of a machine."""

    uuid: str
    """uuid of the VDI; empty for an empty CD drive."""
    path: Path | None
    """File that holds the VDI; None for an empty CD drive."""
    format: str
    """`qcow2` or `raw`."""
    device: int
    """Number of the device: VBD.userdevice."""
    read_only: bool
    cdrom: bool


@dataclass(frozen=True)
class Nic:
    """One network interface of a machine."""

    uuid: str
    """uuid of the VIF."""
    device: int
    """Number of the device: VIF.device."""
    mac: str
    network: str
    """uuid of the network."""
    kind: str
    """`nat`: user networking, reachable at `address`; `private`: a layer 2 segment between lab machines."""
    segment: int
    """Number of the layer 2 segment of a private network."""
    address: str | None
    """Loopback address reserved for this machine on a `nat` network, such as 127.77.0.2."""
    locking: Locking = field(default_factory=Locking)
    """What may pass: from VIF.locking_mode, the network's default and the allowed addresses."""


@dataclass(frozen=True)
class MachineSpec:
    """All that is needed to start a machine."""

    uuid: str
    name: str
    vcpus: int
    memory: int
    """Bytes."""
    firmware: str
    """`bios` or `uefi`."""
    boot_order: str
    """XAPI's letters: c disk, d CD, n network."""
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    backend: str = ""
    """`qemu`, `namespace` or `none`; a backend itself does not look at it."""


@dataclass(frozen=True)
class Usage:
    """Measured totals since the machine started."""

    cpu_seconds: tuple[float, ...] = ()
    """One figure per vCPU."""
    memory: int = 0
    """Bytes."""
    nics: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Bytes received and sent by the machine, by NIC device."""
    disks: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Bytes read and written by the machine, by disk device."""


class MachineListener(Protocol):
    """What a backend tells the lab of its own accord; called in the lab's event loop, must not block."""

    def on_powered_off(self, uuid: str) -> None:
        """The guest switched itself off."""

    def on_rebooted(self, uuid: str) -> None:
        """The guest restarted itself."""

    def on_crashed(self, uuid: str, why: str) -> None:
        """The machine ended without being asked."""

    def on_addresses(self, uuid: str, addresses: Mapping[int, tuple[str, ...]]) -> None:
        """IP addresses the guest was seen to use, by NIC device; a `nat` NIC reports its reserved address."""

    def on_guest_info(self, uuid: str, os_version: Mapping[str, str]) -> None:
        """What an agent in the guest says of its operating system (VM_guest_metrics.os_version)."""


class Machines(Protocol):
    """A backend that runs machines; every method raises MachineError when it cannot do what it says."""

    async def start(self, spec: MachineSpec, *, paused: bool = False) -> None:
        """Start a machine; returns when it runs (or is paused before its first instruction)."""

    async def shutdown(self, uuid: str, timeout: float) -> bool:
        """Ask the guest to switch off; True when it is off within `timeout` seconds (not reported to the listener)."""

    async def kill(self, uuid: str) -> None:
        """Take the power away; not reported to the listener. No error for a machine that is gone."""

    async def reset(self, uuid: str) -> None:
        """Press the reset button; not reported to the listener."""

    async def pause(self, uuid: str) -> None: ...

    async def unpause(self, uuid: str) -> None: ...

    async def suspend(self, uuid: str, path: Path) -> None:
        """Write the machine's memory to `path` and end it."""

    async def resume(self, spec: MachineSpec, path: Path, *, paused: bool = False) -> None:
        """Start a machine from what `suspend` wrote."""

    async def migrate(self, spec: MachineSpec, progress: Callable[[float], None]) -> None:
        """Move a running machine into a new process; when that fails it runs on in the old one. `progress`: 0 to 1."""

    async def move_disk(self, uuid: str, disk: Disk, progress: Callable[[float], None]) -> None:
        """Let a plugged disk device of a running machine use another file from now on, which gets the content of the present one.

        The file of `disk` is there, and as large. When that fails, the machine goes on with the present file.
        """

    async def plug_disk(self, uuid: str, disk: Disk) -> None: ...

    async def unplug_disk(self, uuid: str, disk_device: int) -> None: ...

    async def plug_nic(self, uuid: str, nic: Nic) -> None: ...

    async def unplug_nic(self, uuid: str, nic_device: int) -> None: ...

    async def lock_nic(self, uuid: str, nic: Nic) -> None:
        """Give a NIC that is plugged the locking that `nic` has, at once."""

    async def change_medium(self, uuid: str, device: int, path: Path | None) -> None:
        """Insert a medium into a CD drive; None ejects it."""

    def display(self, uuid: str) -> Path | None:
        """The Unix socket where a machine shows its screen by RFB (VNC); None when it shows none."""

    async def adopt(self, spec: MachineSpec) -> bool:
        """Take over a machine that an earlier lab process started; False when it is gone."""

    async def usage(self, uuid: str) -> Usage: ...

    async def stop_all(self) -> None:
        """End every machine of this lab."""

    async def release(self) -> None:
        """Let all machines run on without this lab, for a later `adopt`."""


class Storage(Protocol):
    """The files behind VDIs; every method raises StorageError when it cannot do what it says."""

    async def create(self, vdi_uuid: str, sr_path: Path, virtual_size: int) -> Path:
        """Make an empty disk of `virtual_size` bytes, thin."""

    async def clone(self, src_uuid: str, sr_path: Path, new_uuid: str) -> Path:
        """Copy on write, in constant time; the source stays writable on its own."""

    async def copy(self, src_uuid: str, sr_path: Path, new_uuid: str, dest_sr_path: Path) -> Path:
        """A full copy without a common base."""

    async def resize(self, uuid: str, sr_path: Path, size: int) -> None:
        """Grow to `size` bytes."""

    async def destroy(self, uuid: str, sr_path: Path) -> None:
        """Remove the disk, and bases that nobody uses any more. No error when it is gone already."""

    async def physical(self, uuid: str, sr_path: Path) -> int:
        """Bytes that the disk takes on its SR."""

    async def used(self, sr_path: Path) -> int:
        """Bytes that all disks of an SR take, bases that they share counted once."""

    async def write_stream(
        self, uuid: str, sr_path: Path, format: str, chunks: AsyncIterator[bytes], length: int | None
    ) -> None:
        """Write a `raw` or `vhd` stream into an existing disk; `length` is the length of the stream where known."""

    def read_stream(
        self, uuid: str, sr_path: Path, format: str, base: tuple[str, Path] | None = None
    ) -> AsyncIterator[bytes]:
        """The disk's content as `raw` or `vhd`.

        With `base`, another disk and the path of its SR: blocks of 2 MiB that are alike in both are left out of a `vhd`,
        which is a differencing one then, and are zeros in `raw`.
        """

    async def write_extents(self, uuid: str, sr_path: Path, extents: AsyncIterator[tuple[int, bytes]]) -> None:
        """Write pieces of content at their offsets into an existing disk."""

    def read_extents(self, uuid: str, sr_path: Path, block: int) -> AsyncIterator[tuple[int, bytes]]:
        """Offset and content of the blocks that hold anything but zeros, in order; the last may be shorter."""

    def disks(self, sr_path: Path) -> dict[str, int]:
        """The disks that there are, by uuid, with their virtual sizes in bytes."""

    def path(self, uuid: str, sr_path: Path) -> Path:
        """Where the disk's file is, or would be."""

    def format(self, uuid: str, sr_path: Path) -> str:
        """`qcow2` or `raw`: the format of the disk's file, or what it would have."""
