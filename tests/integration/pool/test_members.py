# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pool of several hosts: members asked first, a coordinator that moves or is lost, XAPI that restarts."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

Arguments = dict[str, t.Any]
HA: tuple[str, list[str], dict[str, str]] = ("pool.enable_ha", [], {})


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """``param``: seconds until the pool knows that a host is lost."""
    hosts = [{"name": name, "cpus": 8, "memory": "16 GiB"} for name in ("one", "two", "three")]
    srs = [{"name": "shared", "type": "nfs", "shared": True, "default": True}, {"name": "local two", "host": "two"}]
    known_after = getattr(request, "param", 0.5)
    with Lab(backend="none", event_from_delay=0, hosts=hosts, srs=srs, host_assumed_dead_after=known_after) as lab:
        yield lab


def asked(lab: Lab, *names: str) -> dict[str, list[str]]:
    """Connection options that name these hosts, in this order."""
    urls = {host["name"]: host["url"] for host in lab.hosts()}
    return {"xapi_host": [urls[name] for name in names]}


ALL = ("one", "two", "three")


def lose_and_wait(pool: Pool, name: str) -> None:
    """Lose a host, and wait for the event by which the pool says that it knows: until then it may still place VMs there."""
    metrics = pool.record("host", name)["metrics"]
    pool.lab.lose_host(name)
    token, live = "", True
    while live:
        answer = pool.call("event.from", [f"host_metrics/{metrics}"], token, 30.0)
        token = answer["token"]
        live = all(event["snapshot"]["live"] for event in answer["events"])


def test_a_member_that_is_asked_sends_us_to_the_coordinator(pool: Pool, shop: Arguments) -> None:
    made = pool.ok("vm", **shop, **asked(pool.lab, "two"))
    assert made["changed"]
    assert not pool.ok("vm", **shop, **asked(pool.lab, "three", "two"))["changed"]
    assert pool.calls()["session.login_with_password"] == 2, "one at the member, one at the coordinator"


def test_a_member_that_is_down_is_passed_over(controller_pool: Pool, shop: Arguments) -> None:
    lose_and_wait(controller_pool, "three")
    assert controller_pool.ok("vm", **shop, **asked(controller_pool.lab, "three", "two"))["changed"]


@pytest.mark.parametrize("lab", [3600], indirect=True)
def test_a_vm_is_started_past_a_host_that_is_lost_and_not_yet_known_to_be(pool: Pool, shop: Arguments) -> None:
    """The pool places it there as long as it takes the host for alive, which this one does for an hour."""
    pool.ok("vm", **{**shop, "state": "halted", "affinity": "three"}, **asked(pool.lab, "one"))
    pool.lab.lose_host("three")
    started = pool.ok("vm", **{**shop, "affinity": "three"}, **asked(pool.lab, "one"))
    assert pool.calls()["Async.VM.start"] == 1
    assert started["vm"]["power_state"] == "running"
    assert started["vm"]["host"] in ("one", "two")
    assert not pool.ok("vm", **{**shop, "affinity": "three"}, **asked(pool.lab, "one"))["changed"]


@pytest.mark.parametrize("lab", [3600], indirect=True)
def test_a_start_on_a_host_that_is_lost_says_what_to_do(controller_pool: Pool, shop: Arguments) -> None:
    """It was asked for by name, so no other one is taken."""
    pool = controller_pool
    pool.ok("vm", **{**shop, "state": "halted"}, **asked(pool.lab, "one"))
    pool.lab.lose_host("three")
    result = pool.run("vm", **shop, resident_on="three", **asked(pool.lab, "one"))
    assert result["xapi_error"] == "CANNOT_CONTACT_HOST"
    assert "xe host-declare-dead" in result["msg"]


