# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Hosts that are lost, coordinators that change, high availability, appliances."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_client import GIB, MIB, NULL, Api, Failure
from xapi_lab.lab import Lab as LabInside
from xapi_lab.testing import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    shape = {
        "hosts": [{"name": name, "cpus": 8, "memory": "8 GiB"} for name in ("one", "two", "three")],
        "srs": [{"name": "shared", "type": "nfs", "shared": True}, {"name": "local two", "host": "two"}],
        "agent_delay": 0.0,
        "host_assumed_dead_after": 0.0,
    }
    with Lab(backend="none", **shape) as running:
        yield running


@pytest.fixture
def api(lab: Lab) -> Api:
    return Api(lab)


@pytest.fixture
def hosts(api: Api) -> dict[str, str]:
    return {record["name_label"]: ref for ref, record in api("host.get_all_records").items()}


def _error(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


def _running(api: Api, name: str, host: str, priority: str = "", memory: int = GIB) -> str:
    vm = api.vm(name)
    api("VM.set_memory_limits", vm, memory, memory, memory, memory)
    api("VM.set_ha_restart_priority", vm, priority)
    api("VM.start_on", vm, host, False, False)
    return vm


def _live(api: Api, host: str) -> bool:
    return bool(api("host_metrics.get_live", api("host.get_metrics", host)))


def test_without_ha_the_vms_of_a_lost_host_stay_until_it_is_declared_dead(
    lab: Lab, api: Api, hosts: dict[str, str]
) -> None:
    vm, other = _running(api, "there", hosts["two"]), _running(api, "elsewhere", hosts["three"])
    assert _error(api, "host.declare_dead", hosts["two"]) == ["HOST_IS_LIVE", hosts["two"]]
    lab.lose_host("two")
    with pytest.raises(ConnectionRefusedError):
        Api(lab, host="127.0.0.2")
    api.wait(lambda: not _live(api, hosts["two"]))
    assert (api("VM.get_power_state", vm), api("VM.get_resident_on", vm)) == ("Running", hosts["two"])
    assert _error(api, "VM.hard_shutdown", vm) == ["HOST_OFFLINE", hosts["two"]]
    assert _error(api, "VM.start_on", api.vm("late"), hosts["two"], False, False) == ["HOST_NOT_LIVE"]
    api("host.declare_dead", hosts["two"])
    assert (api("VM.get_power_state", vm), api("VM.get_resident_on", vm)) == ("Halted", NULL)
    assert api("VM.get_power_state", other) == "Running"
    lab.return_host("two")
    api("VM.start_on", vm, hosts["two"], False, False)
    assert Api(lab, host="127.0.0.2", log_in=False).request("system.isAlive:x", "y") == "y"


def test_a_dead_host_is_removed_from_the_pool(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    vm = _running(api, "there", hosts["two"])
    lab.lose_host("two")
    api.wait(lambda: not _live(api, hosts["two"]))
    assert _error(api, "host.destroy", hosts["two"]) == ["HOST_HAS_RESIDENT_VMS", hosts["two"]]
    api("VM.power_state_reset", vm)
    api("host.destroy", hosts["two"])
    assert set(api("host.get_all")) == {hosts["one"], hosts["three"]}


def test_ha_restarts_what_it_protects_in_order(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    api("pool.enable_ha", [], {})
    pool = api("pool.get_all")[0]
    api("pool.set_ha_host_failures_to_tolerate", pool, 1)
    assert api("pool.get_allowed_operations", pool) == ["ha_disable"]
    second = _running(api, "second", hosts["two"], "restart")
    first = _running(api, "first", hosts["two"], "restart")
    effort, plain = _running(api, "effort", hosts["two"], "best-effort"), _running(api, "plain", hosts["two"])
    stopped = _running(api, "stopped", hosts["two"], "restart")
    api("VM.hard_shutdown", stopped)
    for vm, order in ((first, 1), (second, 2)):
        api("VM.set_order", vm, order)
    lab.lose_host("two")
    for vm in (first, second, effort):
        api.wait(lambda vm=vm: api("VM.get_resident_on", vm) in {hosts["one"], hosts["three"]})
    assert {api("VM.get_power_state", vm) for vm in (plain, stopped)} == {"Halted"}
    domids = [api("VM.get_domid", vm) for vm in (first, second, effort)]
    assert domids == sorted(domids)
    assert not _live(api, hosts["two"])
    assert "HA_HOST_FAILED" in {message["name"] for message in api("message.get_all_records").values()}


@pytest.mark.parametrize("again", [True, False])
def test_ha_starts_a_protected_vm_again_that_switched_itself_off(
    lab: Lab, api: Api, hosts: dict[str, str], again: bool
) -> None:
    api("pool.enable_ha", [], {})
    pool = api("pool.get_all")[0]
    api("pool.set_ha_reboot_vm_on_internal_shutdown", pool, again)
    vm = _running(api, "protected", hosts["two"], "restart")
    uuid, domid = api("VM.get_uuid", vm), api("VM.get_domid", vm)

    async def switch_off(inside: LabInside) -> None:
        await inside.machines.kill(uuid)
        inside.on_powered_off(uuid)

    lab.run(lambda inside: inside.background(switch_off(inside)))
    if again:
        api.wait(lambda: api("VM.get_power_state", vm) == "Running" and api("VM.get_domid", vm) != domid)
    else:
        api.wait(lambda: api("VM.get_power_state", vm) == "Halted")
    assert api("VM.get_ha_always_run", vm) is again
    assert api("VM.get_ha_restart_priority", vm) == "restart"


def test_a_protected_vm_that_finds_no_host_is_told_of(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    api("pool.enable_ha", [], {})
    vm = _running(api, "bound", hosts["two"], "restart")
    api("VM.hard_shutdown", vm)
    api.vbd(vm, api.vdi(SR=api("SR.get_by_name_label", "local two")[0]), "1")
    api("VM.start", vm, False, False)
    lab.lose_host("two")
    told = "HA_PROTECTED_VM_RESTART_FAILED"
    api.wait(lambda: told in {message["name"] for message in api("message.get_all_records").values()})
    assert api("VM.get_power_state", vm) == "Halted"


def test_ha_keeps_room_for_the_failures_that_it_is_to_tolerate(api: Api, hosts: dict[str, str]) -> None:
    pool = api("pool.get_all")[0]
    assert _error(api, "pool.disable_ha") == ["HA_NOT_ENABLED"]
    local = api("SR.get_by_name_label", "local two")[0]
    assert _error(api, "pool.enable_ha", [local], {}) == ["HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", local]
    api("pool.enable_ha", [], {})
    assert _error(api, "pool.enable_ha", [], {}) == ["HA_IS_ENABLED"]
    api("pool.set_ha_host_failures_to_tolerate", pool, 2)
    for name, host in hosts.items():
        _running(api, f"protected {name}", host, "restart", 2 * GIB)
    assert api("pool.get_ha_plan_exists_for", pool) == 2
    assert api("pool.ha_failover_plan_exists", 2)
    large = api.vm("large")
    api("VM.set_memory_limits", large, 4 * GIB, 4 * GIB, 4 * GIB, 4 * GIB)
    api("VM.set_ha_restart_priority", large, "restart")
    assert _error(api, "VM.start", large, False, False) == ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]
    assert _error(api, "host.disable", hosts["one"]) == ["HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN"]
    assert api("host.get_enabled", hosts["one"])
    api("pool.disable_ha")
    api("VM.start", large, False, False)


def test_a_planned_change_of_coordinator_ends_all_sessions(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    vm = api.vm("kept")
    token = api("event.from", ["pool"], "", 1.0)["token"]
    api("pool.designate_new_master", hosts["two"])
    with contextlib.suppress(http.client.HTTPException, OSError, Failure):
        api("event.from", ["pool"], token, 10.0)
    with pytest.raises(Failure) as failure:
        Api(lab)
    assert failure.value.details == ["HOST_IS_SLAVE", "127.0.0.2"]
    new = Api(lab, host="127.0.0.2")
    assert new("pool.get_master", new("pool.get_all")[0]) == hosts["two"]
    assert new("VM.get_name_label", vm) == "kept"
    new.session = api.session
    assert _error(new, "VM.get_all") == ["SESSION_INVALID", api.session]


def test_a_lost_coordinator_is_replaced_by_ha(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    api("pool.enable_ha", [], {})
    vm = _running(api, "protected", hosts["one"], "restart")
    lab.lose_host("one")
    new = _log_in_where_it_works(lab)
    new.wait(lambda: new("VM.get_resident_on", vm) in {hosts["two"], hosts["three"]})
    assert not _live(new, hosts["one"])
    lab.return_host("one")
    with pytest.raises(Failure, match="HOST_IS_SLAVE 127.0.0.2"):
        Api(lab)


def _log_in_where_it_works(lab: Lab) -> Api:
    """At the second host, once it coordinates the pool; the lab decides on that in its own thread."""
    while not next(host for host in lab.hosts() if host["name"] == "two")["coordinator"]:
        pass
    return Api(lab, host="127.0.0.2")


def test_without_ha_a_member_is_made_coordinator_by_hand(lab: Lab, hosts: dict[str, str]) -> None:
    lab.lose_host("one")
    two, three = (Api(lab, host=address, log_in=False) for address in ("127.0.0.2", "127.0.0.3"))
    login = ("session.login_with_password", "root", lab.password)

    def refused(member: Api) -> list[str]:
        with pytest.raises(Failure) as failure:
            member.request(*login)
        return failure.value.details

    while refused(two) != ["HOST_IN_EMERGENCY_MODE"]:
        assert refused(three) in (["HOST_IS_SLAVE", "127.0.0.1"], ["HOST_IN_EMERGENCY_MODE"])
    two.session = two.request("session.slave_local_login_with_password", "root", lab.password)
    two("pool.emergency_transition_to_master")
    new = _log_in_where_it_works(lab)
    assert refused(three) == ["HOST_IN_EMERGENCY_MODE"]
    assert new("pool.recover_slaves") == [hosts["three"]]
    assert refused(three) == ["HOST_IS_SLAVE", "127.0.0.2"]


def test_a_lost_host_stays_lost_when_the_lab_restarts(tmp_path: Path) -> None:
    shape = {"hosts": [{"name": "one"}, {"name": "two"}], "srs": [{"name": "shared", "type": "nfs", "shared": True}]}
    first = Lab(backend="none", state_dir=tmp_path, **shape)
    first.start()
    api = Api(first)
    two = api("host.get_by_name_label", "two")[0]
    vm = _running(api, "there", two)
    first.lose_host("two")
    first.stop(keep_machines=True)
    with Lab(backend="none", state_dir=tmp_path, host_assumed_dead_after=0.0) as second:
        api = Api(second)
        with pytest.raises(ConnectionRefusedError):
            Api(second, host="127.0.0.2")
        api.wait(lambda: not _live(api, two))
        assert api("VM.get_power_state", vm) == "Running"
        api("host.declare_dead", two)
        assert api("VM.get_power_state", vm) == "Halted"


def test_a_restart_of_xapi_keeps_objects_and_machines_alone(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    vm = _running(api, "kept", hosts["two"])
    task = api("task.create", "lost", "")
    lab.restart_xapi()
    with pytest.raises((http.client.HTTPException, OSError)):
        api("VM.get_all")
    new = Api(lab)
    assert new("VM.get_power_state", vm) == "Running"
    assert _error(new, "task.get_status", task) == ["HANDLE_INVALID", "task", task]


def test_the_coordinator_is_lost_at_the_second_call(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    lab.fault("VM.set_name_description", nth=2, host_loss="coordinator")
    vm = api.vm("watched")
    api("VM.set_name_description", vm, "first")
    with pytest.raises((http.client.HTTPException, OSError)):
        api("VM.set_name_description", vm, "second")
    assert [host["up"] for host in lab.hosts()] == [False, True, True]
    assert lab.records("VM")[vm]["name_description"] == "second"


@pytest.mark.parametrize("fault", [{"failover": True}, {"restart": True}])
def test_faults_that_end_sessions(lab: Lab, api: Api, fault: dict[str, bool]) -> None:
    lab.fault("VM.get_all", nth=1, cut="before", **fault)
    with pytest.raises((http.client.HTTPException, OSError)):
        api("VM.get_all")
    new = Api(lab, host="127.0.0.2" if "failover" in fault else "")
    new.session = api.session
    assert _error(new, "VM.get_all")[0] == "SESSION_INVALID"


def test_an_sr_that_is_full_by_fault(lab: Lab, api: Api) -> None:
    number = lab.fault(sr_full="shared")
    with pytest.raises(Failure) as failure:
        api.vdi(4 * MIB)
    assert failure.value.details == ["SR_FULL", str(4 * MIB), "0"]
    lab.clear_faults(number)
    api.vdi(4 * MIB)


def test_an_appliance_starts_and_stops_its_vms_in_order(lab: Lab, api: Api) -> None:
    appliance = api("VM_appliance.create", {"name_label": "shop", "name_description": ""})
    assert api("VM_appliance.get_allowed_operations", appliance) == []
    assert _error(api, "VM_appliance.start", appliance, False)[0] == "OPERATION_NOT_ALLOWED"
    vms = [api.vm(f"tier {order}", disk=False) for order in (2, 0, 1)]
    for vm, order in zip(vms, (2, 0, 1), strict=True):
        api("VM.set_appliance", vm, appliance)
        api("VM.set_order", vm, order)
    assert api("VM_appliance.get_allowed_operations", appliance) == ["start"]
    api("VM_appliance.start", appliance, False)
    domids = [api("VM.get_domid", vm) for vm in vms]
    assert sorted(domids) == [domids[1], domids[2], domids[0]]
    assert api("VM_appliance.get_current_operations", appliance) == {}
    api("VM_appliance.clean_shutdown", appliance)
    newest_first = [m["obj_uuid"] for m in api("message.get_all_records").values() if m["name"] == "VM_SHUTDOWN"]
    assert newest_first == [api("VM.get_uuid", vm) for vm in (vms[1], vms[2], vms[0])]
    assert {api("VM.get_power_state", vm) for vm in vms} == {"Halted"}


def test_an_appliance_names_the_vms_that_it_could_not_start(api: Api, hosts: dict[str, str]) -> None:
    appliance = api("VM_appliance.create", {"name_label": "shop", "name_description": ""})
    good, large = api.vm("good", disk=False), api.vm("large", disk=False)
    api("VM.set_memory_limits", large, 64 * GIB, 64 * GIB, 64 * GIB, 64 * GIB)
    for vm in (good, large):
        api("VM.set_appliance", vm, appliance)
    refusal = _error(api, "VM_appliance.start", appliance, False)
    assert refusal == ["OPERATION_PARTIALLY_FAILED", "VM_appliance.start", large]
    assert api("VM.get_power_state", good) == "Running"
    api("VM_appliance.hard_shutdown", appliance)
    assert api("VM.get_power_state", good) == "Halted"


def test_a_host_is_restarted_shut_down_and_switched_on(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    vm, host = _running(api, "there", hosts["two"]), hosts["two"]
    assert _error(api, "host.reboot", host) == ["HOST_NOT_DISABLED"]
    api("host.disable", host)
    api("host.reboot", host)
    api.wait(lambda: api("VM.get_power_state", vm) == "Halted")
    api.wait(lambda: api("host.get_enabled", host) and _live(api, host))
    api("VM.start_on", vm, host, False, False)
    api("host.disable", host)
    api("host.shutdown", host)
    api.wait(lambda: not _live(api, host))
    assert api("VM.get_power_state", vm) == "Halted"
    refusal = ["XENAPI_PLUGIN_FAILURE", "main", "HOST_POWER_ON_NOT_CONFIGURED", ""]
    assert _error(api, "host.power_on", host) == refusal
    api("host.set_power_on_mode", host, "IPMI", {})
    api("host.power_on", host)
    assert api("host.get_enabled", host)
    api("VM.start_on", vm, host, False, False)


def test_the_agent_of_the_coordinator_is_restarted(lab: Lab, api: Api, hosts: dict[str, str]) -> None:
    vm = _running(api, "stays", hosts["one"])
    api("host.restart_agent", hosts["one"])
    with pytest.raises((Failure, OSError, http.client.HTTPException)):
        api("event.from", ["pool"], api("event.from", ["pool"], "", 0.0)["token"], 10.0)
    assert Api(lab)("VM.get_power_state", vm) == "Running"
