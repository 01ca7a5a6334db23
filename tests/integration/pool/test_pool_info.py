# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.pool_info`` on a pool of two hosts."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

GIB = 1 << 30
CALLS = {"session.login_with_password": 1, "event.from": 1, "VM.get_all_records_where": 1, "session.logout": 1}


@pytest.fixture
def lab() -> Iterator[Lab]:
    hosts = [{"name": "xen1", "memory": 32 * GIB, "cpus": 8}, {"name": "xen2", "memory": 16 * GIB, "cpus": 4}]
    srs = [
        {"name": "Shared", "capacity": 100 * GIB, "shared": True, "default": True},
        {"name": "Local", "capacity": 50 * GIB},
        {"name": "ISOs", "type": "iso", "content_type": "iso", "capacity": 10 * GIB},
    ]
    with Lab(backend="none", event_from_delay=0, hosts=hosts, srs=srs) as lab:
        yield lab


def test_hosts_storage_networks_and_capacity(pool: Pool) -> None:
    empty = pool.ok("pool_info")
    assert not empty["changed"]
    assert pool.calls() == CALLS
    disks = [{"name": "data", "size": "5GiB"}]
    pool.ok("network", name="acme-private", tenant="acme", vlan=210)
    nics = [{"name": "front", "network": "acme-private"}]
    pool.ok(
        "vm",
        name="shop",
        tenant="acme",
        template="Debian Bookworm 12",
        vcpus=2,
        memory="2GiB",
        disks=disks,
        networks=nics,
        state="running",
    )
    pool.ok("vm", name="halted", tenant="acme", template="Debian Bookworm 12", vcpus=4, memory="4GiB", networks=nics)
    told = pool.ok("pool_info")
    assert pool.calls() == CALLS

    assert told["pool"]["coordinator"] == "xen1"
    assert told["pool"]["default_sr"] == "Shared"
    assert [(host["name"], host["coordinator"], host["cpus"]) for host in told["hosts"]] == [
        ("xen1", True, 8),
        ("xen2", False, 4),
    ]
    assert sum(host["vcpus"] for host in told["hosts"]) == 2
    assert sum(host["vms"] for host in told["hosts"]) == 1
    for host in told["hosts"]:
        ref = pool.ref("host", host["name"])
        assert host["memory"]["free"] == int(pool.call("host.compute_free_memory", ref)), "as XAPI computes it"
    assert told["hosts"][0]["versions"]["xapi"] == "26.1.4"

    storage = {each["name"]: each for each in told["storage"]}
    assert storage["Shared"]["hosts"] == ["xen1", "xen2"]
    assert storage["Shared"]["default"]
    assert storage["Shared"]["space"]["total"] == 100 * GIB
    assert storage["Shared"]["space"]["allocated"] == 5 * GIB
    assert storage["Local"]["hosts"] == ["xen1"]

    network = next(each for each in told["networks"] if each["name"] == "acme-private")
    assert (network["tenant"], network["vlan"], network["interfaces"]) == ("acme", 210, 2)

    capacity = told["capacity"]
    assert (capacity["hosts"], capacity["cpus"], capacity["vcpus"], capacity["vms"]) == (2, 12, 2, 1)
    assert capacity["disk"]["total"] == 150 * GIB, "ISO libraries hold no disks"
    assert capacity["memory"]["total"] == 48 * GIB
    lost = empty["capacity"]["memory"]["free"] - capacity["memory"]["free"]
    assert 2 * GIB <= lost <= 2.1 * GIB


def test_a_disabled_host_has_no_capacity(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.call("host.disable", pool.ref("host", "xen2"))
    told = pool.ok("pool_info")
    assert [host["enabled"] for host in told["hosts"]] == [True, False]
    assert told["capacity"]["memory"]["total"] == 32 * GIB


def test_features_certificates_and_findings(controller_pool: Pool) -> None:
    pool = controller_pool
    assert pool.ok("pool_info")["restrictions"] == []
    ref = pool.ref("host", "xen1")

    def neglect(lab: t.Any) -> None:
        (shared,) = lab.database.refs("pool")
        lab.database.put_in_map("pool", shared, "restrictions", "restrict_vm_groups", "true")
        version = {**lab.database.get("host", ref, "software_version"), "xapi_build": "25.33.1"}
        lab.database.update("host", ref, software_version=version)
        made = {"name": "", "type": "host", "host": ref, "not_after": "20200101T00:00:00Z", "fingerprint": "AA:BB"}
        lab.database.create("Certificate", made)

    pool.lab.run(neglect)
    told = pool.ok("pool_info")
    assert told["restrictions"] == ["vm_groups"]
    assert told["features"]["vm_groups"] is False
    assert told["features"]["checkpoint"] is True
    (certificate,) = told["certificates"]
    assert (certificate["host"], certificate["not_after"], certificate["fingerprint"]) == (
        "xen1",
        "2020-01-01T00:00:00Z",
        "AA:BB",
    )
    assert {(each["id"], each["where"]) for each in told["findings"]} >= {
        ("XSA-489", "xen1"),
        ("certificate-expired", "xen1"),
    }
    assert ("XSA-489", "xen2") not in {(each["id"], each["where"]) for each in told["findings"]}
