# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Faults on demand: errors, delays, cut connections and lost hosts at chosen calls, SRs that are full, poor guest agents."""

from __future__ import annotations

import asyncio
import fnmatch
import itertools
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from xapi_lab.errors import XapiError


class ConnectionCut(Exception):
    """The connection is to be closed without an answer."""


@dataclass
class Fault:
    """What happens to calls of a method; `method` may hold wildcards (`VM.*`, `*`), an HTTP path names a handler.

    `nth`: only the n-th matching call from now on (1 is the next), 0 for every one; `count`: how many calls it hits
    before it is used up, 0 for no limit.
    """

    method: str
    nth: int = 0
    count: int = 0
    error: list[str] = field(default_factory=list)
    latency: float = 0.0
    """Seconds."""
    jitter: float = 0.0
    """Most seconds added at random to the latency."""
    cut: str = ""
    """`before` the call takes effect, or `after` it did: no answer, the connection is closed. When, too, for what is below."""
    expire_session: bool = False
    """The session that makes the call is destroyed first."""
    host_loss: str = ""
    """Name of a host that is lost, or `coordinator`, at the call (after it unless `cut` says before)."""
    failover: bool = False
    """The next host becomes coordinator at the call; the old one becomes a member."""
    restart: bool = False
    """XAPI restarts on the coordinator at the call: sessions and tasks end."""
    downtime: float = 0.0
    """Seconds that the coordinator's port is closed at a restart."""
    sr_full: str = ""
    """Name or uuid of an SR that has no space left as long as the fault is there; takes no method."""
    agent: str = ""
    """What guest agents are as long as the fault is there: `late` by the latency, `stale` or `missing`; takes no method."""
    vm: str = ""
    """Name, with wildcards, or uuid of the VMs whose agents are meant; empty: all."""
    id: int = 0
    seen: int = 0
    hits: int = 0

    def applies(self, method: str) -> bool:
        """Count a call; True when it is one that the fault is for."""
        if not fnmatch.fnmatchcase(method, self.method):
            return False
        self.seen += 1
        if self.nth and self.seen != self.nth:
            return False
        if self.count and self.hits >= self.count:
            return False
        self.hits += 1
        return True

    @property
    def is_event(self) -> bool:
        """Whether it happens to the pool rather than to a call."""
        return bool(self.host_loss or self.failover or self.restart)


OPTIONS = ("method", "nth", "count", "error", "latency", "jitter", "cut", "expire_session", "host_loss", "failover",
           "restart", "downtime", "sr_full", "agent", "vm")  # fmt: skip
"""What a fault is described with, in a file, on the command line or in a test."""
LASTING = ("sr_full", "agent")
"""Faults that are no matter of a call, but last until they are cleared."""


def fault_from(description: dict[str, Any]) -> Fault:
    """A fault from the words of a file, the command line or a test; raises ValueError that says what is wrong."""
    unknown = set(description) - set(OPTIONS)
    if unknown:
        raise ValueError(f"unknown fault option {', '.join(sorted(unknown))}; known are {', '.join(sorted(OPTIONS))}")
    if sum(bool(description.get(name)) for name in ("method", *LASTING)) != 1:
        raise ValueError(
            "a fault needs a method, such as VM.start or VM.*; only sr_full and agent go without, and without only"
        )
    if description.get("agent") not in {None, "", "late", "stale", "missing"}:
        raise ValueError(f"agent is late, stale or missing, not {description['agent']!r}")
    if description.get("agent") == "late" and not (description.get("latency") or description.get("jitter")):
        raise ValueError("a late agent needs a latency, in seconds")
    values = {"method": "", **description}
    error = values.get("error", [])
    values["error"] = error.split(",") if isinstance(error, str) and error else list(error)
    if values.get("cut", "") not in {"", "before", "after"}:
        raise ValueError(f"cut is 'before' or 'after', not {values['cut']!r}")
    return Fault(**values)


class Faults:
    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._numbers = itertools.count(1)
        self.on_change: Callable[[], None] = lambda: None

    def add(self, fault: Fault) -> int:
        fault.id = next(self._numbers)
        self._faults.append(fault)
        self.on_change()
        return fault.id

    def clear(self, number: int | None = None) -> None:
        self._faults = [fault for fault in self._faults if number is not None and fault.id != number]
        self.on_change()

    def describe(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._faults]

    def is_full(self, sr_name: str, sr_uuid: str) -> bool:
        return any(fault.sr_full in {sr_name, sr_uuid} for fault in self._faults if fault.sr_full)

    def of_agent(self, vm_name: str, vm_uuid: str) -> Fault | None:
        """The newest fault that a VM's guest agent has."""
        for fault in reversed(self._faults):
            if fault.agent and (fault.vm == vm_uuid or fnmatch.fnmatchcase(vm_name, fault.vm or "*")):
                return fault
        return None

    def matching(self, method: str) -> list[Fault]:
        return [fault for fault in self._faults if fault.applies(method)]


async def before_call(faults: list[Fault]) -> None:
    """What the faults of a call do before it takes effect."""
    for fault in faults:
        if fault.latency or fault.jitter:
            await asyncio.sleep(fault.latency + random.uniform(0, fault.jitter))
        if fault.cut == "before" and not fault.is_event:
            raise ConnectionCut
        if fault.error:
            raise XapiError(*fault.error)


def after_call(faults: list[Fault]) -> None:
    if any(fault.cut == "after" and not fault.is_event for fault in faults):
        raise ConnectionCut
