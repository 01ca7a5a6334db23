# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.network`` on pools of one and of two hosts."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest
import XenAPI
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session import Session, is_read
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

VLAN = {"name": "acme-private", "tenant": "acme", "vlan": 210, "device": "eth1"}
CLASSES = ("network", "PIF", "VLAN")
READS = {"session.login_with_password": 1, "event.from": 1, "session.logout": 1}


class Killed(BaseException):
    """As a killed process: nothing catches it."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    networks = [
        {"name": "front", "kind": "nat", "bridge": "xenbr0"},
        {"name": "back", "kind": "nat", "bridge": "xenbr1"},
    ]
    with Lab(backend="none", event_from_delay=0, hosts=[{"name": "xen1"}, {"name": "xen2"}], networks=networks) as lab:
        yield lab


def contents(pool: Pool) -> dict[str, set[str]]:
    return {name: set(pool.lab.records(name)) for name in CLASSES}


def cycle(pool: Pool, **arguments: t.Any) -> dict[str, t.Any]:
    """Check twice, for real twice: what is announced is done, and once done there is nothing more to do."""
    before = contents(pool)
    announced = pool.ok("network", check=True, **arguments)
    assert announced["changed"]
    assert announced["diff"]["before"] != announced["diff"]["after"]
    assert pool.calls().keys() <= {*READS, "VIF.get_all_records_where", "VM.get_all_records_where"}
    assert pool.ok("network", check=True, **arguments)["changes"] == announced["changes"]
    assert contents(pool) == before
    done = pool.ok("network", **arguments)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    seen = {key: value for key, value in (done["network"] or {}).items() if key not in ("uuid", "bridge")}
    assert seen == {key: value for key, value in (announced["network"] or {}).items() if key not in ("uuid", "bridge")}
    unchanged = pool.ok("network", **arguments)
    assert not unchanged["changed"]
    assert unchanged["diff"] == {"before": "", "after": ""}
    assert unchanged["network"] == done["network"]
    assert pool.calls() == READS
    network: dict[str, t.Any] = done["network"]
    return network


def vm_on(pool: Pool, network: str, state: str = "halted") -> None:
    networks = [{"name": "front", "network": network}]
    pool.ok("vm", name="shop", tenant="acme", template="Debian Bookworm 12", networks=networks, state=state)


def test_a_private_network(pool: Pool) -> None:
    before = contents(pool)
    made = cycle(pool, name="acme-backend", tenant="acme", default_locking_mode="disabled", description="inner")
    assert (made["vlan"], made["device"], made["hosts"], made["mtu"]) == (None, None, [], 1500)
    record = pool.record("network", "acme-backend")
    assert record["other_config"] == {"hardshell:tenant": "acme", "hardshell:network": "acme-backend"}
    assert record["tags"] == ["tenant:acme"]
    assert record["default_locking_mode"] == "disabled"

    changed = cycle(
        pool,
        name="acme-backend",
        tenant="acme",
        default_locking_mode="unlocked",
        description="",
        mtu=9000,
        tags=["gold"],
    )
    assert (changed["mtu"], changed["tags"]) == (9000, ["gold", "tenant:acme"])
    assert not pool.ok("network", name="acme-backend", tenant="acme")["changed"], "what is not given is left alone"

    assert cycle(pool, name="acme-backend", tenant="acme", vlan=211, device="eth0")["hosts"] == ["xen1", "xen2"]
    assert cycle(pool, name="acme-backend", tenant="acme", state="absent") is None
    assert contents(pool) == before


def test_a_pool_serves_disks_with_tls_or_without(controller_pool: Pool) -> None:
    pool = controller_pool
    storage = {"name": "acme-storage", "tenant": "acme"}
    assert cycle(pool, **storage, purpose=["nbd"])["purpose"] == ["nbd"]
    other = {"name": "acme-other", "tenant": "acme"}
    assert "'acme-storage'" in pool.refused("network", **other, purpose=["insecure_nbd"])
    assert "purpose" in pool.refused("network", **other, purpose=["insecure_nbd", "nbd"])
    assert cycle(pool, **storage, purpose=["insecure_nbd"])["purpose"] == ["insecure_nbd"]
    assert not pool.ok("network", **storage)["changed"]
    assert cycle(pool, **storage, purpose=[])["purpose"] == []
    pool.call("network.add_purpose", pool.ref("network", "acme-storage"), "nbd")
    with pytest.raises(XenAPI.Failure, match="NETWORK_INCOMPATIBLE_PURPOSES"):
        pool.call("network.add_purpose", pool.ref("network", "front"), "insecure_nbd")


def test_a_vlan(pool: Pool) -> None:
    before = contents(pool)
    made = cycle(pool, **VLAN)
    assert (made["vlan"], made["device"], made["hosts"]) == (210, "eth1", ["xen1", "xen2"])
    assert sorted(record["VLAN"] for record in pool.lab.records("PIF").values()) == [-1, -1, -1, -1, 210, 210]
    moved = cycle(pool, **{**VLAN, "vlan": 220})
    assert moved["uuid"] == made["uuid"]
    assert cycle(pool, **{**VLAN, "vlan": 220, "device": "eth0"})["device"] == "eth0"
    cycle(pool, name="acme-private", tenant="acme", state="absent")
    assert contents(pool) == before


def test_a_host_that_joined_later_gets_the_vlan(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("network", **VLAN)
    pool.call("VLAN.destroy", next(iter(pool.lab.records("VLAN"))))
    mended = cycle(pool, name="acme-private", tenant="acme", vlan=210)
    assert mended["hosts"] == ["xen1", "xen2"]


def test_one_that_was_renamed_is_found_by_its_marks(controller_pool: Pool) -> None:
    pool = controller_pool
    made = pool.ok("network", **VLAN)["network"]
    pool.call("network.set_name_label", pool.ref("network", "acme-private"), "something else")
    assert cycle(pool, **VLAN)["uuid"] == made["uuid"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"vlan": 4095}, "vlan: 4095 cannot be used"),
        ({"device": "eth7"}, "device: 'eth7' cannot be used; no host has such an interface"),
        ({"device": None}, "device: None cannot be used; name the interface that carries the VLAN: eth0, eth1"),
        ({"vlan": None}, "device: 'eth1' cannot be used; it is the interface that carries the VLAN"),
        ({"tenant": "Acme!"}, "tenant: 'Acme!' cannot be used"),
        ({"mtu": 10}, "mtu: 10 cannot be used"),
        ({"name": "front"}, "a network named 'front' is there"),
        ({"name": "front", "state": "absent"}, "not ours to remove"),
        ({"name": "front", "adopt": True}, "carries a physical interface of a host"),
    ],
)
def test_bad_input_is_refused_before_the_first_change(pool: Pool, arguments: dict[str, t.Any], said: str) -> None:
    assert said in pool.refused("network", **{**VLAN, **arguments})


def test_another_tenants_network_is_left_alone(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("network", **VLAN)
    for arguments in ({}, {"adopt": True}, {"state": "absent"}):
        assert "belongs to acme, not to globex" in pool.refused("network", **{**VLAN, "tenant": "globex", **arguments})
    said = pool.refused("network", **{**VLAN, "name": "globex-private", "tenant": "globex"})
    assert "vlan: 210 cannot be used; on eth1 it is the network 'acme-private' already" in said


def test_a_network_that_somebody_made_is_taken_over_when_asked(controller_pool: Pool) -> None:
    pool = controller_pool
    network = pool.call(
        "network.create", {"name_label": "acme-private", "other_config": {"theirs": "1"}, "tags": ["old"]}
    )
    assert "set adopt: true to take it over" in pool.refused("network", **VLAN)
    adopted = cycle(pool, **VLAN, adopt=True)
    assert adopted["tags"] == ["old", "tenant:acme"]
    assert pool.lab.records("network")[network]["other_config"]["theirs"] == "1"


@pytest.mark.parametrize("state", ["halted", "running"])
def test_a_network_with_vms_on_it_is_kept_as_it_is(controller_pool: Pool, state: str) -> None:
    pool = controller_pool
    pool.ok("network", **VLAN)
    vm_on(pool, "acme-private", state)
    said = pool.refused("network", name="acme-private", tenant="acme", state="absent")
    assert "still has 1 interfaces of VMs on it and stays; move or remove them first, halted VMs too: 'shop'" in said
    assert "which would lose their connection" in pool.refused("network", **{**VLAN, "vlan": 211})
    if state == "running":
        said = pool.refused("network", **VLAN, default_locking_mode="disabled")
        assert "halt the VMs on it first: 'shop'" in said
    else:
        pool.ok("network", **VLAN, default_locking_mode="disabled")
    assert not pool.ok("network", **VLAN)["changed"]
    assert pool.calls() == READS


@pytest.mark.parametrize("state", ["present", "absent"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_is_killed_at_any_call_is_finished_by_the_next(
    controller_pool: Pool, monkeypatch: pytest.MonkeyPatch, when: str, state: str
) -> None:
    pool = controller_pool
    bare = contents(pool)
    wanted = {**VLAN, "default_locking_mode": "disabled"}
    gone = {"name": VLAN["name"], "tenant": "acme", "state": "absent"}
    asked = wanted if state == "present" else gone
    for nth in range(1, 40):
        if state == "absent":
            pool.ok("network", **wanted)
        if not _killed(pool, monkeypatch, nth, when, asked):
            break
        pool.ok("network", **asked)
        assert not pool.ok("network", **asked)["changed"], nth
        made = {name: len(refs - bare[name]) for name, refs in contents(pool).items()}
        assert made == (
            {"network": 1, "PIF": 2, "VLAN": 2} if state == "present" else {"network": 0, "PIF": 0, "VLAN": 0}
        )
        pool.ok("network", **gone)
        assert contents(pool) == bare, nth
    else:
        raise AssertionError("never ran through")
    assert nth > 3


def _killed(pool: Pool, monkeypatch: pytest.MonkeyPatch, nth: int, when: str, asked: dict[str, t.Any]) -> bool:
    """Run it, killed at its n-th call that changes something. False where it ran through."""
    sent = Session.call
    count = 0

    def call(self: Session, method: str, *arguments: t.Any, asked: str | None = None) -> t.Any:
        nonlocal count
        if is_read(method):
            if count >= nth:
                raise Killed
            return sent(self, method, *arguments, asked=asked)
        count += 1
        if count > nth or (count == nth and when == "before"):
            raise Killed
        answer = sent(self, method, *arguments, asked=asked)
        if count == nth:
            raise Killed
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(Session, "call", call)
        try:
            pool.ok("network", **asked)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_connection_is_coped_with(controller_pool: Pool, cut: str) -> None:
    pool = controller_pool
    pool.lab.fault("network.create", cut=cut, count=1)
    pool.lab.fault("Async.VLAN.create", cut=cut, nth=2, count=1)
    made = pool.ok("network", **VLAN)
    assert made["network"]["hosts"] == ["xen1", "xen2"]
    assert len([record for record in pool.lab.records("network").values() if record["name_label"] == VLAN["name"]]) == 1
    pool.lab.clear_faults()
    assert not pool.ok("network", **VLAN)["changed"]
