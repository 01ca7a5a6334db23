# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a VM used between two moments, summed up from its archives. Pure."""

from __future__ import annotations

import functools
import re
import typing as t
from dataclasses import dataclass, fields

from .rrd import ARCHIVES, Archive

HOUR = 3600
_KINDS: tuple[tuple[str, str, float], ...] = (
    (r"cpu\d+", "cpu_seconds", 1.0),
    (r"memory", "memory_byte_hours", 1.0 / HOUR),
    (r"vbd_\w+_read", "disk_read_bytes", 1.0),
    (r"vbd_\w+_write", "disk_written_bytes", 1.0),
    (r"vif_\d+_rx", "network_received_bytes", 1.0),
    (r"vif_\d+_tx", "network_sent_bytes", 1.0),
)
"""All sources that ``rrd`` reads, by their names. CPUs are in fractions of one, memory in bytes, all others in bytes a second."""


@dataclass(frozen=True)
class Usage:
    """``measured_seconds``: for how long anything was measured, which is as long as the VM ran. Received is what came into the guest."""

    measured_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_byte_hours: float = 0.0
    disk_read_bytes: float = 0.0
    disk_written_bytes: float = 0.0
    network_received_bytes: float = 0.0
    network_sent_bytes: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Usage)))

    def facts(self) -> dict[str, t.Any]:
        """In whole numbers, but for the time of CPUs."""
        told: dict[str, t.Any] = {each.name: round(getattr(self, each.name)) for each in fields(Usage)}
        return {**told, "cpu_seconds": round(self.cpu_seconds, 1)}


class Span(t.NamedTuple):
    """Rows of ``step`` seconds to be asked for, from ``start`` on. Seconds since 1970."""

    step: int
    start: int


def spans(since: float, until: float, now: float) -> list[Span]:
    """Which archives tell of a time, the finest first: each reaches as far back as it is long, and the next is needed for what is before.

    A coarse archive lags by up to one of its rows, so the finer ones are needed for what was last.
    """
    chosen = []
    for step, length in ARCHIVES:
        # XAPI takes a coarser archive when the start is not within this one; two rows are left for what its clock is ahead.
        oldest = now - step * (length - 2)
        if oldest < until:
            chosen.append(Span(step, int(max(since, oldest))))
        if oldest <= since:
            break
    return chosen


@functools.cache
def _meant(source: str) -> tuple[str, float]:
    """What a source sums up to, and what a second of one makes of it."""
    return next((kind, factor) for pattern, kind, factor in _KINDS if re.fullmatch(pattern, source))


def usage_of(archives: t.Iterable[Archive], since: float, until: float) -> Usage:
    """The sum over a time. For each moment the finest archive counts that reaches back to it; of a row that is only partly within, that part."""
    sums = dict.fromkeys((each.name for each in fields(Usage)), 0.0)
    bound = until
    for archive in sorted(archives, key=lambda each: each.step):
        for end, values in archive.rows.items():
            seconds = min(end, bound) - max(end - archive.step, since)
            if seconds > 0 and values:
                sums["measured_seconds"] += seconds
                for name, value in values.items():
                    kind, factor = _meant(name)
                    sums[kind] += max(0.0, value) * factor * seconds
        if archive.rows:
            bound = min(bound, min(archive.rows) - archive.step)
    return Usage(**sums)
