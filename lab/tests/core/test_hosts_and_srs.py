# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""SRs that leave a pool and come back, interfaces that are configured anew, and what else clients ask of hosts."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
from api_client import GIB, MIB, NULL, Api, Failure
from xapi_lab.testing import Lab


def _error(api: Api, method: str, *params: object) -> list[str]:
    with pytest.raises(Failure) as failure:
        api(method, *params)
    return failure.value.details


@pytest.mark.parametrize("backend", ["none", "qemu"])
def test_an_sr_is_forgotten_found_and_introduced_again(backend: str) -> None:
    with Lab(backend=backend) as lab:
        api = Api(lab)
        host = api("host.get_all")[0]
        sr = api("SR.create", host, {}, GIB, "travelling", "", "nfs", "user", True, {})
        uuid, vdi = api("SR.get_uuid", sr), api.vdi(4 * MIB, SR=sr)
        vdi_uuid = api("VDI.get_uuid", vdi)
        if backend == "qemu":
            api("VDI.clone", vdi, {})
        vdis = {api("VDI.get_uuid", ref) for ref in api("SR.get_VDIs", sr)}
        assert _error(api, "SR.forget", sr) == ["SR_HAS_PBD", sr]
        api("PBD.unplug", api("SR.get_PBDs", sr)[0])
        api("SR.forget", sr)
        assert _error(api, "VDI.get_by_uuid", vdi_uuid)[0] == "UUID_INVALID"
        if backend == "qemu":
            found = ElementTree.fromstring(api("SR.probe", host, {}, "nfs", {}))
            assert [element.text for element in found.iter("UUID")] == [uuid]

        again = api("SR.introduce", uuid, "back", "", "nfs", "user", True, {})
        assert _error(api, "SR.introduce", uuid, "twice", "", "nfs", "user", True, {}) == ["SR_UUID_EXISTS", uuid]
        assert api("SR.get_physical_size", again) == -1
        pbd = {"host": host, "SR": again, "device_config": {"server": "nas"}, "other_config": {}}
        ref = api("PBD.create", pbd)
        assert _error(api, "PBD.create", pbd) == ["PBD_EXISTS", again, host, ref]
        assert _error(api, "VDI.create", {**_vdi_record(again)}) == ["SR_HAS_NO_PBDS", again]
        api("PBD.plug", ref)
        assert api("SR.get_physical_size", again) > GIB
        api("SR.scan", again)
        assert {api("VDI.get_uuid", found) for found in api("SR.get_VDIs", again)} == vdis
        assert api("VDI.get_virtual_size", api("VDI.get_by_uuid", vdi_uuid)) == 4 * MIB
        assert _error(api, "SR.probe", host, {}, "tape", {}) == ["SR_UNKNOWN_DRIVER", "tape"]


def _vdi_record(sr: str) -> dict[str, object]:
    return {"name_label": "", "SR": sr, "virtual_size": MIB, "type": "user", "sharable": False, "read_only": False,
            "other_config": {}}  # fmt: skip


@pytest.fixture
def pif(api: Api) -> Iterator[str]:
    """A VLAN's interface, which nobody manages the host through."""
    network = api("network.create", {"name_label": "storage", "other_config": {}})
    host = api("host.get_all")[0]
    ref: str = api("PIF.create_VLAN", "eth0", network, host, 77)
    yield ref
    api("PIF.destroy", ref)
    api("network.destroy", network)


def test_an_interface_is_configured_anew(api: Api, pif: str) -> None:
    api("PIF.reconfigure_ip", pif, "Static", "10.7.0.2", "255.255.255.0", "10.7.0.1", "10.7.0.9,fd00::9")
    api("PIF.reconfigure_ipv6", pif, "Static", "fd00::2/64", "", "fd00::1,10.0.0.1")
    record = api("PIF.get_record", pif)
    assert (record["ip_configuration_mode"], record["IP"], record["gateway"]) == ("Static", "10.7.0.2", "10.7.0.1")
    assert (record["IPv6"], record["DNS"]) == (["fd00::2/64"], "fd00::1,10.7.0.9")
    api("PIF.scan", record["host"])

    def refusal(*values: str, of: str = pif) -> list[str]:
        return _error(api, "PIF.reconfigure_ip", of, *values)

    assert refusal("Static", "10.7.0", "255.0.0.0", "", "") == ["INVALID_IP_ADDRESS_SPECIFIED", "IP"]
    assert refusal("Static", "10.7.0.2", "", "", "") == ["INVALID_IP_ADDRESS_SPECIFIED", "netmask"]
    assert refusal("DHCP", "", "", "fd00::1", "") == ["INVALID_IP_ADDRESS_SPECIFIED", "gateway"]
    assert _error(api, "PIF.reconfigure_ipv6", pif, "Static", "fd00::2", "", "")[0] == "INVALID_CIDR_ADDRESS_SPECIFIED"
    management = api("host.get_management_interface", record["host"])
    assert refusal("None", "", "", "", "", of=management) == ["PIF_IS_MANAGEMENT_INTERFACE", management]
    assert refusal("Static", "10.7.0.2", "255.0.0.0", "", "", of=management)[0] == "NOT_IMPLEMENTED"
    address, netmask = api("PIF.get_IP", management), api("PIF.get_netmask", management)
    api("PIF.reconfigure_ip", management, "Static", address, netmask, "", "10.0.0.1")
    assert api("PIF.get_DNS", management) == "10.0.0.1"


def _served(lab: Lab) -> str:
    return ssl.get_server_certificate((lab.host, lab.port))


def test_what_clients_ask_of_hosts(lab: Lab, api: Api) -> None:
    host = api("host.get_all")[0]
    certificate = api("host.get_server_certificate", host)
    assert certificate == _served(lab)
    assert api("host.has_extension", host, "some") is api("pool.has_extension", api("pool.get_all")[0], "some") is False
    api("host.set_hostname_live", host, "renamed.example")
    assert api("VM.get_name_label", api("host.get_control_domain", host)) == "Control domain on host: renamed.example"
    assert _error(api, "host.set_hostname_live", host, "-no") == [
        "HOST_NAME_INVALID", "hostname contains invalid characters",
    ]  # fmt: skip
    api("host.syslog_reconfigure", host)
    assert _error(api, "host.set_address", host, "nowhere")[0] == "NOT_IMPLEMENTED"
    api("host.set_address", host, lab.host)
    vm = api.running_vm("asked")
    assert api("VM.get_cooperative", vm)
    assert _error(api, "VM.call_host_plugin", vm, "some", "main", {}) == ["XENAPI_MISSING_PLUGIN", "some"]
    assert _error(api, "VM.send_trigger", vm, "nmi") == ["NOT_IMPLEMENTED", "send_trigger"]
    domid = api("VM.get_domid", vm)
    api("VM.restart_device_models", vm)
    assert api("VM.get_domid", vm) != domid
    assert api("VDI.get_nbd_info", api("VBD.get_VDI", api("VM.get_VBDs", vm)[0])) == []
    api("VM.hard_shutdown", vm)
    assert _error(api, "VM.restart_device_models", vm) == ["VM_BAD_POWER_STATE", vm, "Running", "Halted"]
    assert NULL not in lab.records("host")


@pytest.mark.parametrize("uuid", ["../elsewhere", "/", "é" * 300, "x"])
def test_an_introduced_sr_has_a_uuid(api: Api, uuid: str) -> None:
    with pytest.raises(Failure) as refused:
        api("SR.introduce", uuid, "shop", "", "nfs", "user", True, {})
    assert refused.value.details == ["UUID_INVALID", "SR", uuid]
