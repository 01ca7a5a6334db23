# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Round-robin archives of measurements, and XAPI's two ways to tell of them: updates and whole dumps.

Archives, selection and the shape of both documents are those of rrd.ml and rrd_updates.ml (XAPI 26). Rows exist only
for steps in which something was measured; what is missing is told as NaN.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

STEP = 5
"""Seconds of a primary data point."""
ARCHIVES = ((1, 120), (12, 120), (720, 168), (17280, 366))
"""Primary data points of a row, and rows: ten minutes, two hours, a week, a year."""
UNKNOWN_SHARE = 0.5
"""xff: a row of which more is unknown is unknown."""
HEARTBEAT = 300.0
AVERAGE = "AVERAGE"
FUNCTIONS = (AVERAGE, "MIN", "MAX", "LAST")
"""What clients may ask for; archives are kept of averages only, as in a pool that was not told otherwise."""


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
    def __init__(self, steps: int, rows: int) -> None:
        self.steps, self.length = steps, rows
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
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        if time == end:
            self._close()

    def _close(self) -> None:
        enough = self.steps * (1 - UNKNOWN_SHARE)
        row = {name: self.sums[name] / count for name, count in self.counts.items() if count >= enough}
        if row:
            self.rows.append((self.end, row))
        self.sums, self.counts = {}, {}


class Rrd:
    """All that was measured of one VM or host."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.updated = 0
        """End of the last primary data point, in seconds since 1970."""
        self.archives = [_Archive(steps, rows) for steps, rows in ARCHIVES]

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

    def best(self, interval: int, start: int) -> _Archive:
        """The finest archive with rows of `interval` seconds at least that reaches back to `start`."""
        for archive in self.archives:
            if archive.seconds >= interval and start > self.updated - archive.length * archive.seconds:
                return archive
        return self.archives[-1]


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
    if not rrds or function not in {None, AVERAGE}:
        raise NoArchive
    updated = rrds[0][1].updated
    if start < 0:
        start += min(rrd.updated for _, rrd in rrds)
    first = rrds[0][1].best(interval, start)
    number_of_archive = rrds[0][1].archives.index(first)
    columns = [(prefix, rrd.archives[number_of_archive], name) for prefix, rrd in rrds for name in rrd.sources]
    known = [(dict(archive.rows), name) for _, archive, name in columns]
    step = first.seconds
    end = updated // step * step
    times = range(end, max(start - 1, end - step * first.length), -step)
    return Updates(
        start // step * step + step,
        step,
        end,
        [f"{AVERAGE}:{prefix}{name}" for prefix, _, name in columns],
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
        "cf": AVERAGE,
        "pdp_per_row": str(archive.steps),
        "params": {"xff": number(UNKNOWN_SHARE)},
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
