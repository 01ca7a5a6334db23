# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A VM's backend is chosen by its other_config, within what the pool has."""

from __future__ import annotations

import os

import pytest
from api_client import NULL, Api, Failure
from xapi_lab.config import ConfigError
from xapi_lab.machines.namespace import prerequisites
from xapi_lab.testing import Lab

MISSING = prerequisites.missing()
needs_namespaces = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))


def test_a_pool_without_machines_refuses_a_vm_that_asks_for_one() -> None:
    with Lab() as lab:
        api = Api(lab)
        vm = api.vm("web")
        api("VM.add_to_other_config", vm, "xapi-lab:backend", "namespace")
        with pytest.raises(Failure, match="'namespace' is not one of this pool's, which are none"):
            api("VM.start", vm, False, False)
        assert api("VM.get_power_state", vm) == "Halted"


def test_a_pool_of_guests_in_namespaces_without_root_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="needs root; start the lab as root"):
        Lab(backend="namespace").start()


@needs_namespaces
def test_one_pool_holds_both_and_a_guest_in_namespaces_cannot_be_suspended() -> None:
    with Lab(backend="namespace", hosts=[{"name": "one", "cpus": 4, "memory": 16 << 30}]) as lab:
        api = Api(lab)
        template = api.vm("template", nic=False)
        api("VM.add_to_other_config", template, "xapi-lab:backend", "none")
        guest, record = api.vm("guest"), api("VM.clone", template, "record")
        for vm in (guest, record):
            api("VM.start", vm, False, False)
        api.wait(lambda: api.addresses(guest))
        os_version = api("VM_guest_metrics.get_os_version", api("VM.get_guest_metrics", guest))
        assert os_version["name"]
        assert os_version["uname"]
        with pytest.raises(Failure, match="VM_LACKS_FEATURE"):
            api("VM.suspend", guest)
        api.wait(lambda: api("VM.get_guest_metrics", record) != NULL)
        api("VM.suspend", record)
        api("VM.clean_shutdown", guest)
        assert api("VM.get_power_state", guest) == "Halted"
