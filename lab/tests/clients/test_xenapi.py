# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The XenAPI package of PyPI, unmodified, against the lab."""

from __future__ import annotations

import time
import xmlrpc.client
from collections.abc import Iterator
from typing import Any

import pytest
from xapi_lab.testing import Lab

XenAPI = pytest.importorskip("XenAPI", reason="the XenAPI package is not installed (pip install XenAPI)")

DEADLINE = 10.0
"""Seconds that a test waits for what the lab does in the background."""
NULL = "OpaqueRef:NULL"
GIB = 2**30


control_plane = pytest.mark.parametrize("lab", ["none"], indirect=True)
"""For what a guest in namespaces cannot do: suspend, and let go of the disk that its files are on."""


@pytest.fixture
def session(lab: Lab) -> Iterator[Any]:
    made = XenAPI.Session(lab.url, ignore_ssl=True)
    made.login_with_password(lab.username, lab.password, "2.21", "xapi-lab tests")
    yield made
    made.xenapi.session.logout()


@pytest.fixture
def api(session: Any) -> Any:
    return session.xenapi


def _wait(condition: Any, what: str) -> Any:
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {DEADLINE} seconds")


def _new_vm(api: Any, name: str) -> str:
    """A halted VM with one disk and one interface, made the way Xen Orchestra and xenserver_guest make one."""
    template = api.VM.get_by_name_label("Debian Bookworm 12")[0]
    vm = api.VM.clone(template, name)
    api.VM.remove_from_other_config(vm, "disks")
    api.VM.provision(vm)
    sr = api.pool.get_default_SR(api.pool.get_all()[0])
    vdi = api.VDI.create(
        {
            "name_label": f"{name}-disk", "name_description": "", "SR": sr, "virtual_size": str(4 * GIB), "type": "user",
            "sharable": False, "read_only": False, "other_config": {}, "sm_config": {}, "xenstore_data": {}, "tags": [],
        }
    )  # fmt: skip
    api.VBD.create(
        {
            "VM": vm, "VDI": vdi, "userdevice": "0", "bootable": True, "mode": "RW", "type": "Disk", "unpluggable": True,
            "empty": False, "other_config": {"owner": ""}, "qos_algorithm_type": "", "qos_algorithm_params": {},
        }
    )  # fmt: skip
    network = api.network.get_by_name_label("Pool-wide network associated with eth0")[0]
    api.VIF.create(
        {
            "VM": vm, "network": network, "device": "0", "MAC": "", "MTU": "1500", "other_config": {},
            "qos_algorithm_type": "", "qos_algorithm_params": {},
        }
    )  # fmt: skip
    return str(vm)


def _remove(api: Any, vm: str) -> None:
    if api.VM.get_power_state(vm) != "Halted":
        api.VM.hard_shutdown(vm)
    vdis = [api.VBD.get_VDI(vbd) for vbd in api.VM.get_VBDs(vm) if api.VBD.get_type(vbd) == "Disk"]
    api.VM.destroy(vm)
    for vdi in vdis:
        api.VDI.destroy(vdi)


@pytest.fixture
def vm(api: Any) -> Iterator[str]:
    made = _new_vm(api, "client-test")
    yield made
    _remove(api, made)


def _finished(api: Any, task: str) -> dict[str, Any]:
    _wait(lambda: api.task.get_status(task) != "pending", f"the end of {task}")
    record: dict[str, Any] = api.task.get_record(task)
    api.task.destroy(task)
    return record


@pytest.mark.parametrize("extra", [(), ("2.21",), ("2.21", "an originator")])
def test_login_takes_two_to_four_parameters(lab: Lab, extra: tuple[str, ...]) -> None:
    session = XenAPI.Session(lab.url, ignore_ssl=True)
    session.login_with_password(lab.username, lab.password, *extra)
    assert session.handle.startswith("OpaqueRef:")
    assert session.API_version == "2.21"
    session.xenapi.session.logout()


def test_a_wrong_password_is_a_failure_with_the_user_in_it(lab: Lab) -> None:
    session = XenAPI.Session(lab.url, ignore_ssl=True)
    with pytest.raises(XenAPI.Failure) as failure:
        session.login_with_password(lab.username, "wrong", "2.21", "xapi-lab tests")
    assert failure.value.details == ["SESSION_AUTHENTICATION_FAILED", "root", "Authentication failure"]


def test_the_client_logs_in_again_when_its_session_has_expired(lab: Lab, session: Any) -> None:
    old = session.handle
    lab.run(lambda inside: inside.sessions.logout(old))
    assert session.xenapi.pool.get_all()
    assert session.handle != old


