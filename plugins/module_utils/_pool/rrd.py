# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""XAPI's round-robin archives of what was measured of VMs: both documents that tell of them, as plain rows. Pure.

``rrd_updates`` tells of all VMs that run on one host, out of one of their archives; ``vm_rrd`` of one VM, out of all of them, also when it does not run.
XML is read, since the JSON of XAPI before 23.31 had bare NaN in it. Only averages are: an average times its seconds is what was used.
"""

from __future__ import annotations

import math
import re
import typing as t
from dataclasses import dataclass
from xml.etree import ElementTree

AVERAGE = "AVERAGE"
ARCHIVES = ((5, 120), (60, 120), (3600, 168), (86400, 366))
"""Seconds of a row, and rows, of every archive that XAPI keeps (create_rras in rrdd_monitor.ml)."""
_COUNTED = re.compile(r"cpu\d+|memory|vif_\d+_(rx|tx)|vbd_[a-z0-9]+_(read|write)")


@dataclass(frozen=True)
class Archive:
    """One archive of one VM. ``rows`` maps the end of a row, in seconds since 1970, to the average of each source in the ``step`` seconds before.

    What is not known is left out of a row: NaN stands for a time when the VM did not run, or nobody measured.
    """

    step: int
    rows: t.Mapping[int, t.Mapping[str, float]]


class NotAnArchive(ValueError):
    """A document is not one of XAPI's."""


def parse_updates(text: str) -> dict[str, Archive]:
    """The archive of each VM in the answer of ``rrd_updates``, by the VM's UUID (rrd_updates.ml). Raises ``NotAnArchive``."""
    root = _parse(text)
    try:
        step = int(_text(root, "meta/step"))
        columns = [_column(entry.text or "") for entry in root.iterfind("meta/legend/entry")]
        found: dict[str, dict[int, dict[str, float]]] = {column[0]: {} for column in columns if column}
        for row in root.iterfind("data/row"):
            end = int(_text(row, "t"))
            known: dict[str, dict[str, float]] = {uuid: {} for uuid in found}
            for column, value in zip(columns, row.iterfind("v"), strict=True):
                number = _number(value.text) if column else math.nan
                if column and math.isfinite(number):
                    known[column[0]][column[1]] = number
            for uuid, values in known.items():
                found[uuid][end] = values
    except ValueError as error:
        raise NotAnArchive(str(error)) from error  # pylint: disable=bad-exception-cause
    return {uuid: Archive(step, rows) for uuid, rows in found.items()}


def parse_dump(text: str) -> tuple[Archive, ...]:
    """The archives of averages in the answer of ``vm_rrd``, which has the oldest row first (rrd.ml). Raises ``NotAnArchive``."""
    root = _parse(text)
    try:
        step, updated = int(_text(root, "step")), int(float(_text(root, "lastupdate")))
        names = [_text(source, "name").strip() for source in root.iterfind("ds")]
        return tuple(
            _dumped(archive, names, step, updated)
            for archive in root.iterfind("rra")
            if _text(archive, "cf").strip() == AVERAGE
        )
    except ValueError as error:
        raise NotAnArchive(str(error)) from error  # pylint: disable=bad-exception-cause


def _dumped(archive: ElementTree.Element, names: t.Sequence[str], step: int, updated: int) -> Archive:
    seconds = step * int(_text(archive, "pdp_per_row"))
    rows = archive.findall("database/row")
    last = updated // seconds * seconds
    told: dict[int, dict[str, float]] = {}
    for index, row in enumerate(rows):
        values = ((name, _number(value.text)) for name, value in zip(names, row.iterfind("v"), strict=True))
        told[last - (len(rows) - 1 - index) * seconds] = {
            name: number for name, number in values if _COUNTED.fullmatch(name) and math.isfinite(number)
        }
    return Archive(seconds, told)


def _column(entry: str) -> tuple[str, str] | None:
    """The VM and the source of an entry of the legend, such as ``AVERAGE:vm:UUID:cpu0``; None for what does not count here."""
    function, kind, uuid, name = [*entry.split(":", 3), "", "", ""][:4]
    return (uuid, name) if function == AVERAGE and kind == "vm" and _COUNTED.fullmatch(name) else None


def _number(text: str | None) -> float:
    return float(text or "nan")


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"it has no {path}")
    return found


def _parse(text: str) -> ElementTree.Element:
    """The document's root. One with definitions of its own, which could swell when they are read, is none of XAPI's."""
    if "<!" in text:
        raise NotAnArchive("it has definitions of its own")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise NotAnArchive(str(error)) from error  # pylint: disable=bad-exception-cause
