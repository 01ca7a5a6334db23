# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was measured: XAPI's documents as rows, and rows as sums."""

from __future__ import annotations

import math
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool.metering import Span, Usage, spans, usage_of
from ansible_collections.hardshell.xen.plugins.module_utils._pool.rrd import (
    Archive,
    NotAnArchive,
    parse_dump,
    parse_updates,
)
from hypothesis import given
from hypothesis import strategies as st

ONE, OTHER = "6a4bb9e6-5a54-4f0f-9d57-b2d2f3c2f0a1", "00000000-5a54-4f0f-9d57-b2d2f3c2f0a1"


def updates(legend: list[str], rows: list[tuple[int, list[str]]], step: int = 60) -> str:
    """As rrd_updates.ml writes it, the newest row first."""
    entries = "".join(f"<entry>{entry}</entry>" for entry in legend)
    data = "".join(f"<row><t>{end}</t>{''.join(f'<v>{value}</v>' for value in values)}</row>" for end, values in rows)
    meta = f"<start>0</start><step>{step}</step><end>0</end><rows>{len(rows)}</rows><columns>{len(legend)}</columns>"
    return f'<?xml version="1.0"?><xport><meta>{meta}<legend>{entries}</legend></meta><data>{data}</data></xport>'


def test_updates_are_read_by_vm_and_source() -> None:
    legend = [
        f"AVERAGE:vm:{ONE}:cpu0", f"MAX:vm:{ONE}:cpu0", "AVERAGE:host:h:cpu0", f"AVERAGE:vm:{ONE}:memory",
        f"AVERAGE:vm:{OTHER}:vbd_xvda_write", f"AVERAGE:vm:{OTHER}:vbd_xvda_write_latency", f"AVERAGE:vm:{ONE}:cpu_usage",
        "AVERAGE:sr:s:vbd_xvda_read",
    ]  # fmt: skip
    rows = [
        (120, ["0.5", "1.0", "9.0", "NaN", "7.0", "3.0", "0.1", "1"]),
        (60, ["NaN", "NaN", "9.0", "1e+09", "Infinity", "3", "NaN", "1"]),
    ]
    assert parse_updates(updates(legend, rows)) == {
        ONE: Archive(60, {120: {"cpu0": 0.5}, 60: {"memory": 1e9}}),
        OTHER: Archive(60, {120: {"vbd_xvda_write": 7.0}, 60: {}}),
    }


def test_a_dump_has_all_archives_and_the_oldest_row_first() -> None:
    text = (
        "<rrd><version>0003</version><step>5</step><lastupdate>1000123.4</lastupdate>"
        "<ds><name>cpu0</name><type>GAUGE</type></ds><ds><name>runstate_fullrun</name></ds>"
        "<rra><cf>AVERAGE</cf><pdp_per_row>1</pdp_per_row><cdp_prep><ds><value>1</value></ds></cdp_prep>"
        "<database><row><v>0.25</v><v>1</v></row><row><v>NaN</v><v>1</v></row></database></rra>"
        "<rra><cf>MAX</cf><pdp_per_row>12</pdp_per_row><database><row><v>1</v><v>1</v></row></database></rra>"
        "<rra><cf>AVERAGE</cf><pdp_per_row>12</pdp_per_row><database><row><v>0.5</v><v>1</v></row></database></rra></rrd>"
    )
    assert parse_dump(text) == (
        Archive(5, {1000115: {"cpu0": 0.25}, 1000120: {}}),
        Archive(60, {1000080: {"cpu0": 0.5}}),
    )


@pytest.mark.parametrize(
    "text", ["", "<html>", "<xport/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><xport/>", "<rrd><step>x</step></rrd>", "{}"]
)
@pytest.mark.parametrize("parse", [parse_updates, parse_dump])
def test_what_is_no_archive_is_told_as_such(parse: t.Callable[[str], t.Any], text: str) -> None:
    with pytest.raises(NotAnArchive):
        parse(text)


def test_a_row_with_too_few_values_is_no_archive() -> None:
    with pytest.raises(NotAnArchive):
        parse_updates(updates([f"AVERAGE:vm:{ONE}:cpu0", f"AVERAGE:vm:{ONE}:cpu1"], [(60, ["1"])]))


def steady(step: int, start: int, end: int, **values: float) -> Archive:
    return Archive(step, dict.fromkeys(range(start // step * step + step, end + 1, step), values))


def test_each_kind_is_summed_up_in_its_unit() -> None:
    measured = {
        "cpu0": 0.5,
        "cpu1": 0.25,
        "memory": 2.0**30,
        "vbd_xvda_read": 10.0,
        "vbd_xvdb_read": 5.0,
        "vbd_xvda_write": 1.0,
        "vif_0_rx": 3.0,
        "vif_1_tx": 4.0,
    }
    assert usage_of([steady(60, 0, 7200, **measured)], 0, 7200).facts() == {
        "measured_seconds": 7200,
        "cpu_seconds": 5400.0,
        "memory_byte_hours": 2 * 2**30,
        "disk_read_bytes": 108000,
        "disk_written_bytes": 7200,
        "network_received_bytes": 21600,
        "network_sent_bytes": 28800,
    }


def test_the_finer_archive_counts_where_there_is_one() -> None:
    coarse, fine = steady(3600, 0, 7200, cpu0=1.0), steady(60, 6600, 7200, cpu0=0.0)
    assert usage_of([coarse, fine], 0, 7200).cpu_seconds == 6600
    assert usage_of([fine, coarse], 3000, 7000).cpu_seconds == 3600


def test_of_a_row_that_is_partly_within_that_part_counts() -> None:
    assert usage_of([steady(3600, 0, 7200, cpu0=1.0)], 1800, 5400).cpu_seconds == 3600


def test_a_vm_that_was_off_used_nothing_then() -> None:
    rows: dict[int, dict[str, float]] = {60: {"cpu0": 1.0}, 120: {}, 180: {}, 240: {"cpu0": 1.0}}
    assert usage_of([Archive(60, rows)], 0, 240) == Usage(measured_seconds=120, cpu_seconds=120)
    assert usage_of([], 0, 240) == Usage()


@given(st.integers(0, 20000), st.integers(1, 9000), st.floats(0.01, 0.99), st.floats(0, 4, allow_subnormal=False))
def test_sums_over_two_times_are_that_over_both(since: int, length: int, part: float, cpu: float) -> None:
    archives = [steady(5, 29000, 30000, cpu0=cpu), steady(60, 25000, 30000, cpu0=cpu), steady(3600, 0, 30000, cpu0=cpu)]
    between, until = since + length * part, since + length
    whole = usage_of(archives, since, until)
    halves = usage_of(archives, since, between) + usage_of(archives, between, until)
    assert math.isclose(whole.cpu_seconds, halves.cpu_seconds, abs_tol=1e-6)
    assert math.isclose(whole.measured_seconds, halves.measured_seconds, abs_tol=1e-6)


def test_only_archives_that_tell_of_the_time_are_asked() -> None:
    now = 10_000_000
    assert spans(now - 300, now, now) == [Span(5, now - 300)]
    assert spans(now - 3600, now, now) == [Span(5, now - 590), Span(60, now - 3600)]
    assert spans(now - 7200, now - 3600, now) == [Span(60, now - 7080), Span(3600, now - 7200)]
    assert [span.step for span in spans(now - 9_000_000, now, now)] == [5, 60, 3600, 86400]
