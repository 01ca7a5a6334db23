# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Guest agents that are late, stale or missing, until the fault is cleared."""

from __future__ import annotations

import time

import pytest
from api_client import NULL, Api
from xapi_lab.testing import Lab


def test_a_late_agent_reports_after_its_latency(lab: Lab, api: Api) -> None:
    lab.fault(agent="late", latency=0.5, vm="web-*")
    late, prompt = api.vm("web-1"), api.vm("db-1")
    start = time.monotonic()
    for vm in (late, prompt):
        api("VM.start", vm, False, False)
    api.wait(lambda: api.addresses(prompt))
    assert api.addresses(late) == {}
    api.wait(lambda: api.addresses(late))
    assert time.monotonic() - start > 0.5


def test_a_stale_agent_leaves_what_it_reported_before(lab: Lab, api: Api) -> None:
    vm = api.running_vm("web")
    before = api.addresses(vm)
    number = lab.fault(agent="stale", vm="web")
    uuid = api("VM.get_uuid", vm)
    lab.run(lambda inside: inside.on_addresses(uuid, {1: ("127.0.9.9",)}))
    lab.run(lambda inside: inside.on_guest_info(uuid, {"name": "new"}))
    assert api.addresses(vm) == before
    lab.clear_faults(number)
    assert api.addresses(vm) == {"1/ip": "127.0.9.9", "1/ipv4/0": "127.0.9.9"}
    assert api("VM_guest_metrics.get_os_version", api("VM.get_guest_metrics", vm)) == {"name": "new"}


def test_a_missing_agent_takes_its_metrics_with_it_and_brings_them_back(lab: Lab, api: Api) -> None:
    vm = api.running_vm("web")
    before = api.addresses(vm)
    number = lab.fault(agent="missing")
    assert api("VM.get_guest_metrics", vm) == NULL
    api("VM.hard_reboot", vm)
    assert api("VM.get_guest_metrics", vm) == NULL
    lab.clear_faults(number)
    api.wait(lambda: api.addresses(vm) == before)


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({"agent": "lazy"}, "late, stale or missing"),
        ({"agent": "late"}, "a latency"),
        ({"agent": "stale", "method": "VM.start"}, "needs a method"),
    ],
)
def test_what_cannot_be_is_refused(lab: Lab, description: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        lab.fault(**description)
