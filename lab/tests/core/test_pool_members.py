# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Several hosts: what members answer, where VMs run, and uploads that only one host can take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_client import GIB, MIB, NULL, Api, Failure
from xapi_lab.testing import Lab

SHAPE = {
    "hosts": [{"name": name, "cpus": 8, "memory": "8 GiB"} for name in ("one", "two", "three")],
    "agent_delay": 0.0,
    "srs": [
        {"name": "shared", "type": "nfs", "shared": True, "default": True},
        {"name": "local two", "host": "two"},
    ],
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backend="none", **SHAPE) as running:
        yield running


@pytest.fixture
def hosts(api: Api) -> Iterator[dict[str, str]]:
    """Hosts by name; the VMs of a test do not stay on them."""
    by_name = {record["name_label"]: ref for ref, record in api("host.get_all_records").items()}
    yield by_name
    for host in by_name.values():
        api("host.enable", host)
    for vm, record in api("VM.get_all_records").items():
        if record["power_state"] != "Halted" and not record["is_control_domain"]:
            api("VM.hard_shutdown", vm)


def _error(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


def _sized(api: Api, name: str, memory: int, *, disk: bool = True) -> str:
    vm = api.vm(name, disk=disk)
    api("VM.set_memory_limits", vm, memory, memory, memory, memory)
    return vm


def _started(api: Api, vm: str) -> str:
    api("VM.start", vm, False, False)
    host: str = api("VM.get_resident_on", vm)
    return host


def test_every_host_answers_on_an_address_of_its_own(lab: Lab, api: Api) -> None:
    addresses = [host["address"] for host in lab.hosts()]
    assert addresses == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert {record["address"] for record in api("host.get_all_records").values()} == set(addresses)
    assert [host["coordinator"] for host in lab.hosts()] == [True, False, False]


def test_a_member_names_the_coordinator_to_whoever_asks(lab: Lab, api: Api) -> None:
    member = Api(lab, host="127.0.0.2", log_in=False)
    slave = ["HOST_IS_SLAVE", "127.0.0.1"]
    for call in (
        ("session.login_with_password", "root", "wrong", "2.21", "tests"),
        ("pool.get_all", api.session),
        ("no.such_call", api.session),
        ("Async.VM.start", api.session, NULL, False, False),
        ("VM.get_all", "OpaqueRef:nobody"),
    ):
        with pytest.raises(Failure) as failure:
            member.request(*call)
        assert failure.value.details == slave, call
    assert "VM.start" in member.request("system.listMethods")


def test_a_local_session_is_good_on_its_host_alone(lab: Lab) -> None:
    member, other = (Api(lab, host=f"127.0.0.{number}", log_in=False) for number in (2, 3))
    local = member.request("session.slave_local_login_with_password", "root", lab.password)
    with pytest.raises(Failure, match="HOST_IS_SLAVE"):
        other.request("session.local_logout", local)
    member.request("session.local_logout", local)
    with pytest.raises(Failure, match="HOST_IS_SLAVE"):
        member.request("session.local_logout", local)


def test_an_upload_to_a_local_sr_is_sent_to_its_host(lab: Lab, api: Api) -> None:
    local = api("SR.get_by_name_label", "local two")[0]
    vdi = api.vdi(4 * MIB, SR=local)
    task = api("task.create", "upload", "")
    path = f"/import_raw_vdi?session_id={api.session}&task_id={task}&vdi={vdi}&format=raw"
    status, headers = api.put(path, b"x" * MIB)
    assert (status, headers["Location"]) == (302, f"https://127.0.0.2:{lab.port}{path}")
    assert api("task.get_status", task) == "pending"
    status, _ = api.put(path, b"x" * MIB, host="127.0.0.2")
    assert (status, api.task_end(task)["status"]) == (200, "success")
    answer = api.get(f"/export_raw_vdi?session_id={api.session}&vdi={vdi}", {}, host="127.0.0.3")
    where = (answer.headers["Location"] or "").partition("?")[0]
    assert (answer.status, where) == (302, f"https://127.0.0.2:{lab.port}/export_raw_vdi")
    status, headers = api.put(f"/import?session_id={api.session}&sr_id={local}", b"", host="127.0.0.3")
    assert (status, (headers["Location"] or "").startswith("https://127.0.0.2:")) == (302, True)
    assert set(api("task.get_all_records")) == {task}, "a redirected request left a task"


def test_a_disk_on_a_local_sr_keeps_its_vm_on_that_host(api: Api, hosts: dict[str, str]) -> None:
    local = api("SR.get_by_name_label", "local two")[0]
    vm = api.vm("bound", disk=False)
    api.vbd(vm, api.vdi(SR=local))
    assert api("VM.get_possible_hosts", vm) == [hosts["two"]]
    assert _error(api, "VM.start_on", vm, hosts["one"], False, False) == ["VM_REQUIRES_SR", vm, local]
    api("VM.set_affinity", vm, hosts["one"])
    assert _started(api, vm) == hosts["two"]
    assert api("host.get_vms_which_prevent_evacuation", hosts["two"]) == {vm: ["VM_REQUIRES_SR", vm, local]}
    assert _error(api, "host.assert_can_evacuate", hosts["two"]) == [
        "CANNOT_EVACUATE_HOST", f"VM_REQUIRES_SR,{vm},{local}"
    ]  # fmt: skip
    assert _error(api, "VM.pool_migrate", vm, hosts["one"], {}) == ["VM_REQUIRES_SR", vm, local]
    assert _error(api, "host.evacuate", hosts["two"]) == ["VM_REQUIRES_SR", vm, local]


def test_a_network_on_one_host_only(api: Api, hosts: dict[str, str]) -> None:
    network = api("network.create", {"name_label": "one's", "name_description": "", "MTU": 1500, "other_config": {}})
    (pif,) = [ref for ref, pif in api("PIF.get_all_records").items() if pif["host"] == hosts["one"] and pif["physical"]]
    vlan = api("VLAN.create", pif, 7, network)
    vm = api.vm("vlan", disk=False, nic=False)
    api.vif(vm, network=network)
    assert api("VM.get_possible_hosts", vm) == [hosts["one"]]
    assert _error(api, "VM.assert_can_boot_here", vm, hosts["two"]) == ["VM_REQUIRES_NETWORK", vm, network]
    api("VLAN.destroy", vlan)


def test_affinity_is_a_preference(api: Api, hosts: dict[str, str]) -> None:
    first, second = (_sized(api, name, 5 * GIB) for name in ("first", "second"))
    for vm in (first, second):
        api("VM.set_affinity", vm, hosts["three"])
    assert _started(api, first) == hosts["three"]
    assert _started(api, second) != hosts["three"]


def test_anti_affinity_spreads_a_group(api: Api, hosts: dict[str, str]) -> None:
    group = api("VM_group.create", {"name_label": "spread", "name_description": "", "placement": "anti_affinity"})
    vms = [_sized(api, f"member {number}", GIB) for number in range(4)]
    for vm in vms:
        api("VM.set_groups", vm, [group])
    assert {_started(api, vm) for vm in vms[:3]} == set(hosts.values())
    assert _started(api, vms[3]) in hosts.values()


def test_memory_is_counted(api: Api, hosts: dict[str, str]) -> None:
    def free(host: str) -> int:
        published = api("host_metrics.get_record", api("host.get_metrics", host))["memory_free"]
        assert published == api("host.compute_free_memory", host)
        return int(published)

    at_first = free(hosts["one"])
    vm = _sized(api, "large", 4 * GIB)
    api("VM.start_on", vm, hosts["one"], False, False)
    overhead = api("VM.compute_memory_overhead", vm)
    assert at_first - free(hosts["one"]) == 4 * GIB + overhead
    other = _sized(api, "too large", 4 * GIB)
    refusal = _error(api, "VM.start_on", other, hosts["one"], False, False)
    assert refusal == ["HOST_NOT_ENOUGH_FREE_MEMORY", str(4 * GIB + overhead), str(free(hosts["one"]))]
    api("VM.pool_migrate", vm, hosts["two"], {})
    assert free(hosts["one"]) == at_first
    assert free(hosts["two"]) < at_first
    api("VM.suspend", vm)
    assert free(hosts["two"]) == at_first
    api("VM.resume_on", vm, hosts["three"], False, False)
    assert free(hosts["three"]) < at_first
    api("VM.hard_shutdown", vm)
    assert free(hosts["three"]) == at_first


def test_a_disabled_host_takes_nothing(api: Api, hosts: dict[str, str]) -> None:
    vm = api.vm("elsewhere")
    for name in ("one", "three"):
        api("host.disable", hosts[name])
    assert api("VM.get_possible_hosts", vm) == [hosts["two"]]
    assert _error(api, "VM.start_on", vm, hosts["one"], False, False) == ["HOST_DISABLED", hosts["one"]]
    assert _started(api, vm) == hosts["two"]
    assert _error(api, "VM.pool_migrate", vm, hosts["three"], {}) == ["HOST_DISABLED", hosts["three"]]


def test_a_running_vm_moves_to_another_host(api: Api, hosts: dict[str, str]) -> None:
    vm = api.running_vm("mover")
    before = api("VM.get_record", vm)
    target = next(host for host in hosts.values() if host != before["resident_on"])
    assert "pool_migrate" in before["allowed_operations"]
    task = api.task_end(api("Async.VM.pool_migrate", vm, target, {"live": "true"}))
    assert (task["status"], task["result"]) == ("success", "<value></value>")
    after = api("VM.get_record", vm)
    assert (after["resident_on"], after["scheduled_to_be_resident_on"]) == (target, NULL)
    assert (after["power_state"], after["current_operations"]) == ("Running", {})
    assert after["domid"] != before["domid"]
    assert after["guest_metrics"] == before["guest_metrics"]
    assert "VM_MIGRATED" in {message["name"] for message in api("message.get_all_records").values()}
    api("VM.pause", vm)
    assert _error(api, "VM.pool_migrate", vm, before["resident_on"], {})[0] == "VM_BAD_POWER_STATE"


def test_what_can_be_migrated_is_told_beforehand(api: Api, hosts: dict[str, str]) -> None:
    vm = api.vm("candidate", disk=False)
    vdi = api.vdi()
    api.vbd(vm, vdi)
    api("VM.start_on", vm, hosts["one"], False, False)
    destination = api("host.migrate_receive", hosts["two"], api.nat_network(), {})
    shared, local = api.default_sr(), api("SR.get_by_name_label", "local two")[0]
    api("VM.assert_can_migrate", vm, destination, True, {vdi: shared}, {}, {})
    assert _error(api, "VM.assert_can_migrate", vm, destination, True, {}, {}, {}) == ["VDI_NOT_IN_MAP", vdi]
    api("VM.assert_can_migrate", vm, destination, True, {vdi: local}, {}, {})
    api("host.disable", hosts["two"])
    refusal = _error(api, "VM.assert_can_migrate", vm, destination, True, {vdi: shared}, {}, {})
    assert refusal == ["HOST_DISABLED", hosts["two"]]


def test_a_host_is_evacuated(api: Api, hosts: dict[str, str]) -> None:
    vms = [_sized(api, f"evacuee {number}", GIB) for number in range(3)]
    for vm in vms:
        api("VM.start_on", vm, hosts["one"], False, False)
    api("host.disable", hosts["one"])
    assert api("host.get_vms_which_prevent_evacuation", hosts["one"]) == {}
    api("host.evacuate", hosts["one"])
    assert {api("VM.get_resident_on", vm) for vm in vms} == {hosts["two"], hosts["three"]}
    assert api("host.get_resident_VMs", hosts["one"]) == [api("host.get_control_domain", hosts["one"])]


def test_a_host_is_not_evacuated_into_hosts_that_are_full(api: Api, hosts: dict[str, str]) -> None:
    for name, host in hosts.items():
        api("VM.start_on", _sized(api, f"filler {name}", 6 * GIB), host, False, False)
    (vm,) = [vm for vm in api("host.get_resident_VMs", hosts["one"]) if not api("VM.get_is_control_domain", vm)]
    assert _error(api, "host.evacuate", hosts["one"]) == ["HOST_NOT_ENOUGH_FREE_MEMORY", vm]
