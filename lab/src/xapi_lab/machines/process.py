# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A QEMU process that outlives the lab, held by a pidfd so that a number used again is never signalled."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path


class MachineProcess:
    """The process of one machine."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid = pid
        self._descriptor = descriptor
        self.ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._on_end)

    @classmethod
    def find(cls, pid_file: Path, uuid: str) -> MachineProcess | None:
        """The running process of machine ``uuid`` that the file names; None when it is gone or another's."""
        try:
            pid = int(pid_file.read_text())
            descriptor = os.pidfd_open(pid)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        # The pidfd is open now: if the command line is the machine's, the pidfd is the machine's.
        if not _is_machine(pid, uuid):
            os.close(descriptor)
            return None
        return cls(pid, descriptor)

    def _on_end(self) -> None:
        self.release()
        self.ended.set()

    def kill(self) -> None:
        """End the process at once; nothing when it has ended."""
        if self._descriptor >= 0:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def release(self) -> None:
        """Stop watching; the process goes on."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def thread_seconds(self, thread: int) -> float:
        """CPU seconds that one thread of the process used; 0 when it has ended."""
        try:
            fields = Path(f"/proc/{self.pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_machine(pid: int, uuid: str) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return uuid.encode() in arguments
