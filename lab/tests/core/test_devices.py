# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Disks, CDs, network interfaces, SRs and networks."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from api_client import GIB, MIB, NULL, Api, Failure
from xapi_lab.calls.vif import generated_mac
from xapi_lab.guests import device_name, device_number
from xapi_lab.machines.vif_locking import Locking
from xapi_lab.testing import Lab


def _error(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


@pytest.mark.parametrize(("name", "number"), [("0", 0), ("xvda", 0), ("hdc", 2), ("sdz", 25), ("xvdaa", 26)])
def test_device_names(name: str, number: int) -> None:
    assert device_number(name) == number


@pytest.mark.parametrize("number", [0, 25, 26, 701, 702])
def test_device_names_round_trip(number: int) -> None:
    assert device_number(device_name(number)) == number


def test_generated_macs_are_local_unicast_and_differ_by_device() -> None:
    macs = [generated_mac(device, "6901528e-618c-4a94-9423-9a893322b99c") for device in range(4)]
    assert len(set(macs)) == 4
    assert all(int(mac[:2], 16) & 0b11 == 0b10 for mac in macs)


@pytest.mark.parametrize(("asked", "given"), [(GIB, GIB), (GIB + 1, GIB + 2 * MIB), (0, 2 * MIB)])
def test_sizes_are_rounded_up(api: Api, asked: int, given: int) -> None:
    assert api("VDI.get_virtual_size", api.vdi(asked)) == given


def test_a_disk_grows_but_never_shrinks(api: Api) -> None:
    vdi = api.vdi(GIB)
    api("VDI.resize", vdi, 2 * GIB)
    assert api("VDI.get_virtual_size", vdi) == 2 * GIB
    assert _error(api, "VDI.resize", vdi, GIB)[0] == "SR_BACKEND_FAILURE_79"


def test_a_full_sr_refuses() -> None:
    srs = [{"name": "Small", "capacity": 10 * MIB, "default": True}]
    with Lab("none", srs=srs) as small:
        api = Api(small)
        assert _error(api, "VDI.create", {
            "name_label": "big", "SR": api.default_sr(), "virtual_size": GIB, "type": "user", "sharable": False,
            "read_only": False, "other_config": {},
        }) == ["SR_FULL", str(GIB), str(10 * MIB)]  # fmt: skip
        assert api("VDI.get_all") == []


def test_disks_in_use(api: Api) -> None:
    vm = api.running_vm("busy disk")
    (vbd,) = api("VM.get_VBDs", vm)
    vdi = api("VBD.get_VDI", vbd)
    assert _error(api, "VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
    assert _error(api, "VDI.resize", vdi, 4 * GIB) == ["VDI_IN_USE", vdi, "resize"]
    assert "still attached to" in _error(api, "VBD.destroy", vbd)[1]
    other = api.vm("second user", disk=False)
    api.vbd(other, vdi)
    assert _error(api, "VM.start", other, False, False) == ["VDI_IN_USE", vdi]


def test_destroying_a_vdi_takes_its_vbds_along(api: Api) -> None:
    vm = api.vm("loses its disk")
    (vbd,) = api("VM.get_VBDs", vm)
    api("VDI.destroy", api("VBD.get_VDI", vbd))
    assert api("VM.get_VBDs", vm) == []


def test_hot_plug(api: Api) -> None:
    vm = api.running_vm("hot")
    vbd = api.vbd(vm, api.vdi(), "1", unpluggable=True)
    assert not api("VBD.get_currently_attached", vbd)
    api("VBD.plug", vbd)
    assert api("VBD.get_device", vbd) == "xvdb"
    assert _error(api, "VBD.plug", vbd) == ["DEVICE_ALREADY_ATTACHED", vbd]
    api("VBD.unplug", vbd)
    assert _error(api, "VBD.unplug", vbd) == ["DEVICE_ALREADY_DETACHED", vbd]
    vif = api.vif(vm, "1")
    api("VIF.plug", vif)
    assert _error(api, "VIF.destroy", vif) == ["OPERATION_NOT_ALLOWED", "VIF currently attached to a running VM"]
    api("VIF.unplug", vif)
    api("VIF.destroy", vif)


def test_cd_drives(api: Api) -> None:
    vm = api.vm("cd", nic=False)
    assert _error(api, "VBD.create", _cd(vm, mode="RW")) == ["VBD_CDS_MUST_BE_READONLY"]
    cd = api("VBD.create", _cd(vm))
    disc = api.vdi(16 * MIB)
    assert _error(api, "VBD.eject", cd) == ["VBD_IS_EMPTY", cd]
    api("VM.start", vm, False, False)
    api("VBD.insert", cd, disc)
    assert (api("VBD.get_VDI", cd), api("VBD.get_empty", cd)) == (disc, False)
    assert _error(api, "VBD.insert", cd, disc) == ["VBD_NOT_EMPTY", cd]
    api("VBD.eject", cd)
    assert api("VBD.get_empty", cd)


def _cd(vm: str, **fields: object) -> dict[str, object]:
    return {"VM": vm, "VDI": NULL, "userdevice": "3", "bootable": False, "mode": "RO", "type": "CD", "empty": True,
            "other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}, **fields}  # fmt: skip


def test_positions(api: Api) -> None:
    vm = api.vm("positions", nic=False)
    assert api("VBD.get_userdevice", api.vbd(vm, api.vdi(), "autodetect")) == "1"
    with pytest.raises(Failure, match="DEVICE_ALREADY_EXISTS hda"):
        api.vbd(vm, api.vdi(), "hda")
    with pytest.raises(Failure, match="INVALID_DEVICE zzz"):
        api.vbd(vm, api.vdi(), "zzz")
    assert "0" not in api("VM.get_allowed_VBD_devices", vm)


def test_the_default_locking_mode_is_not_changed_under_a_running_vm(api: Api) -> None:
    network = api("network.create", {"name_label": "n", "other_config": {}})
    vm = api.vm("on it", disk=False, nic=False)
    vif = api.vif(vm, "0", network)
    api("VM.start", vm, False, False)
    assert _error(api, "network.set_default_locking_mode", network, "disabled") == ["VIF_IN_USE", network, vif]
    api("VM.hard_shutdown", vm)
    api("network.set_default_locking_mode", network, "disabled")
    assert api("network.get_default_locking_mode", network) == "disabled"


def test_a_running_vms_nic_is_locked_at_once(lab: Lab, api: Api) -> None:
    """The lock reaches the machine; what it does there is in tests/machines/test_vif_locking.py."""
    vm = api.vm("locked")
    (vif,) = api("VM.get_VIFs", vm)
    api("VIF.set_ipv4_allowed", vif, ["192.0.2.7"])
    api("VM.start", vm, False, False)
    uuid = api("VM.get_uuid", vm)

    def lock() -> Locking:
        return lab.run(lambda inside: inside.machines.of(uuid).spec(uuid).nics[0].locking)

    own, added = bytes([192, 0, 2, 7]), bytes([192, 0, 2, 8])
    assert lock() == Locking("unlocked", frozenset({own}))
    api("VIF.set_locking_mode", vif, "locked")
    api("VIF.add_ipv4_allowed", vif, "192.0.2.8")
    api("VIF.set_ipv6_allowed", vif, ["2001:db8::7"])
    assert lock() == Locking("locked", frozenset({own, added}), frozenset({ip_address("2001:db8::7").packed}))
    api("VIF.remove_ipv4_allowed", vif, "192.0.2.7")
    api("VIF.remove_ipv6_allowed", vif, "2001:db8::7")
    assert lock() == Locking("locked", frozenset({added}))


def test_a_guest_on_a_disabled_network_gets_no_address_until_its_nic_is_unlocked(lab: Lab, api: Api) -> None:
    network = api.nat_network()
    vm = api.vm("disabled")
    lab.run(lambda inside: inside.database.set("network", network, "default_locking_mode", "disabled"))
    try:
        api("VM.start", vm, False, False)
        api.wait(lambda: api("VM.get_guest_metrics", vm) != NULL)
        assert api.addresses(vm) == {}
        api("VIF.set_locking_mode", api("VM.get_VIFs", vm)[0], "unlocked")
        assert api.wait(lambda: api.addresses(vm))
    finally:
        lab.run(lambda inside: inside.database.set("network", network, "default_locking_mode", "unlocked"))


def test_networks(api: Api) -> None:
    network = api("network.create", {"name_label": "private", "other_config": {}})
    assert api("network.get_bridge", network).startswith("xapi")
    vm = api.vm("on private", disk=False, nic=False)
    vif = api.vif(vm, "0", network)
    assert _error(api, "network.destroy", network) == ["NETWORK_CONTAINS_VIF", vif]
    api("VIF.destroy", vif)
    api("network.destroy", network)
    pif = api("PIF.get_all")[0]
    assert _error(api, "network.destroy", api("PIF.get_network", pif))[0] in {
        "NETWORK_CONTAINS_PIF", "NETWORK_CONTAINS_VIF",
    }  # fmt: skip


def test_vlans(api: Api) -> None:
    network = api("network.create", {"name_label": "vlan 7", "other_config": {}})
    pif = next(ref for ref, record in api("PIF.get_all_records").items() if record["physical"])
    (untagged,) = api("pool.create_VLAN_from_PIF", pif, network, 7)
    assert api("PIF.get_VLAN", untagged) == 7
    other = api("network.create", {"name_label": "vlan 7 again", "other_config": {}})
    assert _error(api, "pool.create_VLAN_from_PIF", pif, other, 7) == ["PIF_VLAN_EXISTS", "eth0"]
    assert _error(api, "pool.create_VLAN_from_PIF", pif, other, 5000) == ["VLAN_TAG_INVALID", "5000"]
