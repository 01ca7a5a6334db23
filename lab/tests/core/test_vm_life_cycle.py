# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""VMs from template to destruction."""

from __future__ import annotations

import pytest
from api_client import GIB, MIB, NULL, Api, Failure
from xapi_lab.memory import overhead
from xapi_lab.testing import Lab


def _error(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


def test_a_clone_of_a_template_is_a_template_until_it_is_provisioned(api: Api) -> None:
    vm = api("VM.clone", api("VM.get_by_name_label", "Debian Bookworm 12")[0], "t")
    assert api("VM.get_is_a_template", vm)
    assert _error(api, "VM.start", vm, False, False) == ["VM_IS_TEMPLATE", vm, "start"]
    assert _error(api, "VM.provision", vm) == ["UUID_INVALID", "sr", ""]
    assert not api("VM.get_is_a_template", vm)


def test_provision_makes_the_disks_of_the_template(api: Api) -> None:
    vm = api("VM.clone", api("VM.get_by_name_label", "Debian Bookworm 12")[0], "t")
    sr_uuid = api("SR.get_uuid", api.default_sr())
    api("VM.remove_from_other_config", vm, "disks")
    disks = f'<provision><disk device="0" size="{GIB}" sr="{sr_uuid}" bootable="true" type="system"/></provision>'
    api("VM.add_to_other_config", vm, "disks", disks)
    api("VM.provision", vm)
    (vbd,) = api("VM.get_VBDs", vm)
    assert api("VDI.get_virtual_size", api("VBD.get_VDI", vbd)) == GIB
    assert "disks" not in api("VM.get_other_config", vm)


def test_shipped_templates_stay(api: Api) -> None:
    template = api("VM.get_by_name_label", "Debian Bookworm 12")[0]
    assert _error(api, "VM.destroy", template) == ["VM_IS_TEMPLATE", template, "destroy"]


def test_start_to_halt(lab: Lab, api: Api) -> None:
    vm = api.running_vm("life")
    record = api("VM.get_record", vm)
    assert record["power_state"] == "Running"
    assert record["resident_on"] in api("host.get_all")
    assert record["domid"] > 0
    (vbd,), (vif,) = record["VBDs"], record["VIFs"]
    assert (api("VBD.get_device", vbd), api("VBD.get_currently_attached", vbd)) == ("xvda", True)
    assert api("VIF.get_currently_attached", vif)
    assert set(record["allowed_operations"]) >= {"clean_shutdown", "hard_shutdown", "pause", "suspend", "snapshot"}
    networks = api.addresses(vm)
    assert networks["0/ip"] == networks["0/ipv4/0"]
    assert networks["0/ip"].startswith("127.")
    api("VM.clean_shutdown", vm)
    record = api("VM.get_record", vm)
    assert (record["power_state"], record["resident_on"], record["domid"]) == ("Halted", NULL, -1)
    assert "start" in record["allowed_operations"]
    assert not api("VBD.get_currently_attached", vbd)


def test_a_start_forgets_the_addresses_of_the_last_run(api: Api) -> None:
    vm = api.running_vm("stale")
    old = api("VM.get_guest_metrics", vm)
    api("VM.hard_shutdown", vm)
    assert api("VM.get_guest_metrics", vm) == old
    api("VM.start", vm, False, False)
    assert api("VM.get_guest_metrics", vm) != old
    assert _error(api, "VM_guest_metrics.get_record", old)[0] == "HANDLE_INVALID"


@pytest.mark.parametrize(
    ("call", "expected"),
    [("VM.pause", "running"), ("VM.clean_shutdown", "running"), ("VM.resume", "suspended"), ("VM.unpause", "paused"),
     ("VM.hard_shutdown", "paused, suspended, running"), ("VM.hard_reboot", "paused, running")],
)  # fmt: skip
def test_wrong_power_states(api: Api, call: str, expected: str) -> None:
    vm = api.vm("halted", disk=False, nic=False)
    params = (False, False) if call == "VM.resume" else ()
    assert _error(api, call, vm, *params) == ["VM_BAD_POWER_STATE", vm, expected, "halted"]


def test_pause_suspend_and_reboot(api: Api) -> None:
    vm = api.running_vm("states")
    api("VM.pause", vm)
    assert api("VM.get_power_state", vm) == "Paused"
    api("VM.unpause", vm)
    api("VM.suspend", vm)
    suspended = api("VM.get_record", vm)
    assert suspended["power_state"] == "Suspended"
    assert api("VDI.get_type", suspended["suspend_VDI"]) == "suspend"
    api("VM.resume", vm, False, False)
    assert api("VM.get_power_state", vm) == "Running"
    assert api("VM.get_suspend_VDI", vm) == NULL
    before = api("VM.get_domid", vm)
    api("VM.clean_reboot", vm)
    assert api("VM.get_domid", vm) != before
    api("VM.hard_reboot", vm)
    assert api("VM.get_power_state", vm) == "Running"


def test_destroy_leaves_the_disks(api: Api) -> None:
    vm = api.vm("gone")
    (vbd,), (vif,) = api("VM.get_VBDs", vm), api("VM.get_VIFs", vm)
    vdi = api("VBD.get_VDI", vbd)
    api("VM.destroy", vm)
    assert _error(api, "VBD.get_uuid", vbd)[0] == "HANDLE_INVALID"
    assert _error(api, "VIF.get_uuid", vif)[0] == "HANDLE_INVALID"
    assert api("VDI.get_VBDs", vdi) == []
    api("VDI.destroy", vdi)


def test_a_clone_has_disks_and_macs_of_its_own(api: Api) -> None:
    source = api.vm("source")
    clone = api("VM.clone", source, "clone")
    vdis = {api("VBD.get_VDI", api("VM.get_VBDs", vm)[0]) for vm in (source, clone)}
    macs = {api("VIF.get_MAC", api("VM.get_VIFs", vm)[0]) for vm in (source, clone)}
    assert (len(vdis), len(macs)) == (2, 2)
    assert api("VM.get_is_a_template", clone) is False


def test_snapshot_and_revert(api: Api) -> None:
    vm = api.vm("snap")
    vdi = api("VBD.get_VDI", api("VM.get_VBDs", vm)[0])
    snapshot = api("VM.snapshot", vm, "s1", [])
    record = api("VM.get_record", snapshot)
    assert (record["is_a_snapshot"], record["is_a_template"], record["snapshot_of"]) == (True, True, vm)
    assert api("VM.get_snapshots", vm) == [snapshot]
    api("VM.set_VCPUs_max", vm, 4)
    api("VM.revert", snapshot)
    assert api("VM.get_VCPUs_max", vm) == 1
    assert api("VBD.get_VDI", api("VM.get_VBDs", vm)[0]) != vdi
    assert _error(api, "VDI.get_uuid", vdi)[0] == "HANDLE_INVALID"


def test_memory_rules(api: Api) -> None:
    vm = api.vm("memory", disk=False, nic=False)
    api("VM.set_memory_limits", vm, 512 * MIB, 2 * GIB, GIB, GIB)
    assert _error(api, "VM.set_memory", vm, 256 * MIB) == ["MEMORY_CONSTRAINT_VIOLATION_ORDER"]
    api("VM.set_memory", vm, GIB)
    assert api("VM.get_memory_static_max", vm) == GIB
    api("VM.start", vm, False, False)
    assert _error(api, "VM.set_memory", vm, 2 * GIB) == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


def test_vcpu_rules(api: Api) -> None:
    vm = api.vm("vcpus", disk=False, nic=False)
    rule = "VCPU values must satisfy: 0 < VCPUs_at_startup ≤ VCPUs_max"
    assert _error(api, "VM.set_VCPUs_at_startup", vm, 2) == ["INVALID_VALUE", rule, "2"]
    api("VM.set_VCPUs_max", vm, 4)
    api("VM.set_VCPUs_at_startup", vm, 2)
    api("VM.add_to_platform", vm, "cores-per-socket", "3")
    assert _error(api, "VM.start", vm, False, False) == ["VCPU_MAX_NOT_CORES_PER_SOCKET_MULTIPLE", "4", "3"]


def test_too_large_a_vm_finds_no_host(api: Api) -> None:
    vm = api.vm("large", disk=False, nic=False)
    api("VM.set_memory_limits", vm, GIB, 2**40, 2**40, 2**40)
    assert _error(api, "VM.start", vm, False, False) == ["NO_HOSTS_AVAILABLE"]
    refusal = _error(api, "VM.assert_can_boot_here", vm, api("host.get_all")[0])
    assert refusal[0] == "HOST_NOT_ENOUGH_FREE_MEMORY"
    assert int(refusal[1]) == 2**40 + 8196 * MIB


def test_blocked_operations(api: Api) -> None:
    vm = api.vm("blocked", disk=False, nic=False)
    api("VM.add_to_blocked_operations", vm, "start", "not now")
    assert _error(api, "VM.start", vm, False, False) == ["OPERATION_BLOCKED", vm, "not now"]
    assert "start" not in api("VM.get_allowed_operations", vm)
    assert api("VM.get_blocked_operations", api("VM.clone", vm, "copy")) == {}


def test_a_guest_without_an_agent_reports_nothing(api: Api) -> None:
    vm = api.vm("silent")
    api("VM.set_xenstore_data", vm, {"FIST/guest": "silent"})
    api("VM.start", vm, False, False)
    metrics = api.wait(lambda: (ref := api("VM.get_guest_metrics", vm)) != NULL and ref)
    assert api("VM_guest_metrics.get_networks", metrics) == {}
    assert _error(api, "VM.clean_shutdown", vm) == ["VM_LACKS_FEATURE", vm]
    assert _error(api, "VBD.plug", api.vbd(vm, api.vdi(), "1")) == ["VM_MISSING_PV_DRIVERS", vm]


def test_a_guest_that_switches_itself_off(lab: Lab, api: Api) -> None:
    vm = api.running_vm("off")
    uuid = api("VM.get_uuid", vm)
    lab.run(lambda inside: inside.on_powered_off(uuid))
    api.wait(lambda: api("VM.get_power_state", vm) == "Halted")


def test_tags_and_maps(api: Api) -> None:
    vm = api.vm("maps", disk=False, nic=False)
    api("VM.add_tags", vm, "a")
    api("VM.add_tags", vm, "a")
    assert api("VM.get_tags", vm) == ["a"]
    api("VM.remove_tags", vm, "none")
    api("VM.add_to_other_config", vm, "k", "v")
    assert _error(api, "VM.add_to_other_config", vm, "k", "v") == ["MAP_DUPLICATE_KEY", "VM", "other_config", vm, "k"]
    api("VM.remove_from_other_config", vm, "absent")
    assert _error(api, "VM.add_to_other_config", vm, "", "v") == ["INTERNAL_ERROR", "Db_exn.Empty_key_in_map"]


def test_where_expressions(api: Api) -> None:
    vm = api.vm("wanted", disk=False)
    where = 'field "name__label" = "wanted" and not (field "is_a_template" = "true")'
    assert list(api("VM.get_all_records_where", where)) == [vm]
    assert api("VIF.get_all_where", f'field "VM" = "{vm}"') == api("VM.get_VIFs", vm)
    assert _error(api, "VM.get_all_where", 'field "nope" = "x"') == ["INTERNAL_ERROR", "missing field", "nope", ""]
    assert _error(api, "VM.get_all_where", "garbage (")[0] == "INVALID_VALUE"


@pytest.mark.parametrize("total", [0, 3 * MIB, GIB, 2**63 - 1])
def test_the_most_memory_for_a_vm_leaves_room_for_its_overhead(api: Api, total: int) -> None:
    vm = api.vm("large", disk=False, nic=False)
    most = int(api("VM.maximise_memory", vm, total, False))
    assert most == 0 or most + overhead(most, 1) <= total < most + MIB + overhead(most + MIB, 1)
    assert most > 0 or total < 8 * MIB
