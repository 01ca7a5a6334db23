# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What counts against a quota, and what a pool cannot hold."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.marks import Owner
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import Pool, StorageRepository
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_use import HeldVm, PoolUse
from ansible_collections.hardshell.xen.plugins.module_utils._pool.sizes import GIB
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import Disk
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota import Verdict, judge
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota_spec import (
    RESOURCES,
    AskedDisk,
    AskedVm,
    QuotaSpec,
    quota_spec,
)
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota_table import over_already, refusal
from hypothesis import given, settings
from hypothesis import strategies as st

POOL = Pool(
    storage=(StorageRepository("sr:a", "u-a", "fast", 100 * GIB), StorageRepository("sr:b", "u-b", "slow", 10 * GIB)),
    default_storage="sr:a",
)
TEMPLATE = HeldVm("debian", None, "halted", 1, GIB, (Disk("root", 4 * GIB, "fast", vdi="t0"),), uuid="u-t")


def held(host: str, state: str = "running", *, tenant: str = "acme", memory: int = GIB, disk: int = 4) -> HeldVm:
    root = Disk("root", disk * GIB, "fast", vdi=f"vdi:{host}", ours=True)
    return HeldVm(host, Owner(tenant, host), state, 2, memory, (root,), "xen-1" if state == "running" else None, host)


def asked(host: str, **given: t.Any) -> AskedVm:
    return AskedVm(
        **{"name": host, "owner": Owner("acme", host), "vcpus": 2, "memory": GIB, "template": "debian", **given}
    )


def use(*vms: HeldVm, **given: t.Any) -> PoolUse:
    storage_of = {disk.vdi or "": "sr:a" for vm in vms for disk in vm.disks}
    return PoolUse(
        **{
            "pool": POOL,
            "vms": vms,
            "templates": (TEMPLATE,),
            "hosts": {"xen-1": 16 * GIB},
            "storage_of": storage_of,
            **given,
        }
    )


def verdict(quota: dict[str, int], vms: t.Sequence[AskedVm], there: PoolUse) -> Verdict:
    return judge(QuotaSpec({"acme": quota}, tuple(vms)), there)


def amounts(found: Verdict, of: str) -> dict[str, int]:
    return {balance.resource: getattr(balance, of) for balance in found.balances}


def test_a_new_vm_counts_with_the_disks_of_its_template() -> None:
    disks = (AskedDisk("root", 6 * GIB, None), AskedDisk("data", 10 * GIB, None))
    found = verdict({}, [asked("web", disks=disks)], use())
    assert amounts(found, "asked") == {"vcpus": 2, "memory": GIB, "disk": 16 * GIB, "vms": 1}
    assert found.refused == ()


def test_vms_that_are_not_in_the_play_count_as_they_are() -> None:
    found = verdict({"vms": 2}, [asked("web")], use(held("api"), held("db", "halted")))
    assert amounts(found, "in_use") == {"vcpus": 2, "memory": GIB, "disk": 8 * GIB, "vms": 2}
    assert found.refused == ("web",)
    assert refusal(found) == [
        "TENANT  RESOURCE  QUOTA  IN USE  ASKED  OVER BY",
        "acme    vms       2      2       1      1",
    ]


def test_another_tenants_vms_do_not_count() -> None:
    found = verdict({"vms": 1}, [asked("web")], use(held("web", tenant="globex")))
    assert amounts(found, "in_use")["vms"] == 0
    assert found.refused == ()


