# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Archives of measurements, and how clients read them."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from api_client import Api, Failure
from hypothesis import given, settings
from hypothesis import strategies as st
from xapi_lab.machines.contract import Usage
from xapi_lab.measurements import rates
from xapi_lab.rrd import ARCHIVES, STEP, NoArchive, Rrd, Source, dump, dump_json, dump_xml, number, updates
from xapi_lab.testing import Lab

CPU, MEMORY = Source("cpu0", "CPU0 usage", "(fraction)", 1.0), Source("memory", "Memory", "B")
NOON = 1_700_006_400
"""Seconds since 1970; a whole number of hours."""


def measured(values: dict[int, float], source: Source = CPU) -> Rrd:
    """An archive of values by step after NOON."""
    rrd = Rrd()
    for step, value in sorted(values.items()):
        rrd.add(NOON + step * STEP, {source: value})
    return rrd


# --- archives


@settings(max_examples=40, deadline=None)
@given(values=st.dictionaries(st.integers(1, 300), st.floats(0, 1), min_size=1))
def test_rows_are_what_was_measured_newest_first_and_the_rest_is_unknown(values: dict[int, float]) -> None:
    last = max(values)
    found = updates([("vm:x:", measured(values))], NOON + max(1, last - 119) * STEP)
    assert (found.step, found.end, found.legend) == (STEP, NOON + last * STEP, ["AVERAGE:vm:x:cpu0"])
    expected = [(NOON + step * STEP, [values.get(step, math.nan)]) for step in range(last, max(0, last - 120), -1)]
    assert str(found.rows) == str(expected)  # NaN is not equal to itself


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(0, 1) | st.none(), min_size=12, max_size=12))
def test_a_minute_is_the_average_of_what_is_known_of_it_if_that_is_half(values: list[float | None]) -> None:
    known = [value for value in values if value is not None]
    rrd = measured({step: value for step, value in enumerate(values, 1) if value is not None} | {13: 0.0})
    found = dict(updates([("", rrd)], NOON + 1, interval=60).rows).get(NOON + 60)
    assert found is not None
    assert found[0] == pytest.approx(sum(known) / len(known)) if len(known) >= 6 else math.isnan(found[0])


@pytest.mark.parametrize(
    ("start", "interval", "step"),
    [
        (-600 + STEP, 0, 5),
        (-900, 0, 60),
        (-600 + STEP, 60, 60),
        (-86_400, 0, 3600),
        (-604_800, 86_400, 86_400),
        (0, 0, 86_400),
    ],
)
def test_the_finest_archive_that_reaches_back_is_taken(start: int, interval: int, step: int) -> None:
    assert updates([("", measured({1: 0.5}))], start, interval).step == step


def test_several_archives_share_their_rows() -> None:
    one, two = measured({1: 1.0, 2: 2.0}), measured({2: 4096.0}, MEMORY)
    found = updates([("host:h:", one), ("vm:v:", two)], NOON + 1)
    assert found.legend == ["AVERAGE:host:h:cpu0", "AVERAGE:vm:v:memory"]
    assert str(found.rows) == str([(NOON + 10, [2.0, 4096.0]), (NOON + 5, [1.0, math.nan])])


def test_no_archives_and_other_functions_have_nothing() -> None:
    with pytest.raises(NoArchive):
        updates([], 0)
    with pytest.raises(NoArchive):
        updates([("", measured({1: 1.0}))], 0, function="MIN")


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(0, 1) | st.none(), min_size=12, max_size=12))
def test_extremes_are_kept_where_the_pool_asks_for_them(values: list[float | None]) -> None:
    known = [value for value in values if value is not None]
    rrd = Rrd(extremes=True)
    for step, value in enumerate([*values, 0.0], 1):
        rrd.add(NOON + step * STEP, {} if value is None else {CPU: value})
    found = updates([("", rrd)], NOON + 1, interval=60)
    assert found.legend == ["AVERAGE:cpu0", "MIN:cpu0", "MAX:cpu0"]
    expected = [sum(known) / len(known), min(known), max(known)] if known else [math.nan] * 3
    assert dict(found.rows)[NOON + 60] == pytest.approx(expected, nan_ok=True)
    for function, value in zip(("AVERAGE", "MIN", "MAX"), expected, strict=True):
        alone = updates([("", rrd)], NOON + 1, 60, function)
        assert alone.legend == [f"{function}:cpu0"]
        assert dict(alone.rows)[NOON + 60] == pytest.approx([value], nan_ok=True)
    assert [(rra["cf"], int(rra["pdp_per_row"])) for rra in dump(rrd)["rra"]] == [
        ("AVERAGE", 1), *((cf, steps) for steps, _ in ARCHIVES[1:] for cf in ("AVERAGE", "MIN", "MAX")),
    ]  # fmt: skip
    assert updates([("", rrd)], NOON + 1).step == STEP
    assert updates([("", rrd)], NOON + 1, 0, "MIN").step == 60


