# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What users write: refused with the option, the value and what would be right, or normalised."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_options
from ansible_collections.hardshell.xen.plugins.module_utils._pool.disk_spec import disk_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.nic_spec import nic_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session import is_read, to_wire
from ansible_collections.hardshell.xen.plugins.module_utils._pool.sizes import parse_size, shown
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_settings import settings_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import vm_spec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.xapi_errors import XapiError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1GiB", 1 << 30),
        ("1 gib", 1 << 30),
        ("1.5GiB", 3 << 29),
        ("2GB", 2 * 10**9),
        ("512MiB", 512 << 20),
        ("3KB", 3000),
        ("1TiB", 1 << 40),
        (1073741824, 1 << 30),
        ("1073741824", 1 << 30),
    ],
)
def test_sizes(written: t.Any, size: int) -> None:
    assert parse_size("memory", written) == size


@pytest.mark.parametrize("written", ["2 Gigs", "two", "", "-1GiB", "0", "1GiB2", "GiB", "1e9", None])
def test_sizes_that_are_none(written: t.Any) -> None:
    with pytest.raises(OptionError, match="memory") as refused:
        parse_size("memory", written)
    assert repr(written) in refused.value.message
    assert "GiB" in refused.value.message


@given(st.integers(1, 10**15))
def test_whole_sizes_survive_being_shown(size: int) -> None:
    text = shown(size)
    assert "." in text or parse_size("x", text) == size


CONNECTION = {
    "xapi_host": ["xen1"],
    "xapi_username": "root",
    "xapi_password": "secret",
    "xapi_ca_path": None,
    "xapi_fingerprint": None,
    "xapi_validate_certs": True,
    "xapi_session": None,
    "xapi_timeout": 60,
}


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("xen1", "https://xen1"),
        ("xen1:8443", "https://xen1:8443"),
        ("https://xen1", "https://xen1"),
        ("https://xen1:443/", "https://xen1"),
        ("192.0.2.1", "https://192.0.2.1"),
        ("2001:db8::1", "https://[2001:db8::1]"),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_addresses(written: str, url: str) -> None:
    assert connection_options({**CONNECTION, "xapi_host": [written]}).addresses[0].url == url


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("xapi_host", ["http://xen1"]),
        ("xapi_host", ["xen1:port"]),
        ("xapi_host", ["https://root:secret@xen1"]),
        ("xapi_host", [""]),
        ("xapi_password", None),
        ("xapi_fingerprint", ["abc"]),
        ("xapi_timeout", 0),
    ],
)
def test_connections_that_cannot_be_used(option: str, value: t.Any) -> None:
    with pytest.raises(OptionError, match=option):
        connection_options({**CONNECTION, option: value})


def test_fingerprints_are_compared_as_digits() -> None:
    options = connection_options({**CONNECTION, "xapi_fingerprint": [":".join(["AB"] * 32)]})
    assert options.fingerprints == {"ab" * 32}


VM: dict[str, t.Any] = {
    **dict.fromkeys(
        [
            "host",
            "uuid",
            "description",
            "template",
            "source",
            *settings_arguments(),
            "sr",
            "disks",
            "networks",
            "config_drive",
            "tags",
            "wait_for",
            "iso",
        ]
    ),
    "clone": "fast",
    "name": "shop",
    "tenant": "acme",
    "planned_networks": [],
    "remove_unmanaged_disks": False,
    "ssh_host_key": False,
    "adopt": False,
    "allow_replace": False,
    "allow_power_cycle": False,
    "state": "running",
    "shutdown_timeout": 10,
    "force": False,
}
DISK = {**dict.fromkeys(disk_arguments()), "name": "data", "size": "1GiB", "state": "present"}
NIC = {**dict.fromkeys(nic_arguments()), "network": "lan"}
LOCKED = {**NIC, "locking_mode": "locked", "ipv4_allowed": ["192.0.2.1"]}
DRIVE = {
    "user_data": "x",
    "vendor_data": None,
    "meta_data": None,
    "network_config": None,
    "sr": None,
    "state": "present",
}


