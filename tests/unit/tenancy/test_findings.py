# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is a finding about a tenant, and what is none."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool.marks import Owner
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import Pool
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_use import PoolUse
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import Disk
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.findings import in_order, tenant_findings
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.published import Published
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.quota import Balance
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.tenancy import SeenVm, Tenancy

MIB = 1 << 20
Facts = dict[str, t.Any]


def container(**changed: t.Any) -> Facts:
    return {"name": "web", "privileged": False, "tenant": "acme", "memory": 0, "state": "running", **changed}


def vm(name: str = "shop", *containers: Facts, problem: str = "", **changed: t.Any) -> SeenVm:
    facts = {
        "name": name,
        "uuid": f"uuid-of-{name}",
        "tenant": "acme",
        "host": "xen1",
        "power_state": "running",
        "memory": 512 * MIB,
        "group": None,
        "networks": [],
        "config_drive": {"state": "removed"},
        "ha_restart_priority": "none",
        "marks": {},
        **changed,
    }
    return SeenVm(facts, Published(containers, problem))


def nic(mode: str, network: str = "front") -> list[Facts]:
    return [{"name": "front", "device": 0, "network": network, "locking_mode": mode}]


def host(name: str, **changed: t.Any) -> Facts:
    return {"name": name, "enabled": True, "live": True, **changed}


def found(
    *vms: SeenVm, ha: bool = False, hosts: t.Sequence[Facts] = (), use: PoolUse | None = None, **more: t.Any
) -> list[str]:
    balances = more.pop("balances", ())
    networks = [
        {"name": "front", "default_locking_mode": "unlocked"},
        {"name": "shut", "default_locking_mode": "disabled"},
    ]
    pool = {"pool": {"ha": {"enabled": ha}}, "hosts": list(hosts), "networks": networks}
    findings = tenant_findings(Tenancy(vms, pool, use or PoolUse(Pool()), more.pop("groups", {}), **more), balances)
    assert all(each["where"] and each["what"] and each["mend"] for each in findings)
    return [each["id"] for each in findings]


def test_tenants_in_order_have_none() -> None:
    assert found(vm("shop", container(memory=256 * MIB)), vm("wiki", tenant=None)) == []


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (vm("shop", container(privileged=True)), "privileged-container"),
        (vm("shop", container(tenant="globex")), "foreign-container"),
        (vm("shop", container(memory=300 * MIB), container(memory=300 * MIB)), "too-small-vm"),
        (vm(problem="docker_ps cannot be read: cut"), "unreadable-containers"),
        (vm(config_drive={"state": "attached"}), "config-drive"),
        (vm(tenant=None, marks={"hardshell:tenant": "acme"}), "copied-vm"),
    ],
)
def test_what_is_wrong_with_one_vm(bad: SeenVm, kind: str) -> None:
    assert found(bad) == [kind]


def test_a_container_that_does_not_run_or_tells_nothing_is_no_finding() -> None:
    untold = container(privileged=None, tenant=None, memory=None)
    assert found(vm("shop", untold, container(memory=600 * MIB, state="exited"))) == []
    assert found(vm(config_drive={"state": "attached"}, power_state="halted")) == []


@pytest.mark.parametrize(
    ("mode", "network", "other", "open_to_others"),
    [
        ("unlocked", "front", "globex", True),
        ("network_default", "front", "globex", True),
        ("network_default", "front", None, True),
        ("network_default", "front", "acme", False),
        ("locked", "front", "globex", False),
        ("network_default", "shut", "globex", False),
        ("disabled", "front", "globex", False),
    ],
)
def test_an_interface_is_open_where_others_are(
    mode: str, network: str, other: str | None, open_to_others: bool
) -> None:
    others = vm("wiki", tenant=other, networks=nic("locked", network))
    assert found(vm(networks=nic(mode, network)), others) == ["unlocked-interface"] * open_to_others


@pytest.mark.parametrize(
    ("ha", "priority", "kinds"), [(True, "none", ["without-ha"]), (True, "restart", []), (False, "none", [])]
)
def test_high_availability_counts_where_the_pool_has_it(ha: bool, priority: str, kinds: list[str]) -> None:
    assert found(vm(ha_restart_priority=priority), ha=ha) == kinds


@pytest.mark.parametrize(
    ("placement", "places", "second", "kinds"),
    [
        ("anti_affinity", ("xen1", "xen1"), host("xen2"), ["same-host"]),
        ("anti_affinity", ("xen1", "xen2"), host("xen2"), []),
        ("anti_affinity", ("xen1", "xen1"), host("xen2", enabled=False), []),
        ("anti_affinity", (None, None), host("xen2"), []),
        ("normal", ("xen1", "xen1"), host("xen2"), []),
    ],
)
def test_a_group_is_spread_where_it_can_be(
    placement: str, places: tuple[str | None, str | None], second: Facts, kinds: list[str]
) -> None:
    vms = [vm(name, group="acme/web", host=place) for name, place in zip("ab", places, strict=True)]
    assert found(*vms, hosts=[host("xen1"), second], groups={"acme/web": placement}) == kinds


def test_quotas_and_what_was_left_behind() -> None:
    disk = Disk("data", MIB, "fast", uuid="u")
    owner = Owner("acme", "shop")
    use = PoolUse(Pool(), loose=((owner, disk), (owner, Disk("kept", MIB, "fast", keep=True))))
    balances = (Balance("acme", "memory", MIB, 2 * MIB, 0), Balance("acme", "vcpus", None, 9, 0))
    assert found(use=use, balances=balances, unfinished=((owner, "shop"),)) == [
        "over-quota",
        "unfinished-vm",
        "loose-disk",
    ]


def test_the_gravest_come_first() -> None:
    mixed = [
        {"severity": severity, "tenant": None, "id": "", "where": "", "what": ""}
        for severity in ("low", "high", "medium")
    ]
    assert [each["severity"] for each in in_order(mixed)] == ["high", "medium", "low"]