def test_a_member_alone_names_a_coordinator_that_is_gone(
    controller_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ansible_collections.hardshell.xen.plugins.module_utils._pool.session.RECONNECT_SECONDS", 1)
    controller_pool.lab.lose_host("one")
    result = controller_pool.run("pool_info", **asked(controller_pool.lab, "two"))
    assert result["failed"]
    assert "no member of the pool can be reached" in result["msg"]
    assert "https://127.0.0.2" in result["msg"]


def test_a_coordinator_that_moves_between_two_tasks(pool: Pool, shop: Arguments) -> None:
    made = pool.ok("vm", **shop)
    pool.lab.promote_host("three")
    again = pool.ok("vm", **shop)
    assert (again["changed"], again["vm"]["uuid"]) == (False, made["vm"]["uuid"])


@pytest.mark.parametrize("order", [ALL, ("two", "one", "three")])
def test_a_coordinator_that_is_lost_between_two_tasks(
    controller_pool: Pool, shop: Arguments, order: tuple[str, ...]
) -> None:
    pool = controller_pool
    pool.call(*HA)
    made = pool.ok("vm", **{**shop, "state": "halted"}, **asked(pool.lab, *order))
    pool.lab.lose_host("one")
    again = pool.ok("vm", **shop, **asked(pool.lab, *order))
    assert (again["changed"], again["vm"]["uuid"]) == (True, made["vm"]["uuid"])
    assert pool.record("VM", "shop")["power_state"] == "Running"


def test_members_in_emergency_mode_are_waited_for(controller_pool: Pool, shop: Arguments) -> None:
    """Nobody is coordinator until the lost host is back: a task that begins meanwhile waits for it."""
    pool, lab = controller_pool, controller_pool.lab
    lab.lose_host("one")

    def bring_back() -> None:
        while not lab.run(lambda inside: inside.members.emergency):
            pass
        logins = lab.calls().get("session.login_with_password", 0)
        while lab.calls().get("session.login_with_password", 0) < logins + 3:
            pass
        lab.return_host("one")

    with ThreadPoolExecutor() as threads:
        back = threads.submit(bring_back)
        assert pool.ok("vm", **shop, **asked(lab, *ALL))["changed"]
        back.result()


@pytest.mark.parametrize(
    "fault", [{"host_loss": "coordinator"}, {"failover": True}, {"restart": True, "downtime": 1.0}]
)
@pytest.mark.parametrize("method", ["VM.get_all_records_where", "VM.provision"])
def test_a_coordinator_that_is_lost_within_a_task(
    controller_pool: Pool, shop: Arguments, method: str, fault: dict[str, t.Any]
) -> None:
    pool = controller_pool
    pool.call(*HA)
    pool.lab.fault(method, nth=1, **fault)
    assert pool.ok("vm", **shop, **asked(pool.lab, *ALL))["changed"]
    assert not pool.ok("vm", **shop, **asked(pool.lab, *ALL))["changed"]
    assert pool.left_over() == {"VM": 1, "VDI": 2 + 2, "VBD": 2, "VIF": 1}, "two VDIs are HA's own"


def test_a_session_that_is_handed_on_ends_with_its_coordinator(controller_pool: Pool, shop: Arguments) -> None:
    pool = controller_pool
    session = pool.ok("session", **asked(pool.lab, "two"))["session"]["ref"]
    handed = {**asked(pool.lab, *ALL), "xapi_session": session}
    assert pool.ok("vm", **shop, **handed)["changed"]
    assert "session.login_with_password" not in pool.calls()
    pool.lab.promote_host("two")
    assert not pool.ok("vm", **shop, **handed)["changed"], "the password makes a new one"
    refused = pool.run("vm", **shop, **{**handed, "xapi_password": ""})
    assert refused["xapi_error"] == "SESSION_INVALID"


def test_an_image_goes_to_the_host_that_has_its_storage(pool: Pool, disk_image: Path) -> None:
    image = {"name": "golden", "path": str(disk_image), "sr": "local two"}
    assert pool.ok("image", **image)["changed"]
    assert pool.calls()["PUT /import_raw_vdi"] == 2, "one redirected, one written"
    assert not pool.ok("image", **image)["changed"]