WAIT = {"address": "true", "nic": None, "guest_agent": False, "ssh": False, "ssh_port": 22, "timeout": 5}
OF_NETWORKS = dict.fromkeys(("mtu", "rate_limit", "locking_mode", "ipv4_allowed", "ipv6_allowed"), "networks")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", 'a"b'),
        ("name", " "),
        ("tenant", "Acme Corp"),
        ("vcpus", 0),
        ("memory", "2 Gigs"),
        ("memory", "4"),
        ("memory_static_max", "8"),
        ("vcpus_max", 65),
        ("cores_per_socket", 0),
        ("cpu_weight", 65536),
        ("cpu_cap", -1),
        ("boot_order", []),
        ("boot_order", ["cd", "cd"]),
        ("start_order", -1),
        ("start_delay", -1),
        ("shutdown_delay", -1),
        ("group", "acme/web"),
        ("folder", "acme"),
        ("folder", "/acme/"),
        ("blocked_operations", {"destory": "no"}),
        ("other_config", {"hardshell:tenant": "globex"}),
        ("other_config", {"folder": "/acme"}),
        ("other_config", {"mac_seed": "1"}),
        ("other_config", {"a": [1]}),
        ("platform", {"cores-per-socket": "2"}),
        ("xenstore_data", {"role": "shop"}),
        ("disks", [DISK, DISK]),
        ("disks", [{**DISK, "size": "big"}]),
        ("disks", [{**DISK, "name": "config-drive"}]),
        ("disks", [{**DISK, "name": "root", "state": "absent"}]),
        ("disks", [{**DISK, "vdi": "old"}]),
        ("disks", [{**DISK, "vdi": 'o"ld', "size": None}]),
        ("disks", [{**DISK, "qos": {"sched": "idle", "class": "8"}}]),
        ("remove_unmanaged_disks", True),
        ("iso", 'a"b'),
        ("networks", [NIC, NIC]),
        ("networks", [{**NIC, "mac": "01:00:00:00:00:01"}]),
        ("networks", [{**NIC, "mac": "nonsense"}]),
        ("mtu", [{**NIC, "mtu": 100}]),
        ("rate_limit", [{**NIC, "rate_limit": -1}]),
        ("rate_limit", [{**NIC, "rate_limit": 83886080}]),
        ("locking_mode", [{**NIC, "locking_mode": "locked"}]),
        ("ipv4_allowed", [{**LOCKED, "locking_mode": None}]),
        ("ipv4_allowed", [{**LOCKED, "ipv4_allowed": ["192.0.2.0/24"]}]),
        ("ipv6_allowed", [{**LOCKED, "ipv6_allowed": ["192.0.2.1"]}]),
        ("config_drive", {**DRIVE, "user_data": None}),
        ("ssh_host_key", True),
        ("tags", ["tenant:globex"]),
        ("shutdown_timeout", 0),
        ("wait_for", {**WAIT, "address": "10.0.0.0/99"}),
        ("wait_for", {**WAIT, "timeout": 0}),
        ("wait_for", {**WAIT, "address": None}),
        ("wait_for", {**WAIT, "address": "false", "ssh": True}),
        ("wait_for", {**WAIT, "ssh": True, "ssh_port": 0}),
    ],
)
def test_vm_options_that_cannot_be_used_are_named(option: str, value: t.Any) -> None:
    with pytest.raises(OptionError, match=option):
        vm_spec({**VM, OF_NETWORKS.get(option, option): value})


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("vcpus_max", {"vcpus": 4, "vcpus_max": 2}),
        ("secure_boot", {"secure_boot": True, "firmware": "bios"}),
        ("source", {"source": "web", "template": "debian"}),
        ("blocked_operations", {"blocked_operations": {"destroy": None}, "delete_protection": True}),
    ],
)
def test_vm_options_that_do_not_go_together(option: str, values: dict[str, t.Any]) -> None:
    with pytest.raises(OptionError, match=option):
        vm_spec({**VM, **values})


def test_values_of_free_keys_become_texts() -> None:
    keys = vm_spec({**VM, "platform": {"viridian": True, "videoram": 8, "vga": None}}).settings.keys
    assert keys.platform == {"viridian": "true", "videoram": "8", "vga": None}


def test_a_vm_is_normalised() -> None:
    spec = vm_spec(
        {**VM, "disks": [{**DISK, "size": "1MB"}], "networks": [{**NIC, "mac": "02-AB-00-00-00-01"}], "template": ""}
    )
    assert spec.owner.host == "shop"
    assert spec.disks[0].size == 2 << 20
    assert spec.networks is not None
    assert (spec.networks[0].name, spec.networks[0].mac) == ("lan", "02:ab:00:00:00:01")
    assert spec.template is None


def test_what_travels_is_what_xapi_reads() -> None:
    assert to_wire({"a": 1 << 40, "b": [True, 2.0], "c": {"d": 1}}) == {
        "a": str(1 << 40),
        "b": [True, 2.0],
        "c": {"d": "1"},
    }


@pytest.mark.parametrize("method", ["VM.get_record", "VM.get_all_records_where", "event.from", "task.get_status"])
def test_reads_may_be_sent_twice(method: str) -> None:
    assert is_read(method)


@pytest.mark.parametrize("method", ["VM.start", "Async.VM.clone", "VM.set_name_label", "task.create", "VBD.create"])
def test_writes_may_not(method: str) -> None:
    assert not is_read(method)


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_every_error_is_one_message_with_its_code(description: list[str]) -> None:
    error = XapiError("start 'shop'", description)
    assert error.message.startswith("start 'shop': ")
    assert error.message.endswith(f"[{description[0]}]")


def test_a_known_error_says_what_to_do() -> None:
    error = XapiError("create a disk", ["SR_FULL", "10", "5"])
    assert "10 bytes wanted, 5 there" in error.message
    assert error.details == {"xapi_error": "SR_FULL"}
