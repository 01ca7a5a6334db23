# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""VMs and disks that move to other SRs of the pool: what moves along, what is refused, and what is left when it fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from api_client import GIB, MIB, NULL, Api, Failure
from xapi_lab.machines.contract import MachineError
from xapi_lab.testing import Lab

SHAPE = {
    "hosts": [{"name": "one", "cpus": 8, "memory": "8 GiB"}, {"name": "two", "cpus": 8, "memory": "8 GiB"}],
    "srs": [
        {"name": "shared", "type": "nfs", "shared": True, "capacity": "100 GiB", "default": True},
        {"name": "local one", "host": "one", "capacity": "20 GiB"},
        {"name": "local two", "host": "two", "capacity": "20 GiB"},
        {"name": "library", "type": "iso", "shared": True},
    ],
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(backend="none", **SHAPE) as running:
        yield running


@pytest.fixture
def hosts(api: Api) -> dict[str, str]:
    return {record["name_label"]: ref for ref, record in api("host.get_all_records").items()}


@pytest.fixture
def srs(api: Api) -> dict[str, str]:
    return {record["name_label"]: ref for ref, record in api("SR.get_all_records").items()}


def _error(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


def _disk(api: Api, vm: str, device: str = "0") -> str:
    vbds = [api("VBD.get_record", vbd) for vbd in api("VM.get_VBDs", vm)]
    return next(str(vbd["VDI"]) for vbd in vbds if vbd["userdevice"] == device)


def _destination(api: Api, host: str) -> dict[str, str]:
    destination: dict[str, str] = api("host.migrate_receive", host, api.nat_network(), {})
    return destination


def test_a_running_vm_moves_with_its_disks(api: Api, hosts: dict[str, str], srs: dict[str, str]) -> None:
    vm = api.vm("mover", disk=False)
    system, data = api.vdi(GIB, SR=srs["local one"], name_label="system"), api.vdi(GIB, name_label="data")
    for number, vdi in enumerate((system, data)):
        api.vbd(vm, vdi, str(number))
    api.vbd(vm, api.vdi(2 * MIB, SR=srs["library"]), "3", type="CD", mode="RO")
    snapshot = api("VM.snapshot", vm, "before", [])
    api("VM.start_on", vm, hosts["one"], False, False)
    api.wait(lambda: api.addresses(vm))
    before, old_uuid = api("VM.get_record", vm), api("VDI.get_uuid", system)

    vdi_map = {system: srs["local two"], data: srs["shared"]}
    arguments = (vm, _destination(api, hosts["two"]), True, vdi_map, {}, {})
    api("VM.assert_can_migrate", *arguments)
    task = api.task_end(api("Async.VM.migrate_send", *arguments))
    assert (task["status"], task["result"]) == ("success", f"<value>{vm}</value>")

    after = api("VM.get_record", vm)
    assert (after["resident_on"], after["power_state"], after["current_operations"]) == (hosts["two"], "Running", {})
    assert (after["uuid"], after["domid"] != before["domid"]) == (before["uuid"], True)
    moved = api("VDI.get_record", _disk(api, vm))
    assert (moved["SR"], moved["name_label"], moved["uuid"] != old_uuid) == (srs["local two"], "system", True)
    assert api("VBD.get_record", moved["VBDs"][0])["currently_attached"]
    assert _disk(api, vm, "1") == data
    assert _disk(api, vm, "3") == NULL, "a CD travelled"
    kept = api("VDI.get_record", _disk(api, snapshot))
    assert (kept["SR"], kept["is_a_snapshot"]) == (srs["local two"], True)
    assert kept["snapshot_of"] == _disk(api, vm)
    assert api("SR.get_VDIs", srs["local one"]) == []
    assert _error(api, "VDI.get_uuid", system)[0] == "HANDLE_INVALID"
    api("VM.hard_shutdown", vm)


def test_a_halted_vm_changes_its_sr_only(api: Api, hosts: dict[str, str], srs: dict[str, str]) -> None:
    vm = api.vm("sleeper")
    vdi_map = {_disk(api, vm): srs["local one"]}
    assert api("VM.migrate_send", vm, _destination(api, hosts["one"]), False, vdi_map, {}, {}) == vm
    assert api("VDI.get_SR", _disk(api, vm)) == srs["local one"]
    assert api("VM.get_power_state", vm) == "Halted"


def test_a_disk_moves_alone(api: Api, hosts: dict[str, str], srs: dict[str, str]) -> None:
    vm = api.vm("still")
    api.vbd(vm, api.vdi(2 * MIB, SR=srs["library"]), "3", type="CD", mode="RO")
    vdi, medium = _disk(api, vm), _disk(api, vm, "3")
    api("VM.start_on", vm, hosts["one"], False, False)
    api.wait(lambda: api.addresses(vm))
    for key in ("config-drive", "mine"):
        api("VDI.add_to_other_config", vdi, key, "x")
    api("VDI.add_tags", vdi, "gold")
    new = api("VDI.pool_migrate", vdi, srs["local one"], {})
    assert (api("VDI.get_other_config", new), api("VDI.get_tags", new)) == ({"config-drive": "x"}, ["gold"])
    assert (api("VDI.get_SR", new), new != vdi) == (srs["local one"], True)
    assert (_disk(api, vm), _disk(api, vm, "3")) == (new, medium)
    assert api("VM.get_resident_on", vm) == hosts["one"]
    assert api("VDI.pool_migrate", new, srs["local one"], {}) == new
    assert api("VDI.pool_migrate", new, srs["shared"], {}) == _disk(api, vm)
    alone = api.vdi(MIB)
    assert _error(api, "VDI.pool_migrate", alone, srs["local one"], {}) == ["VDI_NEEDS_VM_FOR_MIGRATE", alone]
    api("VM.hard_shutdown", vm)


def test_a_suspended_vm_takes_its_memory_along(api: Api, hosts: dict[str, str], srs: dict[str, str]) -> None:
    vm = api.running_vm("dreamer")
    api("VM.set_suspend_SR", vm, srs["local one"])
    api("VM.suspend", vm)
    memory = api("VM.get_suspend_VDI", vm)
    assert api("VDI.get_SR", memory) == srs["local one"]
    api("VM.migrate_send", vm, _destination(api, hosts["two"]), False, {_disk(api, vm): srs["local two"]}, {}, {})
    assert api("VDI.get_SR", api("VM.get_suspend_VDI", vm)) == srs["shared"]
    assert api("VM.get_suspend_SR", vm) == NULL
    api("VM.resume_on", vm, hosts["two"], False, False)
    api("VM.hard_shutdown", vm)


def test_what_is_refused(api: Api, hosts: dict[str, str], srs: dict[str, str]) -> None:
    vm = api.vm("stubborn")
    api("VM.start_on", vm, hosts["one"], False, False)
    api.wait(lambda: api.addresses(vm))
    vdi = _disk(api, vm)
    (vif,) = api("VM.get_VIFs", vm)
    two = _destination(api, hosts["two"])

    def refusal(destination: dict[str, str], vdi_map: dict[str, str], **more: dict[str, str]) -> list[str]:
        return _error(
            api, "VM.migrate_send", vm, destination, True, vdi_map, more.get("vifs", {}), more.get("options", {})
        )

    same, local = {vdi: srs["shared"]}, {vdi: srs["local one"]}
    assert refusal(two, {}) == ["VDI_NOT_IN_MAP", vdi]
    assert refusal({**two, "host": "OpaqueRef:elsewhere"}, same) == ["HANDLE_INVALID", "host", "OpaqueRef:elsewhere"]
    assert refusal(two, {vdi: srs["library"]}) == [
        "SR_DOES_NOT_SUPPORT_MIGRATION", srs["library"], "VDI_SNAPSHOT;VDI_MIRROR_IN",
    ]  # fmt: skip
    assert refusal(two, same, options={"copy": "true"})[0] == "OPERATION_NOT_ALLOWED"
    assert refusal(two, same, vifs={vif: api.nat_network()})[0] == "OPERATION_NOT_ALLOWED"
    assert refusal(two, local) == ["SR_NOT_ATTACHED", api("SR.get_uuid", srs["local one"])]
    private = api("network.create", {"name_label": "private", "other_config": {}})
    assert _error(api, "host.migrate_receive", hosts["two"], private, {}) == [
        "HOST_CANNOT_ATTACH_NETWORK", hosts["two"], private,
    ]  # fmt: skip
    api("host.disable", hosts["two"])
    assert refusal(two, same) == ["HOST_DISABLED", hosts["two"]]
    api("host.enable", hosts["two"])
    api("VM.pause", vm)
    assert refusal(two, same)[0] == "VM_BAD_POWER_STATE"
    assert (_disk(api, vm), api("VM.get_current_operations", vm)) == (vdi, {})
    api("VM.hard_shutdown", vm)


@pytest.mark.parametrize("step", ["move_disk", "migrate"])
def test_a_move_that_fails_leaves_all_as_it_was(
    lab: Lab, api: Api, hosts: dict[str, str], srs: dict[str, str], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    vm = api.running_vm("unlucky")
    vdi, host = _disk(api, vm), api("VM.get_resident_on", vm)
    kept = lab.records("VDI").keys()

    async def broken(*arguments: object) -> None:
        raise MachineError("out of order")

    monkeypatch.setattr(lab.state.machines, step, broken)
    other = next(ref for name, ref in hosts.items() if ref != host)
    target = srs[f"local {api('host.get_name_label', other)}"]
    error = _error(api, "VM.migrate_send", vm, _destination(api, other), True, {vdi: target}, {}, {})
    assert (error[0], error[-1]) == ("VM_MIGRATE_FAILED", "out of order")
    assert (_disk(api, vm), api("VM.get_resident_on", vm)) == (vdi, host)
    assert lab.records("VDI").keys() == kept
    assert api("VM.get_current_operations", vm) == api("VDI.get_current_operations", vdi) == {}
    api("VM.hard_shutdown", vm)
