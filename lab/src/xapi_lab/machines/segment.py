# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Layer 2 segments between machines of one lab, without root: a learning switch over Unix datagram sockets.

Each private NIC is a QEMU ``dgram`` netdev with a socket of its own, and sends every frame to the socket of its segment's
switch. The sockets lie in the lab's state directory, where no other user can reach them. While the lab is stopped its
segments carry nothing; machines that run on find the switch again when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contract import MachineError, Nic
from .vif_locking import Locking, may_receive, may_send

LONGEST_PATH = 107
"""Characters of a Unix socket's path (sun_path, less its final NUL)."""
LARGEST_FRAME = 65_536 + 64
FRAMES_A_TURN = 64
"""Frames that are passed on before other work of the lab gets its turn."""
_GROUP_BIT = 0x01


@dataclass
class Port:
    """Who sits at a port of a switch, and the bytes that went to and came from it."""

    mac: bytes
    locking: Locking
    received: int = 0
    sent: int = 0


class Switch:
    """One segment: frames go to the port where their destination was seen last, or to all, as the NICs' locks allow."""

    def __init__(self, path: Path) -> None:
        _check_length(path)
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        self._ports: dict[str, Port] = {}
        self._known: dict[bytes, str] = {}
        asyncio.get_running_loop().add_reader(self._socket, self._pass_on)

    def join(self, port: Path, mac: str, locking: Locking) -> None:
        """Let a NIC take part, or change its lock."""
        if str(port) in self._ports:
            self._ports[str(port)].locking = locking
        else:
            self._ports[str(port)] = Port(bytes.fromhex(mac.replace(":", "")), locking)

    def traffic(self, port: Path) -> tuple[int, int]:
        """Bytes that a NIC received and sent since it joined."""
        return self._ports[str(port)].received, self._ports[str(port)].sent

    def leave(self, port: Path) -> None:
        """Forget a NIC, and its socket."""
        self._ports.pop(str(port), None)
        self._known = {mac: known for mac, known in self._known.items() if known != str(port)}
        port.unlink(missing_ok=True)

    @property
    def is_empty(self) -> bool:
        return not self._ports

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _pass_on(self) -> None:
        for _ in range(FRAMES_A_TURN):
            try:
                frame, source = self._socket.recvfrom(LARGEST_FRAME)
            except OSError:
                return
            sender = self._ports.get(source)
            if sender is None or len(frame) < 14:
                continue
            sender.sent += len(frame)
            if not may_send(sender.locking, sender.mac, frame):
                continue
            self._known[frame[6:12]] = source
            destination = self._known.get(frame[:6]) if not frame[0] & _GROUP_BIT else None
            for port in [destination] if destination else self._ports.keys() - {source}:
                if not may_receive(self._ports[port].locking):
                    continue
                # A full or closed port loses the frame, as on any Ethernet.
                with contextlib.suppress(OSError):
                    self._socket.sendto(frame, port)
                    self._ports[port].received += len(frame)


class Segments:
    """The private networks of one lab; each has a switch while a machine is on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._switches: dict[int, Switch] = {}

    def port(self, nic: Nic) -> Path:
        """The socket of a NIC: one of two names, since a machine that moves has two processes for a while."""
        names = self._port_names(nic)
        return next((path for path in names if path.exists()), names[0])

    def other_port(self, nic: Nic) -> Path:
        """A socket for the process that a machine moves to."""
        used = self.port(nic)
        return next(path for path in self._port_names(nic) if path != used)

    def _port_names(self, nic: Nic) -> tuple[Path, Path]:
        name = f"nic-{nic.mac.replace(':', '')}"
        return self._folder / f"{name}.sock", self._folder / f"{name}-2.sock"

    def switch_path(self, segment: int) -> Path:
        return self._folder / f"segment-{segment}.sock"

    def netdev(self, name: str, nic: Nic, port: Path | None = None) -> dict[str, Any]:
        """QEMU's ``netdev`` for a private NIC."""
        port, switch = port or self.port(nic), self.switch_path(nic.segment)
        _check_length(port)
        return {
            "type": "dgram",
            "id": name,
            "local": {"type": "unix", "path": str(port)},
            "remote": {"type": "unix", "path": str(switch)},
        }

    def join(self, nic: Nic) -> None:
        if nic.segment not in self._switches:
            self._switches[nic.segment] = Switch(self.switch_path(nic.segment))
        self._switches[nic.segment].join(self.port(nic), nic.mac, nic.locking)

    def lock(self, nic: Nic) -> None:
        """Give a NIC that takes part the locking that `nic` has."""
        self._switches[nic.segment].join(self.port(nic), nic.mac, nic.locking)

    def traffic(self, nic: Nic) -> tuple[int, int]:
        """Bytes that a NIC received and sent since it joined."""
        return self._switches[nic.segment].traffic(self.port(nic))

    def leave(self, nic: Nic) -> None:
        switch = self._switches.get(nic.segment)
        if switch is None:
            return
        switch.leave(self.port(nic))
        if switch.is_empty:
            switch.close()
            del self._switches[nic.segment]

    def close(self) -> None:
        """Stop all switches; the NICs stay as they are."""
        for switch in self._switches.values():
            switch.close()
        self._switches.clear()


def _check_length(path: Path) -> None:
    if len(str(path)) > LONGEST_PATH:
        raise MachineError(
            f"the socket path {path} has more than {LONGEST_PATH} characters: choose a shorter state directory for the lab"
        )
