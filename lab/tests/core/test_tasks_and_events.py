# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Async calls, tasks, event.from, busy objects and faults."""

from __future__ import annotations

import http.client
import threading
import time

import pytest
from api_client import GIB, Api, Failure
from xapi_lab.testing import Lab


def _token(api: Api) -> str:
    token: str = api("event.inject", "pool", api("pool.get_all")[0])
    return token


def test_async_calls_end_in_their_task(api: Api) -> None:
    vm = api.vm("async", disk=False, nic=False)
    task = api("Async.VM.start", vm, False, False)
    record = api.task_end(task)
    assert (record["status"], record["result"], record["progress"]) == ("success", "<value></value>", 1.0)
    clone = api.task_end(api("Async.VM.snapshot", vm, "s", []))
    assert clone["result"].startswith("<value>OpaqueRef:")
    failed = api.task_end(api("Async.VM.start", vm, False, False))
    assert failed["error_info"] == ["VM_BAD_POWER_STATE", vm, "halted", "running"]
    api("task.destroy", task)
    with pytest.raises(Failure, match="HANDLE_INVALID task"):
        api("task.get_record", task)


def test_events_are_coalesced_with_the_latest_snapshot(api: Api) -> None:
    vm = api.vm("events", disk=False, nic=False)
    token = api("event.from", ["VM"], "", 1.0)["token"]
    api("VM.set_name_description", vm, "one")
    api("VM.set_name_description", vm, "two")
    batch = api("event.from", ["vm"], token, 5.0)
    (event,) = [event for event in batch["events"] if event["ref"] == vm]
    assert (event["class"], event["operation"]) == ("vm", "mod")
    assert event["snapshot"]["name_description"] == "two"
    assert batch["token"] > token


def test_deletions_have_no_snapshot_and_short_lives_no_event(api: Api) -> None:
    vm = api.vm("del", disk=False, nic=False)
    token = api("event.from", ["VM"], "", 1.0)["token"]
    short = api("network.create", {"name_label": "short", "other_config": {}})
    api("network.destroy", short)
    api("VM.destroy", vm)
    batch = api("event.from", ["VM", "network"], token, 5.0)
    assert [event for event in batch["events"] if event["ref"] == short] == []
    (event,) = [event for event in batch["events"] if event["ref"] == vm]
    assert event["operation"] == "del"
    assert "snapshot" not in event


def test_a_timeout_is_an_empty_batch(api: Api) -> None:
    token = api("event.from", ["VM"], "", 1.0)["token"]
    batch = api("event.from", ["VM"], token, 0.1)
    assert batch["events"] == []
    assert batch["valid_ref_counts"]["vm"] == len(api("VM.get_all"))
    with pytest.raises(Failure, match="EVENT_FROM_TOKEN_PARSE_FAILURE garbage"):
        api("event.from", ["VM"], "garbage", 0.1)


def test_event_from_wakes_up_for_a_change(lab: Lab, api: Api) -> None:
    vm = api.vm("wakes", disk=False, nic=False)
    token, other = _token(api), Api(lab)
    threading.Timer(0.2, other, ("VM.set_name_description", vm, "woken")).start()
    started = time.monotonic()
    batch = api("event.from", [f"VM/{vm}"], token, 10.0)
    assert time.monotonic() - started < 5
    assert batch["events"][0]["snapshot"]["name_description"] == "woken"


def test_a_session_that_ends_wakes_its_event_from(lab: Lab, api: Api) -> None:
    waiting = Api(lab)
    token = _token(waiting)
    threading.Timer(
        0.2, lambda: lab.run(lambda inside: (inside.sessions.logout(waiting.session), inside.wake()))
    ).start()
    with pytest.raises(Failure, match="SESSION_INVALID"):
        waiting("event.from", ["crashdump"], token, 30.0)


def test_a_busy_vm_waits_instead_of_failing(lab: Lab, api: Api) -> None:
    vm = api.vm("busy", disk=False, nic=False)
    lab.run(lambda inside: inside.database.put_in_map("VM", vm, "current_operations", "DummyRef:|x|y", "clone"))
    task = api("Async.VM.start", vm, False, False)
    assert "start" not in api("VM.get_allowed_operations", vm)
    assert api("task.get_status", task) == "pending"
    lab.run(lambda inside: inside.database.remove_from_map("VM", vm, "current_operations", "DummyRef:|x|y"))
    assert api.task_end(task)["status"] == "success"


