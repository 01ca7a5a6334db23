# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.vm_info``: many VMs, as ``hardshell.xen.vm`` tells of one, in a constant number of calls."""

from __future__ import annotations

import typing as t

import pytest

if t.TYPE_CHECKING:
    from conftest import Pool

CALLS = {
    "session.login_with_password": 1,
    "VM.get_all_records_where": 1,
    "event.from": 1,
    "VDI.get_all_records_where": 1,
    "session.logout": 1,
}


def make(pool: Pool, name: str, tenant: str, **more: t.Any) -> dict[str, t.Any]:
    disks = [{"name": "data", "size": "1GiB"}]
    options = {
        "name": name,
        "tenant": tenant,
        "host": f"{tenant}-{name}",
        "template": "Debian Bookworm 12",
        "disks": disks,
        **more,
    }
    made: dict[str, t.Any] = pool.ok("vm", **options)["vm"]
    return made


def names(result: dict[str, t.Any]) -> list[str]:
    return [vm["name"] for vm in result["vms"]]


def test_tells_of_a_vm_what_the_vm_module_tells(pool: Pool, shop: dict[str, t.Any]) -> None:
    made = pool.ok("vm", **shop, wait_for={"address": "true"})["vm"]
    make(pool, "wiki", "globex")
    seen = pool.ok("vm_info")
    assert not seen["changed"]
    assert names(seen) == ["shop", "wiki"]
    told = seen["vms"][0]
    assert {key: told[key] for key in made} == made
    assert told.keys() - made.keys() == {"snapshots", "marks"}
    assert told["marks"]["hardshell:vm"] == made["uuid"]
    assert pool.calls() == CALLS
    assert pool.ok("vm_info", check=True)["vms"] == seen["vms"]


def test_filters(controller_pool: Pool) -> None:
    pool = controller_pool
    shop = make(pool, "shop", "acme", tags=["gold"], state="running")
    make(pool, "wiki", "acme", tags=["gold", "slow"])
    make(pool, "wiki-2", "globex")
    pool.call("VM.add_to_other_config", pool.ref("VM", "wiki-2"), "folder", "/a/b")
    for wanted, found in [
        ({"names": ["wiki"]}, ["wiki"]),
        ({"names": ["wiki*", "sho?"]}, ["shop", "wiki", "wiki-2"]),
        ({"uuids": [shop["uuid"]]}, ["shop"]),
        ({"tenants": ["acme"]}, ["shop", "wiki"]),
        ({"inventory_hosts": ["globex-wiki-2"]}, ["wiki-2"]),
        ({"tags": ["gold", "slow"]}, ["wiki"]),
        ({"folder": "/a"}, ["wiki-2"]),
        ({"power_states": ["running"]}, ["shop"]),
        ({"power_states": ["halted", "running"], "tenants": ["acme"]}, ["shop", "wiki"]),
        ({"expression": 'field "name__label" = "wiki"'}, ["wiki"]),
        ({"expression": 'true) or (field "is_a_template" = "true"'}, ["shop", "wiki", "wiki-2"]),
        ({"names": ["nobody"]}, []),
        ({"tenants": ["nobody"]}, []),
    ]:
        assert names(pool.ok("vm_info", **wanted)) == found, wanted


def test_a_wrong_expression_is_told_plainly(pool: Pool) -> None:
    assert "INVALID_VALUE" in pool.refused("vm_info", expression='field "power_state" == "Running"')


def test_snapshots_are_told_of_and_are_no_vms(controller_pool: Pool) -> None:
    pool = controller_pool
    make(pool, "shop", "acme", state="running")
    ref = pool.ref("VM", "shop")
    pool.call("VM.snapshot", ref, "before")
    pool.call("VM.checkpoint", ref, "awake")
    (vm,) = pool.ok("vm_info")["vms"]
    assert {snapshot["name"]: snapshot["memory"] for snapshot in vm["snapshots"]} == {"before": False, "awake": True}
    assert vm["snapshots"][0]["taken"].startswith("20")
    assert pool.calls() == CALLS


@pytest.mark.parametrize("named_at_most", [0, 400])
def test_the_number_of_calls_is_constant(
    controller_pool: Pool, monkeypatch: pytest.MonkeyPatch, named_at_most: int
) -> None:
    pool = controller_pool
    for number in range(6):
        disks = [{"name": f"data{disk}", "size": "1GiB"} for disk in range(number)]
        networks = [{"name": f"n{nic}", "network": "Host internal management network"} for nic in range(number)]
        make(pool, f"vm{number}", "acme", disks=disks, networks=networks)
        pool.call("VM.snapshot", pool.ref("VM", f"vm{number}"), "before")
    module = "ansible_collections.hardshell.xen.plugins.module_utils._pool.fleet_observe.NAMED_AT_MOST"
    monkeypatch.setattr(module, named_at_most)
    vms = pool.ok("vm_info")["vms"]
    assert [len(vm["disks"]) for vm in vms] == list(range(6))
    assert [len(vm["networks"]) for vm in vms] == list(range(6))
    assert [len(vm["snapshots"]) for vm in vms] == [1] * 6
    assert sum(pool.calls().values()) == 5
