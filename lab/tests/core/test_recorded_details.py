# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Details that recordings of a real XAPI show."""

from __future__ import annotations

import hashlib
import threading
import xmlrpc.client
from collections.abc import Callable
from typing import Any

import pytest
from api_client import MIB, Api, Failure
from xapi_lab.lab import Lab as RunningLab
from xapi_lab.testing import Lab


def _refused(api: Callable[..., Any], method: str, *params: Any) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


def test_a_session_takes_events_of_the_classes_it_registered_for(api: Api) -> None:
    track_id = f"trackid={hashlib.md5(api.session.encode()).hexdigest()}"
    assert _refused(api, "event.next") == ["SESSION_NOT_REGISTERED", track_id]
    api("event.register", ["VM"])
    vm = api.vm("listened to")
    events = api("event.next")
    assert {event["class"] for event in events} == {"vm"}
    assert vm in {event["ref"] for event in events}
    api("event.unregister", ["VM"])
    assert _refused(api, "event.next") == ["SESSION_NOT_REGISTERED", track_id]


def test_event_next_waits_for_an_event(lab: Lab, api: Api) -> None:
    vm = api.vm("waited for")
    api("event.register", ["VM"])
    events: list[Any] = []
    waiting = threading.Thread(target=lambda: events.extend(api("event.next")))
    waiting.start()
    Api(lab)("VM.set_name_description", vm, "changed")
    waiting.join(10)
    assert [(event["operation"], event["ref"]) for event in events] == [("mod", vm)]


@pytest.mark.parametrize(
    ("field", "value"), [("VCPUs_max", 0), ("memory_dynamic_min", MIB), ("memory_static_max", MIB)]
)
def test_a_vm_that_no_host_takes_does_not_start(lab: Lab, api: Api, field: str, value: int) -> None:
    vm = api.vm("nowhere")
    lab.run(lambda running: running.database.set("VM", vm, field, value))
    assert _refused(api, "VM.start", vm, False, False) == ["NO_HOSTS_AVAILABLE"]
    host = api("host.get_all")[0]
    reason = "VALUE_NOT_SUPPORTED" if field == "VCPUs_max" else "MEMORY_CONSTRAINT_VIOLATION_ORDER"
    assert _refused(api, "VM.assert_can_boot_here", vm, host)[0] == reason


def test_a_paused_guest_that_cannot_suspend_has_no_checkpoint(api: Api) -> None:
    vm = api.vm("paused")
    api("VM.set_xenstore_data", vm, {"FIST/guest": "silent"})
    api("VM.start", vm, True, False)
    assert _refused(api, "VM.checkpoint", vm, "never") == ["VM_LACKS_FEATURE", vm]
    assert api("VM.get_power_state", vm) == "Paused"


def test_a_checkpoint_of_a_paused_vm_is_a_snapshot(api: Api) -> None:
    vm = api.vm("paused")
    api("VM.start", vm, True, False)
    checkpoint = api("VM.checkpoint", vm, "without memory")
    assert api("VM.get_power_state", checkpoint) == "Halted"
    assert api("VM.get_power_state", vm) == "Paused"


@pytest.mark.parametrize(("action", "state"), [("destroy", "Halted"), ("restart", "Running")])
def test_a_guest_that_restarts_itself_does_what_its_vm_says(lab: Lab, api: Api, action: str, state: str) -> None:
    vm = api.vm("restarts")
    api("VM.set_actions_after_reboot", vm, action)
    api("VM.set_VCPUs_max", vm, 2)
    api("VM.start", vm, False, False)
    api("VM.set_VCPUs_at_startup", vm, 2)
    before = api("VM.get_domid", vm)
    lab.run(lambda running: running.on_rebooted(running.database.get("VM", vm, "uuid")))
    api.wait(lambda: api("VM.get_domid", vm) != before)
    assert api("VM.get_power_state", vm) == state
    if state == "Running":
        assert api("VM_metrics.get_VCPUs_number", api("VM.get_metrics", vm)) == 2


def test_a_default_template_that_became_a_vm_cannot_be_destroyed(lab: Lab, api: Api) -> None:
    vm = api.vm("was a template")
    lab.run(lambda running: running.database.set("VM", vm, "is_default_template", True))
    assert "destroy" in api("VM.get_allowed_operations", vm)
    assert _refused(api, "VM.destroy", vm) == ["VM_CANNOT_DELETE_DEFAULT_TEMPLATE"]


def test_a_blob_belongs_to_its_vm(api: Api) -> None:
    vm = api.vm("with a blob")
    blob = api("VM.create_new_blob", vm, "notes", "text/plain", False)
    assert api("VM.get_blobs", vm) == {"notes": blob}
    assert api("blob.get_mime_type", blob) == "text/plain"
    api("blob.destroy", blob)
    assert api("VM.get_blobs", vm) == {}


def test_an_unknown_call_whose_session_is_no_string_is_an_internal_error(api: Api) -> None:
    details = _refused(api.request, "system.multicall", [{"methodName": "VM.get_all"}])
    assert details == ["INTERNAL_ERROR", "Failure(\"Expected string, got '[{methodName:S(VM.get_all)}]'\")"]


def test_times_that_nobody_has_set_are_times_on_the_wire(lab: Lab, api: Api) -> None:
    vdi = api.vdi()
    proxy = xmlrpc.client.ServerProxy(lab.url, context=lab.ssl_context)
    record: Any = proxy.VDI.get_record(api.session, vdi)
    assert isinstance(record["Value"]["snapshot_time"], xmlrpc.client.DateTime)


def test_a_disk_that_the_storage_does_not_have_cannot_be_introduced(api: Api) -> None:
    sr = api.default_sr()
    location = "no-such-location"
    answer = _refused(api, "VDI.introduce", "8f2f11c5-1ba1-4d5d-9d6f-0b7b1c1a1d11", "n", "", sr, "user", False, False, {},
                      location, {}, {})  # fmt: skip
    assert answer == ["INTERNAL_ERROR", f"Storage_error ([S(Vdi_does_not_exist);S({location})])"]


def test_a_halted_vm_allows_only_snapshots_while_one_is_made(lab: Lab, api: Api) -> None:
    vm = api.vm("slow snapshot", nic=False)
    vdi = api("VBD.get_VDI", api("VM.get_VBDs", vm)[0])

    def hold(inside: RunningLab) -> None:
        for class_name, ref in (("VM", vm), ("VDI", vdi)):
            inside.database.put_in_map(class_name, ref, "current_operations", "OpaqueRef:task", "snapshot")

    lab.run(hold)
    assert api("VM.get_allowed_operations", vm) == ["snapshot"]
    assert api("VDI.get_allowed_operations", vdi) == []
