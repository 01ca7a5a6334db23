# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The cables of machines: pairs of virtual Ethernet interfaces, one end in the guest.

A `nat` NIC has its loopback address, such as 127.77.0.2, in the guest itself: this machine's routing table for local
addresses leads there, so every port of the guest is reached under its own number, and nothing is translated. It all goes
with the guest's network namespace. Private segments are bridges in one more namespace, the switch of the lab.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..contract import MachineError, Nic
from ..vif_locking import lets_through, may_receive
from . import frame_rules

HOST_ADDRESS = "169.254.77.1"
"""This machine's end of every cable (RFC 3927, link-local): guests see connections come from it."""


class Cables:
    """The cables of one lab's machines."""

    def __init__(self, folder: Path) -> None:
        self.switch = f"xapi-lab-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
        """Name of the network namespace with the bridges of private segments."""
        self._on_segment: dict[int, set[str]] = {}
        self._making = asyncio.Lock()

    async def plug(self, nic: Nic, process: int) -> None:
        """Put a NIC into the network namespace of a process."""
        if nic.kind == "nat":
            await self._plug_nat(nic, process)
        else:
            await self._plug_private(nic, process)
        if nic.locking.mode != "unlocked":
            await self.lock(nic)

    async def _plug_nat(self, nic: Nic, process: int) -> None:
        if nic.address is None:
            raise MachineError(f"NIC {nic.device}: no loopback address is reserved for it")
        cable, inside = cable_name(nic), guest_name(nic)
        # A cable that a machine left behind a moment ago may not be gone yet.
        await ip(f"link del {cable}", optional=True)
        await ip(*_pair(cable, nic, process), f"addr add {HOST_ADDRESS}/32 dev {cable}", f"link set {cable} up")
        _answer_for_loopback_addresses(cable)
        await self._take_address(nic)
        await in_namespace(
            process,
            f"echo 1 > /proc/sys/net/ipv4/conf/{inside}/route_localnet",
            f"link set lo up\nlink set {inside} up\naddr add {nic.address}/32 dev {inside}\n"
            f"route add {HOST_ADDRESS} dev {inside} metric {nic.device + 1}",
        )

    @staticmethod
    async def _take_address(nic: Nic) -> None:
        try:
            await ip(_route_to(nic, "add"))
        except MachineError as error:
            raise MachineError(
                f"{nic.address} is the address of another machine: give each lab on this machine a --nat-subnet of its own "
                f"({error})"
            ) from error

    async def _plug_private(self, nic: Nic, process: int) -> None:
        cable, bridge = cable_name(nic), f"segment{nic.segment}"
        async with self._making:
            if not self._on_segment:
                await ip(f"netns add {self.switch}", optional=True)
            await self.in_switch(f"link add {bridge} type bridge", f"link set {bridge} up", optional=True)
            self._on_segment.setdefault(nic.segment, set()).add(cable)
        await self.in_switch(f"link del {cable}", optional=True)
        await self.in_switch(*_pair(cable, nic, process), f"link set {cable} master {bridge}", f"link set {cable} up")
        await in_namespace(process, "true", f"link set lo up\nlink set {guest_name(nic)} up")

    async def lock(self, nic: Nic) -> None:
        """Let pass what the NIC's locking lets pass, and no more."""
        cable, locking = cable_name(nic), nic.locking
        if nic.kind == "nat":
            up = nic.address is not None and lets_through(locking, nic.address)
            await ip(f"link set {cable} {'up' if up else 'down'}")
            if up:  # a link that goes down takes its routes with it
                await ip(_route_to(nic, "replace"))
            return
        await self._filter(frame_rules.free(cable), optional=True)
        if locking.mode == "locked":
            await self._filter(frame_rules.locked(cable, nic.mac, locking))
        await self.in_switch(f"link set {cable} {'up' if may_receive(locking) else 'down'}")

    async def _filter(self, lines: Iterable[str], *, optional: bool = False) -> None:
        shell = ["sh"] if optional else ["sh", "-e"]
        await _run(["ip", "netns", "exec", self.switch, *shell], lines, optional)

    def adopt(self, nic: Nic) -> None:
        """Know a cable that an earlier lab process plugged."""
        if nic.kind != "nat":
            self._on_segment.setdefault(nic.segment, set()).add(cable_name(nic))

    async def unplug(self, nic: Nic) -> None:
        """Remove a cable, and what its segment no longer needs. No error when it is gone."""
        cable = cable_name(nic)
        if nic.kind == "nat":
            await ip(f"link del {cable}", optional=True)
            return
        async with self._making:
            await self.in_switch(f"link del {cable}", optional=True)
            if nic.locking.mode == "locked":
                await self._filter(frame_rules.free(cable), optional=True)
            members = self._on_segment.get(nic.segment, set())
            members.discard(cable)
            if not members:
                self._on_segment.pop(nic.segment, None)
            if not self._on_segment:
                await self.sweep()

    async def sweep(self) -> None:
        """Remove the switch when no machine is on it."""
        if not self._on_segment:
            await ip(f"netns del {self.switch}", optional=True)

    async def in_switch(self, *lines: str, optional: bool = False) -> None:
        await ip(*lines, optional=optional, namespace=self.switch)


def cable_name(nic: Nic) -> str:
    """Name of this machine's end: at most 15 characters (IFNAMSIZ)."""
    return f"xl{nic.uuid.replace('-', '')[:12]}"


def guest_name(nic: Nic) -> str:
    return f"eth{nic.device}"


def _pair(cable: str, nic: Nic, process: int) -> list[str]:
    return [f"link add {cable} type veth peer name {guest_name(nic)} address {nic.mac} netns {process}"]


def _route_to(nic: Nic, how: str) -> str:
    return f"route {how} table local unicast {nic.address}/32 dev {cable_name(nic)} src {HOST_ADDRESS}"


def _answer_for_loopback_addresses(interface: str) -> None:
    (Path("/proc/sys/net/ipv4/conf") / interface / "route_localnet").write_text("1")


async def ip(*lines: str, optional: bool = False, namespace: str = "") -> None:
    """Carry out lines of ip(8), the next one only after success; MachineError with its words when one fails."""
    options = ["-netns", namespace] if namespace else []
    await _run(
        ["ip", *options, "-force", "-batch", "-"] if optional else ["ip", *options, "-batch", "-"], lines, optional
    )


async def in_namespace(process: int, script: str, lines: str) -> None:
    """Carry out lines of ip(8), then a line of sh, in the network namespace of a process."""
    command = ["nsenter", f"--net=/proc/{process}/ns/net", "sh", "-c", f"ip -batch - && {script}"]
    await _run(command, [lines], False)


async def _run(command: list[str], lines: Iterable[str], optional: bool) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    text = "\n".join(lines)
    _, complaint = await process.communicate(text.encode() + b"\n")
    if process.returncode != 0 and not optional:
        raise MachineError(f"the network of a machine: {complaint.decode(errors='replace').strip()} ({text})")
