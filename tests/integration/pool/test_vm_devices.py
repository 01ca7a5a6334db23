# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The devices of a VM that is there already: each option through check mode, for real and once more."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from conftest import Pool

FRONT = "Pool-wide network associated with eth0"
INSIDE = "Host internal management network"
SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}
NEW = {**SHOP, "template": "Debian Bookworm 12", "sr": None}
MOST_CALLS = 6


def cycle(pool: Pool, **arguments: t.Any) -> dict[str, t.Any]:
    """Check, for real, and again: what is announced is done, at once, and a run without a change takes few calls."""
    arguments = {**SHOP, **arguments}
    announced = pool.ok("vm", check=True, **arguments)
    assert announced["changed"]
    assert announced["diff"]["before"] != announced["diff"]["after"]
    assert pool.mutating_calls() == {}
    done = pool.ok("vm", **arguments)
    assert (done["changes"], done["diff"]) == (announced["changes"], announced["diff"])
    unchanged = pool.ok("vm", **arguments)
    assert unchanged["changes"] == []
    assert unchanged["vm"] == done["vm"]
    assert sum(pool.calls().values()) <= MOST_CALLS
    return done


def make(pool: Pool, **arguments: t.Any) -> dict[str, t.Any]:
    """A running VM whose guest has its drivers."""
    vm: dict[str, t.Any] = pool.ok("vm", **{**NEW, "state": "running", "wait_for": {"address": "true"}, **arguments})[
        "vm"
    ]
    return vm


def power_state(pool: Pool) -> str:
    return str(pool.record("VM", "shop")["power_state"])


def test_nics_are_limited_and_locked_while_the_vm_runs(pool: Pool) -> None:
    nic: dict[str, t.Any] = {"name": "front", "network": FRONT}
    made = make(pool, networks=[nic])["networks"][0]
    assert (made["rate_limit"], made["locking_mode"], made["mtu"]) == (None, "network_default", 1500)

    nic.update(rate_limit=1000, locking_mode="locked", ipv4_allowed=["192.0.2.10"], ipv6_allowed=["2001:DB8::10"])
    done = cycle(pool, networks=[nic])
    changed = done["vm"]["networks"][0]
    assert (changed["uuid"], changed["mac"]) == (made["uuid"], made["mac"])
    assert done["changes"][0]["after"].keys() == {"rate_limit", "locking_mode", "ipv4_allowed", "ipv6_allowed"}
    (vif,) = pool.lab.records("VIF").values()
    assert (vif["qos_algorithm_type"], vif["qos_algorithm_params"]) == ("ratelimit", {"kbps": "1000"})
    assert (vif["locking_mode"], vif["ipv4_allowed"], vif["ipv6_allowed"]) == (
        "locked",
        ["192.0.2.10"],
        ["2001:db8::10"],
    )
    assert vif["currently_attached"]

    nic = {"name": "front", "network": INSIDE, "rate_limit": 0, "locking_mode": "unlocked", "mtu": 9000}
    replaced = cycle(pool, networks=[nic])["vm"]["networks"][0]
    assert replaced["mac"] == made["mac"], "a larger MTU makes the interface anew, with the address it had"
    (vif,) = pool.lab.records("VIF").values()
    assert (vif["qos_algorithm_type"], vif["locking_mode"], vif["MTU"]) == ("", "unlocked", 9000)
    assert vif["currently_attached"]
    assert power_state(pool) == "Running"

    assert cycle(pool, networks=[])["vm"]["networks"] == []


def test_a_nic_that_a_cut_off_run_left_unplugged_is_plugged(controller_pool: Pool) -> None:
    pool = controller_pool
    nic = {"name": "front", "network": FRONT}
    make(pool, networks=[nic])
    (ref,) = pool.lab.records("VIF")
    pool.call("VIF.unplug", ref)
    assert cycle(pool, networks=[nic])["changes"][0]["after"] == {"plugged": True}
    assert pool.lab.records("VIF")[ref]["currently_attached"]
