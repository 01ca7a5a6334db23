# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_filter import VmFilter, vm_filter
from ansible_collections.hardshell.xen.plugins.plugin_utils._inventory_hosts import (
    PoolVms,
    address_rules,
    chosen_address,
    hosts_of,
)
from ansible_collections.hardshell.xen.plugins.plugin_utils._inventory_pools import pool_sources

EVERY = ("tenant", "host", "tag", "state", "folder", "pool")


def vm(**changed: t.Any) -> dict[str, t.Any]:
    return {
        "uuid": "6a4bb9e6-5a54-4f0f-9d57-b2d2f3c2f0a1",
        "name": "shop",
        "inventory_host": "acme-shop",
        "tenant": "acme",
        "host": "xen1",
        "power_state": "running",
        "tags": ["gold", "tenant:acme"],
        "folder": "/a/b",
        "address": "10.0.0.5",
        "ssh_host_key": None,
        "networks": [
            {"name": "back", "addresses": ["10.0.0.5", "fe80::1"]},
            {"name": "front", "addresses": ["192.0.2.5", "2001:db8::5"]},
        ],
        "containers": [],
        **changed,
    }


@pytest.mark.parametrize(
    ("rules", "address"),
    [
        ([], "10.0.0.5"),
        ([{"network": "192.0.2.0/24"}], "192.0.2.5"),
        ([{"nic": "front"}], "192.0.2.5"),
        ([{"nic": "front", "network": "2001:db8::/32"}], "2001:db8::5"),
        ([{"network": "198.51.100.0/24"}, {"nic": "back"}], "10.0.0.5"),
        ([{"network": "198.51.100.0/24"}], None),
        ([{"nic": "none"}], None),
    ],
)
def test_the_address_is_chosen_by_rule(rules: list[dict[str, str]], address: str | None) -> None:
    assert chosen_address(vm(), address_rules("ansible_host", rules)) == address


@pytest.mark.parametrize("rule", [{}, {"cidr": "10.0.0.0/8"}, {"network": "10.0.0/8"}, "10.0.0.0/8"])
def test_a_rule_that_says_nothing_is_refused(rule: t.Any) -> None:
    with pytest.raises(OptionError, match=r"^ansible_host\[0\]"):
        address_rules("ansible_host", [rule])


def test_a_host_has_its_groups_and_variables() -> None:
    found = hosts_of(
        [PoolVms("p", (vm(ssh_host_key="ssh-ed25519 A"),))], named_by=["inventory_host"], grouped_by=EVERY, rules=()
    )
    (host,) = found.hosts
    assert host.name == "acme-shop"
    assert set(host.groups) == {"tenant_acme", "host_xen1", "tag_gold", "state_running", "folder_a_b", "pool_p"}
    assert found.nested == (("folder_a", "folder_a_b"),)
    assert host.variables["ansible_host"] == "10.0.0.5"
    assert host.variables["vm_ssh_host_key"] == "ssh-ed25519 A"
    assert host.variables["xapi_vm"]["name"] == "shop"
    assert "containers" not in host.variables["xapi_vm"]


def test_what_a_vm_lacks_makes_no_group() -> None:
    bare = vm(tenant=None, inventory_host=None, host=None, tags=[], folder="", address=None, power_state="halted")
    (host,) = hosts_of([PoolVms("p", (bare,))], named_by=["inventory_host", "name"], grouped_by=EVERY, rules=()).hosts
    assert host.name == "shop"
    assert host.groups == ("state_halted", "pool_p")
    assert host.variables.keys() == {"xapi_vm", "xapi_containers", "xapi_pool"}


def test_only_the_groups_asked_for() -> None:
    (host,) = hosts_of([PoolVms("p", (vm(),))], named_by=["name"], grouped_by=["tenant"], rules=()).hosts
    assert host.groups == ("tenant_acme",)


def test_pools_take_what_they_do_not_say_from_the_top() -> None:
    top = {"xapi_host": None, "xapi_username": "reader", "xapi_password": "p", "xapi_timeout": 5, "xapi_session": None}
    first, second = pool_sources(
        top,
        [{"xapi_host": "a.example"}, {"name": "b", "xapi_host": ["b1.example", "b2.example:444"], "xapi_timeout": "9"}],
    )
    assert (first.name, first.connection.username, first.connection.timeout) == ("a.example", "reader", 5)
    assert (second.name, len(second.connection.addresses), second.connection.timeout) == ("b", 2, 9)


@pytest.mark.parametrize(
    ("pools", "said"),
    [
        ([{"xapi_password": "p"}], r"^pools\[0\]\.xapi_host: None cannot be used"),
        ([{"xapi_host": "a", "host": "b"}], r"^pools\[0\]\.host. Supported parameters include"),
        ([{"xapi_host": "a"}, {"xapi_host": "a"}], "'a' cannot be used; give each pool a name of its own"),
        ({"xapi_host": "a"}, "give a list of mappings"),
        ([{"xapi_host": "http://a"}], "the password would travel in clear"),
    ],
)
def test_pools_that_cannot_be_read_are_refused(pools: t.Any, said: str) -> None:
    with pytest.raises(HardshellError, match=said):
        pool_sources({"xapi_password": "p"}, pools)


def test_what_was_kept_answers_the_same_question_only() -> None:
    (source,) = pool_sources({"xapi_host": "a", "xapi_password": "p"}, [])
    (other,) = pool_sources({"xapi_host": "b", "xapi_password": "p"}, [])
    everything, few = VmFilter(), vm_filter({"names": ["a"]})
    assert len({source.digest(everything), source.digest(few), other.digest(everything)}) == 3
    assert source.digest(everything) == source.digest(VmFilter())
