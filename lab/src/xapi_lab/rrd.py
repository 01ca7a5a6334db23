# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Round-robin archives of measurements, and XAPI's two ways to tell of them: updates and whole dumps.

Archives, selection and the shape of both documents are those of rrd.ml and rrd_updates.ml (XAPI 26). Rows exist only
for steps in which something was measured; what is missing is told as NaN.
"""

from __future__ import annotations

import json
import math
import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

STEP = 5
"""Seconds of a primary data point."""
ARCHIVES = ((1, 120), (12, 120), (720, 168), (17280, 366))
"""Primary data points of a row, and rows: ten minutes, two hours, a week, a year."""
UNKNOWN_SHARE, UNKNOWN_SHARE_WITH_EXTREMES = 0.5, 1.0
"""xff: a row of which more is unknown is unknown. Rows of an archive that has extremes beside it need one value."""
HEARTBEAT = 300.0
AVERAGE = "AVERAGE"
KEPT: dict[str, Callable[[float, float], float]] = {AVERAGE: operator.add, "MIN": min, "MAX": max}
"""What archives are kept of, and how the values of a row come together."""
FUNCTIONS = (*KEPT, "LAST")
"""What clients may ask for; there are no archives of LAST."""


class NoArchive(Exception):
    """Nothing that was measured fits what is asked for."""


@dataclass(frozen=True)
class Source:
    """What a data source is, as XAPI describes it."""

    name: str
    description: str
    units: str
    most: float = math.inf


class _Archive:
    def __init__(self, steps: int, rows: int, function: str = AVERAGE, unknown_share: float = UNKNOWN_SHARE) -> None:
        self.steps, self.length, self.function, self.unknown_share = steps, rows, function, unknown_share
        self.rows: deque[tuple[int, dict[str, float]]] = deque(maxlen=rows)
        """End of the row in seconds since 1970, and what is known of it; oldest first."""
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}
        self.end = 0

    @property
    def seconds(self) -> int:
        return self.steps * STEP

    def add(self, time: int, values: Mapping[str, float]) -> None:
        """Take in the primary data point that ends at `time`, a multiple of STEP."""
        end = -(-time // self.seconds) * self.seconds
        if end != self.end:
            self._close()
            self.end = end
        for name, value in values.items():
            self.sums[name] = KEPT[self.function](self.sums[name], value) if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1
        if time == end:
            self._close()

    def _close(self) -> None:
        enough, averages = self.steps * (1 - self.unknown_share), self.function == AVERAGE
        row = {
            name: self.sums[name] / count if averages else self.sums[name]
            for name, count in self.counts.items()
            if count >= enough
        }
        if row:
            self.rows.append((self.end, row))
        self.sums, self.counts = {}, {}


def _archives(extremes: bool) -> list[_Archive]:
    """The archives of XAPI (rrdd_monitor.ml, create_rras)."""
    archives = []
    for steps, rows in ARCHIVES:
        if extremes and steps > 1:
            archives += [_Archive(steps, rows, function, UNKNOWN_SHARE_WITH_EXTREMES) for function in KEPT]
        else:
            archives.append(_Archive(steps, rows))
    return archives


class Rrd:
    """All that was measured of one VM or host; `extremes`: smallest and largest values are kept beside averages."""

    def __init__(self, *, extremes: bool = False) -> None:
        self.sources: dict[str, Source] = {}
        self.updated = 0
        """End of the last primary data point, in seconds since 1970."""
        self.extremes = extremes
        self.archives = _archives(extremes)

    def as_plain_data(self) -> dict[str, Any]:
        """What `from_plain_data` takes; rows that are not complete yet are left out."""
        return {
            "sources": [
                [source.name, source.description, source.units, source.most] for source in self.sources.values()
            ],
            "updated": self.updated,
            "extremes": self.extremes,
            "archives": [
                [[time, [row.get(name) for name in self.sources]] for time, row in archive.rows]
                for archive in self.archives
            ],
        }

    @classmethod
    def from_plain_data(cls, plain: Mapping[str, Any]) -> Rrd:
        rrd = cls(extremes=plain["extremes"])
        rrd.sources = {name: Source(name, *others) for name, *others in plain["sources"]}
        rrd.updated = plain["updated"]
        for archive, rows in zip(rrd.archives, plain["archives"], strict=True):
            for time, values in rows:
                known = zip(rrd.sources, values, strict=True)
                archive.rows.append((time, {name: value for name, value in known if value is not None}))
        return rrd

    def add(self, time: float, measured: Mapping[Source, float]) -> None:
        """Take in what was measured in the step that `time` is in; the first measurement of a step counts."""
        end = int(time) // STEP * STEP
        if end <= self.updated:
            return
        self.updated = end
        for source in measured:
            self.sources[source.name] = source
        values = {source.name: value for source, value in measured.items() if math.isfinite(value)}
        for archive in self.archives:
            archive.add(end, values)

    def last(self, name: str) -> float:
        """The newest value of a source; NaN when the last step has none. KeyError for a source that there is not."""
        self.sources[name]
        rows = self.archives[0].rows
        return rows[-1][1].get(name, math.nan) if rows and rows[-1][0] == self.updated else math.nan

    def best(self, interval: int, start: int, function: str | None) -> list[_Archive]:
        """The finest archives, of one function or all, with rows of `interval` seconds at least that reach back to `start`."""
        archives = [archive for archive in self.archives if function in {None, archive.function}]
        if not archives:
            raise NoArchive
        for archive in archives:
            if archive.seconds >= interval and start > self.updated - archive.length * archive.seconds:
                break
        return [other for other in archives if other.steps == archive.steps]


# --- updates


@dataclass(frozen=True)
class Updates:
    """What rrd_updates tells: rows newest first, one value an entry of the legend."""

    start: int
    step: int
    end: int
    legend: list[str]
    rows: list[tuple[int, list[float]]]

    def xml(self) -> str:
        entries = "".join(f"<entry>{escape(entry)}</entry>" for entry in self.legend)
        rows = "".join(
            f"<row><t>{time}</t>{''.join(f'<v>{number(value)}</v>' for value in values)}</row>"
            for time, values in self.rows
        )
        return (
            f"<xport><meta><start>{self.start}</start><step>{self.step}</step><end>{self.end}</end>"
            f"<rows>{len(self.rows)}</rows><columns>{len(self.legend)}</columns><legend>{entries}</legend></meta>"
            f"<data>{rows}</data></xport>"
        )

    def json(self) -> str:
        """Every number is a string, as it is since 23.31."""
        meta = {"start": str(self.start), "step": str(self.step), "end": str(self.end), "rows": str(len(self.rows)),
                "columns": str(len(self.legend)), "legend": self.legend}  # fmt: skip
        data = [{"t": str(time), "values": [number(value) for value in values]} for time, values in self.rows]
        return json.dumps({"meta": meta, "data": data}, separators=(",", ":"))


def updates(rrds: Sequence[tuple[str, Rrd]], start: int, interval: int = 0, function: str | None = None) -> Updates:
    """The rows since `start` of several archives; prefixes such as `vm:<uuid>:` go into the legend.

    A negative `start` counts from the last measurement. NoArchive when there is none.
    """
    if not rrds:
        raise NoArchive
    updated = rrds[0][1].updated
    if start < 0:
        start += min(rrd.updated for _, rrd in rrds)
    fitting = [(prefix, rrd, rrd.best(interval, start, function)) for prefix, rrd in rrds]
    first = fitting[0][2][0]
    columns = [
        (prefix, archive, name)
        for prefix, rrd, archives in fitting
        for archive in archives
        if archive.steps == first.steps
        for name in rrd.sources
    ]
    known = [(dict(archive.rows), name) for _, archive, name in columns]
    step = first.seconds
    end = updated // step * step
    times = range(end, max(start - 1, end - step * first.length), -step)
    return Updates(
        start // step * step + step,
        step,
        end,
        [f"{archive.function}:{prefix}{name}" for prefix, archive, name in columns],
        [(time, [rows.get(time, {}).get(name, math.nan) for rows, name in known]) for time in times],
    )


# --- dumps


def dump(rrd: Rrd) -> dict[str, Any]:
    """A whole archive by the names of its document, numbers as strings."""
    zero = number(0.0)
    return {
        "version": "0003",
        "step": str(STEP),
        "lastupdate": str(rrd.updated),
        "ds": [
            {"name": source.name, "type": "GAUGE", "minimal_heartbeat": number(HEARTBEAT), "min": zero,
             "max": number(source.most), "last_ds": number(rrd.last(source.name)), "value": zero, "unknown_sec": "0"}
            for source in rrd.sources.values()
        ],
        "rra": [_dumped(rrd, archive) for archive in rrd.archives],
    }  # fmt: skip


def _dumped(rrd: Rrd, archive: _Archive) -> dict[str, Any]:
    """An archive, with its oldest row first."""
    known, end = dict(archive.rows), rrd.updated // archive.seconds * archive.seconds
    times = range(end - archive.seconds * (archive.length - 1), end + 1, archive.seconds)
    preparing = [
        {"primary_value": number(0.0), "secondary_value": number(0.0), "value": number(archive.sums.get(name, 0.0)),
         "unknown_datapoints": "0"}
        for name in rrd.sources
    ]  # fmt: skip
    return {
        "cf": archive.function,
        "pdp_per_row": str(archive.steps),
        "params": {"xff": number(archive.unknown_share)},
        "cdp_prep": {"ds": preparing},
        "database": [[number(known.get(time, {}).get(name, math.nan)) for name in rrd.sources] for time in times],
    }


def dump_json(rrd: Rrd) -> str:
    return json.dumps(dump(rrd), separators=(",", ":"))


def dump_xml(rrd: Rrd) -> str:
    document = dump(rrd)
    head = "".join(f"<{name}>{document[name]}</{name}>" for name in ("version", "step", "lastupdate"))
    sources = "".join(f"<ds>{_elements(source)}</ds>" for source in document["ds"])
    return f"<rrd>{head}{sources}{''.join(map(_archive_xml, document['rra']))}</rrd>"


def _archive_xml(archive: Mapping[str, Any]) -> str:
    preparing = "".join(f"<ds>{_elements(source)}</ds>" for source in archive["cdp_prep"]["ds"])
    rows = "".join(f"<row>{''.join(f'<v>{value}</v>' for value in row)}</row>" for row in archive["database"])
    return (
        f"<rra><cf>{archive['cf']}</cf><pdp_per_row>{archive['pdp_per_row']}</pdp_per_row>"
        f"<params>{_elements(archive['params'])}</params><cdp_prep>{preparing}</cdp_prep><database>{rows}</database></rra>"
    )


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in values.items())


def number(value: float) -> str:
    """A number as XAPI writes it (rrd_utils.ml, f_to_s)."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return "0.0" if value == 0 else f"{value:.15g}"