@settings(max_examples=40, deadline=None)
@given(values=st.dictionaries(st.integers(1, 300), st.floats(0, 1), min_size=1), extremes=st.booleans())
def test_archives_come_back_from_a_file(values: dict[int, float], extremes: bool) -> None:
    rrd = Rrd(extremes=extremes)
    for step, value in sorted(values.items()):
        rrd.add(NOON + step * STEP, {CPU: value, **({MEMORY: 1.0} if step % 2 else {})})
    again = Rrd.from_plain_data(json.loads(json.dumps(rrd.as_plain_data())))
    for interval in (0, 60):
        assert str(updates([("", again)], NOON, interval)) == str(updates([("", rrd)], NOON, interval))


def test_measurements_outlive_the_lab(tmp_path: Path) -> None:
    with Lab(backend="none", state_dir=tmp_path / "state") as lab:
        api = Api(lab)
        uuid = api("host.get_uuid", api("host.get_all")[0])
        rrd = Rrd()
        rrd.add(time.time() - 60, {CPU: 0.25})
        lab.run(lambda inside: inside.measurements.hosts.__setitem__(uuid, rrd))
    with Lab(backend="none", state_dir=tmp_path / "state") as lab:
        kept = lab.run(lambda inside: inside.measurements.hosts[uuid].last("cpu0"))
    assert kept == 0.25


def test_a_dump_has_every_archive_in_full_the_same_in_xml_and_json() -> None:
    document = dump(measured({1: 0.25}))
    assert [(int(rra["pdp_per_row"]), len(rra["database"])) for rra in document["rra"]] == list(ARCHIVES)
    assert document["rra"][0]["database"][-2:] == [["NaN"], ["0.25"]]
    assert json.loads(dump_json(measured({1: 0.25}))) == document
    root = ElementTree.fromstring(dump_xml(measured({1: 0.25})))
    assert [ds.findtext("name") for ds in root.findall("ds")] == ["cpu0"]
    assert [len(rra.findall("database/row")) for rra in root.findall("rra")] == [rows for _, rows in ARCHIVES]
    assert root.findall("rra")[0].findall("database/row/v")[-1].text == "0.25"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0"), (1.0, "1"), (0.1, "0.1"), (1e20, "1e+20"), (math.nan, "NaN"), (math.inf, "Infinity")],
)
def test_numbers_are_written_as_xapi_writes_them(value: float, text: str) -> None:
    assert number(value) == text


def test_rates_come_from_totals() -> None:
    before = Usage((1.0, 2.0), 2**30, {0: (100, 200)}, {0: (0, 0), 1: (5, 5)})
    after = Usage((2.0, 7.0), 2**30, {0: (600, 1200)}, {0: (4096, 0)})
    assert {source.name: value for source, value in rates(before, after, 5.0).items()} == {
        "cpu0": 0.2, "cpu1": 1.0, "cpu_usage": 0.6, "vif_0_rx": 100.0, "vif_0_tx": 200.0, "vbd_xvda_read": 819.2,
        "vbd_xvda_write": 0.0,
    }  # fmt: skip


# --- over HTTP


def get(lab: Lab, api: Api, path: str, **headers: str) -> tuple[int, str, str]:
    """Status, content type and body."""
    response = api.get(path, headers)
    return response.status, response.headers["content-type"] or "", response.read().decode()


@pytest.fixture
def vm(lab: Lab, api: Api) -> tuple[str, str]:
    """A running VM of which something was measured a while ago: reference and uuid."""
    ref = api.vm("measured", disk=False, nic=False)
    api("VM.start", ref, False, False)
    uuid = api("VM.get_uuid", ref)
    rrd = Rrd()
    rrd.add(time.time() - 60, {CPU: 0.5})
    lab.run(lambda inside: inside.measurements.vms.__setitem__(uuid, rrd))
    return ref, uuid