def test_a_restart_of_the_server_ends_sessions_and_tasks_and_keeps_objects(tmp_path: Any) -> None:
    lab = Lab(backend="none", state_dir=tmp_path / "state")
    lab.start()
    session = XenAPI.Session(lab.url, ignore_ssl=True)
    session.login_with_password(lab.username, lab.password, "2.21", "xapi-lab tests")
    vm = _new_vm(session.xenapi, "survivor")
    task = session.xenapi.Async.VM.start(vm, False, False)
    _wait(lambda: session.xenapi.task.get_status(task) == "success", "the start")
    old = session.handle
    lab.stop(keep_machines=True)
    session("close")()
    lab.start()
    try:
        assert session.xenapi.VM.get_power_state(vm) == "Running"
        assert session.handle != old
        with pytest.raises(XenAPI.Failure) as failure:
            session.xenapi.task.get_status(task)
        assert failure.value.details == ["HANDLE_INVALID", "task", task]
    finally:
        lab.stop()


@control_plane
def test_every_life_cycle_call_leads_to_the_state_it_names(api: Any, vm: str) -> None:
    steps = [
        ("start", (True, False), "Paused"),
        ("unpause", (), "Running"),
        ("pause", (), "Paused"),
        ("hard_reboot", (), "Running"),
        ("clean_reboot", (), "Running"),
        ("suspend", (), "Suspended"),
        ("resume", (False, False), "Running"),
        ("clean_shutdown", (), "Halted"),
        ("start_on", (api.host.get_all()[0], False, False), "Running"),
        ("suspend", (), "Suspended"),
        ("resume_on", (api.host.get_all()[0], False, False), "Running"),
        ("shutdown", (), "Halted"),
        ("start", (False, False), "Running"),
        ("hard_shutdown", (), "Halted"),
    ]
    for method, arguments, state in steps:
        if method in {"clean_reboot", "suspend", "clean_shutdown", "shutdown"}:
            _wait(lambda: api.VM.get_guest_metrics(vm) != NULL, "guest metrics")
        assert getattr(api.VM, method)(vm, *arguments) == ""
        assert api.VM.get_power_state(vm) == state, method
    assert api.VM.get_resident_on(vm) == NULL


def test_a_call_in_the_wrong_state_names_the_states_it_needs(api: Any, vm: str) -> None:
    with pytest.raises(XenAPI.Failure) as failure:
        api.VM.unpause(vm)
    assert failure.value.details == ["VM_BAD_POWER_STATE", vm, "paused", "halted"]


def test_allowed_operations_follow_the_state(api: Any, vm: str) -> None:
    assert {"start", "start_on", "clone", "destroy"} <= set(api.VM.get_allowed_operations(vm))
    api.VM.start(vm, False, False)
    running = set(api.VM.get_allowed_operations(vm))
    assert {"hard_shutdown", "pause", "snapshot"} <= running
    assert not {"start", "destroy"} & running


def test_an_async_call_gives_a_task_with_an_xml_value(api: Any, vm: str) -> None:
    record = _finished(api, api.Async.VM.snapshot(vm, "before"))
    assert record["name_label"] == "Async.VM.snapshot"
    assert record["status"] == "success"
    assert record["progress"] == 1.0
    assert record["error_info"] == []
    snapshot = record["result"].removeprefix("<value>").removesuffix("</value>")
    assert api.VM.get_snapshot_of(snapshot) == vm
    _remove(api, snapshot)
    assert _finished(api, api.Async.VM.start(vm, False, False))["result"] == "<value></value>"
    failed = _finished(api, api.Async.VM.start(vm, False, False))
    assert failed["status"] == "failure"
    assert failed["error_info"] == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


def test_revert_gives_back_the_vm_of_the_snapshot_on_new_disks(api: Any, vm: str) -> None:
    disk = api.VBD.get_VDI(api.VM.get_VBDs(vm)[0])
    snapshot = api.VM.snapshot(vm, "before")
    assert api.VM.get_is_a_snapshot(snapshot)
    assert api.VM.get_is_a_template(snapshot)
    api.VM.set_name_label(vm, "renamed")
    api.VM.set_VCPUs_max(vm, "4")
    api.VM.start(vm, False, False)
    api.VM.revert(snapshot)
    assert api.VM.get_name_label(vm) == "client-test"
    assert api.VM.get_VCPUs_max(vm) == "1"
    assert api.VM.get_power_state(vm) == "Halted"
    assert not api.VM.get_is_a_template(vm)
    assert api.VBD.get_VDI(api.VM.get_VBDs(vm)[0]) != disk
    _remove(api, snapshot)


@control_plane
def test_a_checkpoint_keeps_the_memory_and_the_vm_goes_on(api: Any, vm: str) -> None:
    api.VM.start(vm, False, False)
    _wait(lambda: api.VM.get_guest_metrics(vm) != NULL, "guest metrics")
    checkpoint = api.VM.checkpoint(vm, "with memory")
    assert api.VM.get_power_state(checkpoint) == "Suspended"
    assert api.VM.get_power_state(vm) == "Running"
    api.VM.revert(checkpoint)
    assert api.VM.get_power_state(vm) == "Suspended"
    api.VM.resume(vm, False, False)
    assert api.VM.get_power_state(vm) == "Running"
    _remove(api, checkpoint)


