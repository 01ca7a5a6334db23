# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.usage_info``: what the pool measured, summed up by VM and tenant."""

from __future__ import annotations

import copy
import functools
import time
import typing as t
from collections.abc import Iterator

import pytest
from xapi_lab.rrd import Rrd, Source
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

GIB = 1 << 30
HOURS = 3.5
MEASURED = {
    "cpu0": 0.5, "cpu1": 0.25, "cpu_usage": 0.375, "memory": float(GIB), "vbd_xvda_read": 2000.0, "vbd_xvda_read_latency": 9.0,
    "vbd_xvda_write": 100.0, "vif_0_rx": 1000.0, "vif_0_tx": 500.0,
}  # fmt: skip
OF_AN_HOUR = {
    "measured_seconds": 3600,
    "cpu_seconds": 2700.0,
    "memory_byte_hours": GIB,
    "disk_read_bytes": 7_200_000,
    "disk_written_bytes": 360_000,
    "network_received_bytes": 3_600_000,
    "network_sent_bytes": 1_800_000,
}
AN_HOUR = {"since": "1h", "until": "1h"}
"""The hour before the last."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    hosts = [{"name": "xen1", "memory": 32 * GIB, "cpus": 8}, {"name": "xen2", "memory": 16 * GIB, "cpus": 4}]
    srs = [{"name": "Shared", "capacity": 100 * GIB, "shared": True, "default": True}]
    with Lab(backend="none", event_from_delay=0, hosts=hosts, srs=srs) as lab:
        yield lab


@functools.cache
def measured_since(seconds: float) -> Rrd:
    """What XAPI would have of a VM that was as busy as that for so long."""
    rrd, now = Rrd(), time.time()
    for before in range(int(seconds), 0, -5):
        rrd.add(now - before, {Source(name, "", ""): value for name, value in MEASURED.items()})
    return rrd


def make(pool: Pool, name: str, tenant: str, seconds: float = HOURS * 3600, **options: t.Any) -> str:
    """The UUID of a VM of which so much was measured."""
    disks = [{"name": "data", "size": "1GiB"}]
    pool.ok("vm", name=name, tenant=tenant, template="Debian Bookworm 12", disks=disks, **options)
    uuid: str = pool.record("VM", name)["uuid"]
    rrd = copy.deepcopy(measured_since(seconds))
    pool.lab.run(lambda inside: inside.measurements.vms.update({uuid: rrd}))
    return uuid


def usage(told: dict[str, t.Any]) -> dict[str, t.Any]:
    return {vm["name"]: vm["usage"] for vm in told["vms"]}


def test_vms_on_several_hosts_and_one_that_is_off(pool: Pool) -> None:
    make(pool, "web", "acme", state="running", resident_on="xen1")
    make(pool, "db", "acme", state="running", resident_on="xen2")
    make(pool, "cache", "acme", state="halted")
    make(pool, "shop", "globex", state="running", resident_on="xen1")
    told = pool.ok("usage_info", **AN_HOUR)
    assert usage(told) == dict.fromkeys(["cache", "db", "shop", "web"], OF_AN_HOUR)
    assert [(vm["tenant"], vm["host"], vm["power_state"]) for vm in told["vms"]] == [
        ("acme", None, "halted"),
        ("acme", "xen2", "running"),
        ("globex", "xen1", "running"),
        ("acme", "xen1", "running"),
    ]
    acme, globex = told["tenants"]
    assert acme == {
        "name": "acme",
        "vms": 3,
        "complete": True,
        "usage": {kind: 3 * value for kind, value in OF_AN_HOUR.items()},
        "disk_bytes": 3 * GIB,
    }
    assert (globex["name"], globex["usage"]) == ("globex", OF_AN_HOUR)
    assert pool.mutating_calls() == {}
    assert {name: count for name, count in pool.calls().items() if name.startswith("GET")} == {
        "GET /rrd_updates": 4,  # two archives of two hosts
        "GET /vm_rrd": 1,
    }
    assert not told["changed"]
    assert usage(pool.ok("usage_info", **AN_HOUR, tenants=["globex"])) == {"shop": OF_AN_HOUR}


def test_figures_go_with_a_vm_that_moves(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool, "web", "acme", state="running", resident_on="xen1")
    pool.ok("vm", name="web", tenant="acme", state="running", resident_on="xen2")
    assert usage(pool.ok("usage_info", **AN_HOUR)) == {"web": OF_AN_HOUR}


def test_the_last_minutes_count_too(controller_pool: Pool) -> None:
    pool = controller_pool
    # Of its own length, so that it was not made for an earlier test: then its end would be as old.
    make(pool, "web", "acme", seconds=2400, state="running")
    (vm,) = pool.ok("usage_info", since="30m")["vms"]
    assert vm["usage"]["measured_seconds"] == pytest.approx(1800, abs=60)
    assert vm["usage"]["cpu_seconds"] == pytest.approx(0.75 * 1800, abs=45)


def test_a_vm_that_started_meanwhile_used_nothing_before(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool, "web", "acme", seconds=3600 + 1200, state="running")
    (vm,) = pool.ok("usage_info", since="50m", until="1h")["vms"]
    assert vm["usage"]["measured_seconds"] == pytest.approx(1200, abs=60)


def test_a_vm_of_which_nothing_was_measured(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("vm", name="new", tenant="acme", template="Debian Bookworm 12")
    told = pool.ok("usage_info", **AN_HOUR)
    assert usage(told) == {"new": dict.fromkeys(OF_AN_HOUR, 0)}
    assert told["tenants"][0]["complete"]


def test_a_host_that_cannot_be_asked_costs_its_own_vms(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool, "web", "acme", state="running", resident_on="xen1")
    make(pool, "db", "acme", state="running", resident_on="xen2")
    xen2 = pool.ref("host", "xen2")
    pool.lab.run(lambda inside: inside.database.set("host", xen2, "address", "127.255.0.9"))
    told = pool.ok("usage_info", **AN_HOUR)
    assert usage(told) == {"web": OF_AN_HOUR, "db": None}
    (acme,) = told["tenants"]
    assert (acme["complete"], acme["usage"], acme["disk_bytes"]) == (False, OF_AN_HOUR, 2 * GIB)


def test_what_is_no_time_is_refused(pool: Pool) -> None:
    for option, value in (
        ("since", "yesterday"),
        ("until", "99999d"),
        ("since", "2026-13-01"),
        ("since", "2100-01-01"),
    ):
        assert pool.refused("usage_info", **{option: value}).startswith(f"{option}: ")
    told = pool.ok("usage_info", since="2026-01-01T00:00:00Z", until="2026-01-02")
    assert (told["since"], told["until"]) == ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