def test_a_waiting_task_can_be_cancelled(lab: Lab, api: Api) -> None:
    vm = api.vm("cancelled", disk=False, nic=False)
    lab.run(lambda inside: inside.database.put_in_map("VM", vm, "current_operations", "DummyRef:|x|y", "clone"))
    task = api("Async.VM.start", vm, False, False)
    api("task.cancel", task)
    record = api.task_end(task)
    assert (record["status"], record["error_info"]) == ("cancelled", ["TASK_CANCELLED", task])


def test_upload(lab: Lab, api: Api) -> None:
    vdi, task = api.vdi(GIB), api("task.create", "upload", "")
    path = f"/import_raw_vdi?session_id={api.session}&task_id={task}&vdi={vdi}&format=raw"
    status, headers = api.put(path, b"x" * 3_000_000)
    assert (status, headers["task-id"]) == (200, task)
    assert api.task_end(task)["result"] == f"<value>{vdi}</value>"
    assert api("VDI.get_physical_utilisation", vdi) == 3_000_000


def test_uploads_that_must_fail_say_so_in_their_task(api: Api) -> None:
    def outcome(query: str, body: bytes = b"x") -> list[str]:
        task = api("task.create", "upload", "")
        api.put(f"/import_raw_vdi?session_id={api.session}&task_id={task}{query}", body)
        info: list[str] = api.task_end(task)["error_info"]
        return info

    assert outcome("")[0] == "VDI_MISSING"
    assert outcome(f"&vdi={api.vdi(0)}", b"x" * (3 * 2**20))[0] == "VDI_IO_ERROR"
    vm = api.running_vm("uploads")
    attached = api("VBD.get_VDI", api("VM.get_VBDs", vm)[0])
    assert outcome(f"&vdi={attached}") == ["VDI_IN_USE", attached]


def test_an_upload_that_is_cut_short_fails(api: Api) -> None:
    vdi, task = api.vdi(GIB), api("task.create", "upload", "")
    api.put(f"/import_raw_vdi?session_id={api.session}&task_id={task}&vdi={vdi}", b"x" * 100_000, length=10**9)
    assert api.task_end(task)["error_info"][0] == "VDI_IO_ERROR"
    assert api("VDI.get_current_operations", vdi) == {}


def test_uploads_need_credentials(api: Api) -> None:
    status, headers = api.put(f"/import_raw_vdi?session_id=OpaqueRef:no&vdi={api.vdi()}", b"")
    assert status == 401
    assert headers["WWW-Authenticate"] == 'Basic realm="put_import_raw_vdi"'


def test_a_fault_hits_the_nth_call(lab: Lab, api: Api) -> None:
    lab.fault("VM.get_all", nth=2, error=["SR_FULL", "1", "2"])
    api("VM.get_all")
    with pytest.raises(Failure, match="SR_FULL 1 2"):
        api("VM.get_all")
    api("VM.get_all")


def test_a_fault_cuts_the_connection_before_or_after(lab: Lab, api: Api) -> None:
    vm, other = api.vm("cut", disk=False, nic=False), Api(lab)
    for cut, description in (("before", ""), ("after", "done")):
        lab.fault("VM.set_name_description", cut=cut, count=1)
        with pytest.raises((http.client.HTTPException, OSError)):
            Api(lab)("VM.set_name_description", vm, "done")
        assert other("VM.get_name_description", vm) == description or cut == "before"
    assert other("VM.get_name_description", vm) == "done"


def test_a_fault_ends_the_session(lab: Lab, api: Api) -> None:
    lab.fault("VM.get_all", expire_session=True, count=1)
    with pytest.raises(Failure, match="SESSION_INVALID"):
        api("VM.get_all")


def test_calls_are_counted(lab: Lab, api: Api) -> None:
    lab.reset_calls()
    api("VM.get_all")
    api("VM.get_all")
    assert lab.calls() == {"VM.get_all": 2}


def test_messages(api: Api) -> None:
    vm = api.vm("talks", disk=False, nic=False)
    token = api("event.from", ["message"], "", 1.0)["token"]
    uuid = api("VM.get_uuid", vm)
    ref = api("message.create", "T", 5, "VM", uuid, "body")
    (event,) = api("event.from", ["message"], token, 5.0)["events"]
    assert (event["ref"], event["operation"], event["snapshot"]["obj_uuid"]) == (ref, "add", uuid)
    with pytest.raises(Failure, match="UUID_INVALID VM zz"):
        api("message.create", "T", 5, "VM", "zz", "body")