def test_updates_of_a_vm(lab: Lab, api: Api, vm: tuple[str, str]) -> None:
    path = f"/rrd_updates?session_id={api.session}&start=-120&vm_uuid={vm[1]}"
    status, kind, body = get(lab, api, path)
    assert (status, kind) == (200, "text/xml")
    root = ElementTree.fromstring(body)
    legend = [entry.text for entry in root.findall("meta/legend/entry")]
    assert legend[0] == f"AVERAGE:vm:{vm[1]}:cpu0"
    assert f"AVERAGE:vm:{vm[1]}:memory" in legend
    assert root.findtext("meta/columns") == str(len(legend))
    rows = root.findall("data/row")
    assert len(rows) == int(root.findtext("meta/rows") or 0)
    assert [row.findtext("v") for row in rows if row.findtext("v") != "NaN"] == ["0.5"]


@pytest.mark.parametrize(
    ("accept", "query", "as_json"),
    [("", "", False), ("", "&json=false", True), ("*/*", "", True), ("application/json", "", True),
     ("text/xml", "&json=true", False), ("image/png", "", False)],
)  # fmt: skip
def test_the_accept_header_decides_the_format(
    lab: Lab, api: Api, vm: tuple[str, str], accept: str, query: str, as_json: bool
) -> None:
    headers = {"Accept": accept} if accept else {}
    path = f"/rrd_updates?session_id={api.session}&start=-60&host=true{query}"
    _, kind, body = get(lab, api, path, **headers)
    assert kind == ("application/json" if as_json else "text/xml")
    if as_json:
        document: Any = json.loads(body)
        assert document["meta"]["step"] == "5"
        assert isinstance(document["data"][0]["values"][0], str)


def test_hosts_are_told_of_when_asked_for(lab: Lab, api: Api) -> None:
    _, _, body = get(lab, api, f"/rrd_updates?session_id={api.session}&start=-60&host=true&vm_uuid=none&json=1")
    host = api("host.get_uuid", api("host.get_all")[0])
    legend = json.loads(body)["meta"]["legend"]
    assert f"AVERAGE:host:{host}:memory_total_kib" in legend
    assert all(entry.startswith(f"AVERAGE:host:{host}:") for entry in legend)


def test_what_cannot_be_told(lab: Lab, api: Api) -> None:
    session = f"session_id={api.session}"
    assert get(lab, api, f"/rrd_updates?{session}")[0] == 400
    status, _, body = get(lab, api, f"/rrd_updates?{session}&start=0&cf=MIN&host=true")
    assert (status, "Rrd.No_RRA_Available" in body) == (500, True)
    assert get(lab, api, f"/vm_rrd?{session}&uuid=none")[0] == 404
    response = api.get("/host_rrd", {})
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Basic realm="host_rrd"')


def test_a_halted_vm_keeps_its_dump_and_has_no_updates(lab: Lab, api: Api, vm: tuple[str, str]) -> None:
    api("VM.hard_shutdown", vm[0])
    status, _, body = get(lab, api, f"/vm_rrd?session_id={api.session}&uuid={vm[1]}")
    assert status == 200
    assert ElementTree.fromstring(body).findtext("ds/name") == "cpu0"
    assert vm[1] not in get(lab, api, f"/rrd_updates?session_id={api.session}&start=-60&host=true")[2]
    api("VM.destroy", vm[0])
    assert get(lab, api, f"/vm_rrd?session_id={api.session}&uuid={vm[1]}")[0] == 404


def test_a_host_has_a_dump(lab: Lab, api: Api) -> None:
    _, _, body = get(lab, api, f"/host_rrd?session_id={api.session}&json=true")
    assert "memory_free_kib" in {source["name"] for source in json.loads(body)["ds"]}


def test_data_sources(api: Api, vm: tuple[str, str]) -> None:
    sources = {source["name_label"]: source for source in api("VM.get_data_sources", vm[0])}
    assert sources["memory"]["units"] == "B"
    assert api("VM.query_data_source", vm[0], "memory") == sources["memory"]["value"] > 0
    with pytest.raises(Failure, match="Invalid_data_source"):
        api("VM.query_data_source", vm[0], "nothing")
    api("VM.hard_shutdown", vm[0])
    with pytest.raises(Failure, match="VM_BAD_POWER_STATE"):
        api("VM.query_data_source", vm[0], "memory")
    assert api("host.query_data_source", api("host.get_all")[0], "memory_total_kib") > 0
