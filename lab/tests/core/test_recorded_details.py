# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Details that recordings of a real XAPI show."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from api_client import MIB, Api, Failure
from xapi_lab.testing import Lab


def _refused(api: Callable[..., Any], method: str, *params: Any) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


def test_a_session_takes_events_of_the_classes_it_registered_for(api: Api) -> None:
    assert _refused(api, "event.next") == ["SESSION_NOT_REGISTERED", api.session]
    api("event.register", ["VM"])
    vm = api.vm("listened to")
    events = api("event.next")
    assert {event["class"] for event in events} == {"vm"}
    assert vm in {event["ref"] for event in events}
    api("event.unregister", ["VM"])
    assert _refused(api, "event.next") == ["SESSION_NOT_REGISTERED", api.session]


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
