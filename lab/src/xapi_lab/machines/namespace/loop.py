# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The loop of process 1: sockets that can be read, times that have come, children that have ended. Standard library only."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", "SHELL": "/bin/sh"}


class Loop:
    """What process 1 waits for."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: dict[str, tuple[float, Callable[[], None]]] = {}

    def watch(self, opened: socket.socket | int, handler: Callable[[], None]) -> None:
        self._selector.register(opened, selectors.EVENT_READ, handler)

    def unwatch(self, opened: socket.socket | int) -> None:
        if opened in self._selector.get_map():
            self._selector.unregister(opened)

    def after(self, seconds: float, name: str, work: Callable[[], None]) -> None:
        """Do work later; what was to be done under the same name is not."""
        self._timers[name] = (time.monotonic() + seconds, work)

    def forget(self, prefix: str = "") -> None:
        """Drop the work whose names begin so."""
        self._timers = {name: timer for name, timer in self._timers.items() if not name.startswith(prefix)}

    def turn(self) -> None:
        """Wait for the next thing to happen, and see to it."""
        now = time.monotonic()
        for name in [name for name, (when, _) in self._timers.items() if when <= now]:
            timer = self._timers.pop(name, None)
            if timer is not None:
                timer[1]()
        until = min((when for when, _ in self._timers.values()), default=now + 3600)
        for key, _ in self._selector.select(max(0.0, until - time.monotonic())):
            if key.fd in self._selector.get_map():
                key.data()


def spawn(command: list[str], environment: dict[str, str], as_third: int | None = None) -> int:
    """Start a service with a session of its own; ``as_third`` becomes its descriptor 3. Its output goes to the console."""
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, 2, 1)]
    if as_third is not None:
        actions.append((os.POSIX_SPAWN_DUP2, as_third, 3))
    signals = [signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ]
    everything = {**ENVIRONMENT, **environment}
    return os.posix_spawnp(command[0], command, everything, file_actions=actions, setsigdef=signals, setsid=True)


def say(text: str) -> None:
    print(f"init: {text}", file=sys.stderr, flush=True)
