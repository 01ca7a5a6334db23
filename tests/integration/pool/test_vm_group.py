# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.vm_group``: the cycle, whose VMs it takes, and pools without groups."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

WEB = {"name": "web", "tenant": "acme"}
CALLS = {"session.login_with_password": 1, "event.from": 1, "VM.get_all_records_where": 1, "session.logout": 1}


@pytest.fixture
def lab() -> Iterator[Lab]:
    srs = [{"name": "Shared", "shared": True, "default": True}]
    with Lab(backend="none", event_from_delay=0, hosts=[{"name": "xen1"}, {"name": "xen2"}], srs=srs) as lab:
        yield lab


def make(pool: Pool, *names: str, tenant: str = "acme", state: str = "halted") -> None:
    for name in names:
        pool.ok("vm", name=name, host=f"host-{name}", tenant=tenant, template="Debian Bookworm 12", state=state)


def members(pool: Pool) -> list[str]:
    vms = pool.lab.records("VM")
    return sorted(vms[ref]["name_label"] for ref in pool.record("VM_group", "acme/web")["VMs"])


def cycle(pool: Pool, **arguments: t.Any) -> dict[str, t.Any] | None:
    """Check twice, for real twice: what is announced is done, and once done there is nothing more to do."""
    announced = pool.ok("vm_group", check=True, **arguments)
    assert announced["changed"]
    assert announced["diff"]["before"] != announced["diff"]["after"]
    assert pool.calls() == CALLS
    assert pool.ok("vm_group", check=True, **arguments)["changes"] == announced["changes"]
    done = pool.ok("vm_group", **arguments)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    assert {**(done["group"] or {}), "uuid": None} == {**(announced["group"] or {}), "uuid": None}
    again = pool.ok("vm_group", **arguments)
    assert not again["changed"]
    assert again["diff"] == {"before": "", "after": ""}
    assert again["group"] == done["group"]
    assert pool.calls() == CALLS
    group: dict[str, t.Any] | None = done["group"]
    return group


def test_made_changed_and_removed(pool: Pool) -> None:
    make(pool, "one", "two", "three")
    made = cycle(pool, **WEB, vms=["one", "host-two"])
    assert made is not None
    assert (made["name"], made["placement"], made["vms"]) == ("acme/web", "anti_affinity", ["one", "two"])
    assert members(pool) == ["one", "two"]
    assert not pool.ok("vm_group", **WEB)["changed"], "members that are not given are left alone"
    changed = cycle(pool, **WEB, vms=["two", "three"], description="web servers")
    assert changed is not None
    assert (changed["uuid"], changed["description"]) == (made["uuid"], "web servers")
    assert members(pool) == ["three", "two"]
    assert cycle(pool, **WEB, state="absent") is None
    assert pool.lab.records("VM_group") == {}
    assert not pool.ok("vm_group", **WEB, state="absent")["changed"]


def test_the_vms_of_a_group_start_on_different_hosts(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool, "one", "two")
    pool.ok("vm_group", **WEB, vms=["one", "two"])
    make(pool, "one", "two", state="running")
    hosts = {vm["host"] for vm in pool.ok("vm_info", tenants=["acme"])["vms"]}
    assert hosts == {"xen1", "xen2"}


def test_a_vm_moves_from_one_group_of_its_tenant_to_another(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool, "one")
    pool.ok("vm_group", name="other", tenant="acme", vms=["one"])
    cycle(pool, **WEB, vms=["one"])
    assert pool.record("VM_group", "acme/other")["VMs"] == []


def test_what_belongs_to_others_is_left_alone(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool, "one")
    make(pool, "theirs", tenant="globex")
    assert "acme has no such VM" in pool.refused("vm_group", **WEB, vms=["one", "theirs"])
    pool.ok("vm_group", **WEB, vms=["one"])
    pool.call("VM.set_groups", pool.ref("VM", "theirs"), [pool.ref("VM_group", "acme/web")])
    assert not pool.ok("vm_group", **WEB, vms=["one"])["changed"]
    pool.call("VM_group.create", {"name_label": "by hand", "name_description": "", "placement": "normal"})
    pool.call("VM.set_groups", pool.ref("VM", "one"), [pool.ref("VM_group", "by hand")])
    assert "is in the group 'by hand', which is not of acme" in pool.refused("vm_group", **WEB, vms=["one"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "a/b"}, "name: 'a/b' cannot be used"),
        ({"tenant": "Acme"}, "tenant: 'Acme' cannot be used"),
        ({"placement": "normal"}, "placement: 'normal' cannot be used; it is anti_affinity and fixed"),
        ({"vms": ["onn"]}, "vms[0]: 'onn' cannot be used; acme has no such VM; did you mean 'one'"),
    ],
)
def test_bad_input_is_refused(controller_pool: Pool, arguments: dict[str, t.Any], said: str) -> None:
    pool = controller_pool
    make(pool, "one")
    pool.ok("vm_group", **WEB)
    assert said in pool.refused("vm_group", **{**WEB, **arguments})


@pytest.mark.parametrize(
    ("restriction", "said"), [("true", "licence does not allow VM groups"), (None, "older than VM groups")]
)
def test_a_pool_without_groups_says_so(controller_pool: Pool, restriction: str | None, said: str) -> None:
    pool = controller_pool

    def restrict(lab: t.Any) -> None:
        (ref,) = lab.database.refs("pool")
        kept = {
            key: value
            for key, value in lab.database.get("pool", ref, "restrictions").items()
            if key != "restrict_vm_groups"
        }
        added = {"restrict_vm_groups": restriction} if restriction else {}
        lab.database.set("pool", ref, "restrictions", {**kept, **added})

    pool.lab.run(restrict)
    assert said in pool.refused("vm_group", **WEB)
    assert not pool.ok("vm_group", **WEB, state="absent")["changed"]


@pytest.mark.parametrize("cut", ["before", "after"])
@pytest.mark.parametrize("method", ["VM_group.create", "VM.set_groups"])
def test_a_lost_connection_is_coped_with(controller_pool: Pool, method: str, cut: str) -> None:
    pool = controller_pool
    make(pool, "one", "two")
    pool.lab.fault(method, cut=cut, count=1)
    assert pool.ok("vm_group", **WEB, vms=["one", "two"])["group"]["vms"] == ["one", "two"]
    pool.lab.clear_faults()
    assert len(pool.lab.records("VM_group")) == 1
    assert not pool.ok("vm_group", **WEB, vms=["one", "two"])["changed"]