def test_revert_brings_back_a_vm_that_was_destroyed(api: Any) -> None:
    vm = _new_vm(api, "comes back")
    uuid = api.VM.get_uuid(vm)
    snapshot = api.VM.snapshot(vm, "before")
    _remove(api, vm)
    api.VM.revert(snapshot)
    again = api.VM.get_by_uuid(uuid)
    assert again != vm
    assert api.VM.get_snapshot_of(snapshot) == again
    assert api.VM.get_snapshots(again) == [snapshot]
    _remove(api, again)
    _remove(api, snapshot)


def test_a_clone_of_a_template_is_a_template_with_macs_of_its_own(api: Any, vm: str) -> None:
    api.VM.set_is_a_template(vm, True)
    clone = api.VM.clone(vm, "clone")
    assert api.VM.get_is_a_template(clone)
    assert api.VIF.get_MAC(api.VM.get_VIFs(clone)[0]) != api.VIF.get_MAC(api.VM.get_VIFs(vm)[0])
    _remove(api, clone)
    api.VM.set_is_a_template(vm, False)


def test_provision_with_an_empty_sr_names_it(api: Any) -> None:
    template = api.VM.get_by_name_label("Debian Bookworm 12")[0]
    vm = api.VM.clone(template, "no SR")
    with pytest.raises(XenAPI.Failure) as failure:
        api.VM.provision(vm)
    assert failure.value.details == ["UUID_INVALID", "sr", ""]
    _remove(api, vm)


def test_numbers_arrive_as_text_and_times_in_compact_form(api: Any, vm: str) -> None:
    record = api.VM.get_record(vm)
    assert record["memory_static_max"] == str(int(record["memory_static_max"]))
    assert isinstance(record["is_a_template"], bool)
    assert isinstance(record["snapshot_time"], xmlrpc.client.DateTime)
    assert record["snapshot_time"].value == "19700101T00:00:00Z"
    assert isinstance(record["HVM_shadow_multiplier"], float)


def test_event_from_reports_each_change_once(api: Any, vm: str) -> None:
    event_from = api.event_from
    first = event_from(["vm", "task"], "", 5.0)
    assert {event["operation"] for event in first["events"]} == {"add"}
    assert vm in {event["ref"] for event in first["events"]}
    assert event_from(["vm"], first["token"], 0.1)["events"] == []
    api.VM.set_name_label(vm, "seen")
    api.VM.set_name_description(vm, "twice changed, once told")
    second = event_from([f"vm/{vm}"], first["token"], 5.0)
    assert [(event["operation"], event["class"], event["ref"]) for event in second["events"]] == [("mod", "vm", vm)]
    assert second["events"][0]["snapshot"]["name_label"] == "seen"
    assert second["token"] > first["token"]


def test_event_from_reports_the_end_of_an_object_without_a_snapshot(api: Any) -> None:
    network = api.network.create(
        {"name_label": "short-lived", "name_description": "", "MTU": "1500", "other_config": {}, "tags": []}
    )
    token = api.event_from(["network"], "", 5.0)["token"]
    api.network.destroy(network)
    events = api.event_from(["network"], token, 5.0)["events"]
    assert [(event["operation"], event["ref"]) for event in events] == [("del", network)]
    assert "snapshot" not in events[0]


def test_valid_ref_counts_are_real_ints(api: Any) -> None:
    counts = api.event_from(["pool"], "", 5.0)["valid_ref_counts"]
    assert counts["pool"] == 1
    assert counts["vm"] == len(api.VM.get_all())


def test_addresses_appear_under_the_device_of_their_interface(api: Any, vm: str) -> None:
    api.VM.start(vm, False, False)

    def networks() -> dict[str, str]:
        metrics = api.VM.get_guest_metrics(vm)
        found: dict[str, str] = api.VM_guest_metrics.get_networks(metrics) if metrics != NULL else {}
        return found

    found = _wait(networks, "an address")
    assert found["0/ip"] == found["0/ipv4/0"]


def test_a_map_key_is_added_once(api: Any, vm: str) -> None:
    api.VM.add_to_other_config(vm, "key", "value")
    with pytest.raises(XenAPI.Failure) as failure:
        api.VM.add_to_other_config(vm, "key", "value")
    assert failure.value.details == ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "key"]
    api.VM.remove_from_other_config(vm, "key")
    api.VM.remove_from_other_config(vm, "key")


@control_plane
def test_disks_are_plugged_resized_and_in_use(api: Any, vm: str) -> None:
    vbd = api.VM.get_VBDs(vm)[0]
    vdi = api.VBD.get_VDI(vbd)
    api.VDI.resize(vdi, str(5 * GIB + 1))
    assert api.VDI.get_virtual_size(vdi) == str(5 * GIB + 2 * 2**20)
    api.VM.start(vm, False, False)
    _wait(lambda: api.VM.get_guest_metrics(vm) != NULL, "guest metrics")
    with pytest.raises(XenAPI.Failure) as failure:
        api.VDI.destroy(vdi)
    assert failure.value.details == ["VDI_IN_USE", vdi, "destroy"]
    api.VBD.unplug(vbd)
    api.VBD.plug(vbd)
    with pytest.raises(XenAPI.Failure) as failure:
        api.VBD.plug(vbd)
    assert failure.value.details == ["DEVICE_ALREADY_ATTACHED", vbd]