@pytest.mark.parametrize(
    ("before", "wanted", "memory"),
    [
        ("halted", "running", GIB),
        ("halted", "present", 0),
        ("running", "present", 0),
        ("running", "halted", -GIB),
        ("suspended", "running", GIB),
        ("running", "restarted", 0),
    ],
)
def test_memory_is_of_vms_that_run(before: str, wanted: str, memory: int) -> None:
    found = verdict({}, [asked("web", state=wanted)], use(held("web", before)))
    assert amounts(found, "asked") == {"vcpus": 2 * memory // GIB, "memory": memory, "disk": 0, "vms": 0}


def test_a_disk_of_two_vms_and_a_kept_disk_count_once() -> None:
    shared = Disk("data", 5 * GIB, "fast", vdi="shared")
    kept = Disk("old", 3 * GIB, "fast", vdi="kept")
    vms = [HeldVm(name, Owner("acme", name), "halted", 1, GIB, (shared,)) for name in ("a", "b")]
    there = use(*vms, loose=((Owner("acme", "web"), kept),))
    assert amounts(verdict({}, [], there), "in_use")["disk"] == 8 * GIB
    again = verdict({}, [asked("web", disks=(AskedDisk("old", 3 * GIB, None),))], there)
    assert amounts(again, "asked")["disk"] == 4 * GIB


def test_a_vm_that_is_taken_over_counts_from_then_on() -> None:
    wild = HeldVm("web", None, "running", 2, GIB, (Disk(None, 4 * GIB, "fast", vdi="w", device=0),), "xen-1")
    found = verdict({}, [asked("web", adopt=True)], use(wild))
    assert amounts(found, "asked") == {"vcpus": 2, "memory": GIB, "disk": 4 * GIB, "vms": 1}
    assert found.shortages == ()


def test_one_that_is_over_already_is_warned_of_and_may_shrink() -> None:
    there = use(held("web", memory=4 * GIB))
    found = verdict({"memory": GIB}, [asked("web", memory=2 * GIB)], there)
    assert found.refused == ()
    assert over_already(found) == ["tenant acme is over its quota of memory: 2 GiB of 1 GiB"]
    assert verdict({"memory": GIB}, [asked("web", memory=5 * GIB)], there).refused == ("web",)


def test_a_quota_of_one_tenant_refuses_no_other() -> None:
    spec = QuotaSpec(
        {"acme": {"vms": 0}, "globex": {"vms": 1}}, (asked("web"), asked("wiki", owner=Owner("globex", "wiki")))
    )
    assert judge(spec, use()).refused == ("web",)


def test_memory_that_no_host_and_no_spread_can_give() -> None:
    hosts = {"xen-1": 3 * GIB, "xen-2": 2 * GIB}
    assert verdict({}, [asked("a", memory=3 * GIB), asked("b", memory=2 * GIB)], use(hosts=hosts)).refused == ()
    large = verdict({}, [asked("a", memory=4 * GIB), asked("b")], use(hosts=hosts))
    assert large.refused == ("a",)
    assert refusal(large) == [
        "POOL                    RESOURCE  FREE   ASKED  OVER BY  ASKED BY",
        "the host with the most  memory    3 GiB  4 GiB  1 GiB    a",
    ]
    squeezed = [asked("a", memory=4 * GIB, memory_dynamic_min=GIB), asked("b")]
    assert verdict({}, squeezed, use(hosts=hosts)).refused == ()
    many = verdict({}, [asked(name, memory=2 * GIB) for name in "abc"], use(hosts=hosts))
    assert [(each.where, each.over) for each in many.shortages] == [("all hosts together", GIB)]
    assert many.refused == ("a", "b", "c")


def test_a_running_vm_may_grow_into_its_own_memory() -> None:
    there = use(held("web", memory=8 * GIB), hosts={"xen-1": GIB})
    assert verdict({}, [asked("web", memory=9 * GIB)], there).refused == ()
    assert verdict({}, [asked("web", memory=10 * GIB)], there).refused == ("web",)


def test_new_disks_and_growth_must_fit_their_storage_repository() -> None:
    slow = AskedDisk("data", 11 * GIB, "slow")
    found = verdict({}, [asked("a", disks=(slow,)), asked("b")], use())
    assert [(each.where, each.over, each.vms) for each in found.shortages] == [
        ("storage repository 'slow'", GIB, ("a",))
    ]
    assert found.refused == ("a",)
    grown = verdict({}, [asked("a", disks=(AskedDisk("root", 105 * GIB, None),))], use(held("a")))
    assert [each.over for each in grown.shortages] == [GIB]


def test_a_full_copy_takes_its_space_at_once() -> None:
    there = use(held("origin", "halted", disk=12))
    copy = {"source": "origin", "template": None, "sr": "slow"}
    fast = verdict({}, [asked("a", **copy)], there)
    assert amounts(fast, "asked")["disk"] == 12 * GIB
    assert fast.refused == ()
    assert verdict({}, [asked("a", **copy, full_copy=True)], there).refused == ("a",)
    assert verdict({}, [asked("a", **{**copy, "sr": None}, full_copy=True)], there).refused == ()


hosts_of_vms = st.sets(st.sampled_from("abcdef"), max_size=5)


@settings(max_examples=60, deadline=None)
@given(hosts_of_vms, hosts_of_vms, st.sampled_from(["running", "halted", "present"]), st.integers(0, 12))
def test_what_was_converged_asks_for_nothing_more(there: set[str], wanted: set[str], state: str, quota: int) -> None:
    """A run that was let through leaves a pool in which the same run asks for nothing, and is let through again."""
    vms = [asked(host, state=state) for host in sorted(wanted)]
    before = use(*(held(host) for host in sorted(there)))
    first = verdict({"vcpus": quota}, vms, before)
    after_state = dict.fromkeys(there, "running") | {
        host: {"present": "running" if host in there else "halted"}.get(state, state) for host in wanted
    }
    after = use(*(held(host, found) for host, found in sorted(after_state.items())))
    second = verdict({"vcpus": quota}, vms, after)
    totals = {balance.resource: balance.in_use + balance.asked for balance in first.balances}
    assert amounts(second, "in_use") == totals
    assert amounts(second, "asked") == dict.fromkeys(RESOURCES, 0)
    assert second.refused == ()


@pytest.mark.parametrize(
    ("tenants", "vms", "told"),
    [
        ([{"name": "Acme"}], [], "tenants[0].name: 'Acme'"),
        ([{"name": "acme", "memory": "much"}], [], "tenants[0].memory: 'much'"),
        ([{"name": "acme", "vms": -1}], [], "tenants[0].vms: -1"),
        ([{"name": "acme", "vms": 1}, {"name": "acme", "vms": 2}], [], "tenants[1]: 'acme'"),
        ([], [{"name": "web", "tenant": "acme", "memory": "1 GX"}], "vms[0].memory: '1 GX'"),
        ([], [{"name": "web", "tenant": "acme"}, {"name": "web", "tenant": "acme"}], "vms[1]: 'acme/web'"),
    ],
)
def test_what_cannot_be_used_is_named(tenants: list[t.Any], vms: list[t.Any], told: str) -> None:
    quota = dict.fromkeys(RESOURCES)
    vm = {
        **dict.fromkeys(("host", "vcpus", "memory", "memory_dynamic_min", "template", "source", "sr")),
        "state": "running",
        "clone": "fast",
        "disks": [],
        "adopt": False,
    }
    with pytest.raises(OptionError) as error:
        quota_spec({"tenants": [{**quota, **each} for each in tenants], "vms": [{**vm, **each} for each in vms]})
    assert error.value.message.startswith(told)
