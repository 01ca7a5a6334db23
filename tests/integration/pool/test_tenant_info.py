# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.tenant_info``: container -> VM -> host -> tenant, and what is wrong, from the pool alone."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from conftest import Pool

CALLS = {"session.login_with_password": 1, "VM.get_all_records_where": 1, "event.from": 1, "session.logout": 1}
NETWORK = "Pool-wide network associated with eth0"


def make(pool: Pool, name: str, tenant: str, **more: t.Any) -> dict[str, t.Any]:
    given = {"template": "Debian Bookworm 12", "networks": [{"name": "front", "network": NETWORK}], **more}
    made: dict[str, t.Any] = pool.ok("vm", name=name, tenant=tenant, **given)["vm"]
    return made


def publish(pool: Pool, name: str, tenant: str, **host_config: t.Any) -> None:
    entry = {
        "Id": "a" * 64,
        "Names": ["/web"],
        "Image": "box:1",
        "State": "running",
        "Status": "Up",
        "Labels": {"hardshell.tenant": tenant},
        "HostConfig": host_config,
    }
    pool.ok("container_publish", name=name, tenant=tenant, engine={"containers": [entry]})


def test_who_has_what_in_four_calls(pool: Pool) -> None:
    assert pool.ok("tenant_info")["tenants"] == []
    disks = [{"name": "data", "size": "5GiB"}]
    shop = make(pool, "shop", "acme", vcpus=2, memory="1GiB", disks=disks, state="running")
    make(pool, "wiki", "globex")
    publish(pool, "shop", "acme", Privileged=True)
    told = pool.ok("tenant_info", tenants=[{"name": "acme", "vcpus": 1}, {"name": "initech"}])
    assert pool.calls() == CALLS
    acme, initech = told["tenants"]
    assert acme["in_use"] == {"vcpus": 2, "memory": 1 << 30, "disk": 5 << 30, "vms": 1}
    assert (acme["quota"]["vcpus"], acme["quota"]["memory"], initech["vms"]) == (1, None, [])
    (vm,) = acme["vms"]
    assert (vm["uuid"], vm["host"], vm["disk"]) == (shop["uuid"], "xapi-lab", 5 << 30)
    (web,) = told["containers"]
    assert (web["name"], web["vm"], web["host"], web["tenant"]) == ("web", "shop", "xapi-lab", "acme")
    found = [(each["id"], each["where"]) for each in told["findings"] if each["tenant"]]
    assert found == [
        ("privileged-container", "container web in VM shop"),
        ("over-quota", "acme"),
        ("unlocked-interface", "VM shop, interface front"),
    ]
    assert [each["name"] for each in pool.ok("tenant_info")["tenants"]] == ["acme", "globex"]


def test_what_is_nobodys_is_told_of(controller_pool: Pool) -> None:
    pool = controller_pool
    make(
        pool,
        "shop",
        "acme",
        networks=[],
        disks=[{"name": "data", "size": "1GiB"}, {"name": "kept", "size": "1GiB", "keep": True}],
    )
    pool.call("VM.clone", pool.ref("VM", "shop"), "a copy")
    for vbd, record in pool.lab.records("VBD").items():
        if record["VM"] == pool.ref("VM", "shop"):
            pool.call("VBD.destroy", vbd)
    told = pool.ok("tenant_info", xapi_validate_certs=False)
    kinds = sorted(each["id"] for each in told["findings"] if each["tenant"] == "acme")
    assert kinds == ["copied-vm", "loose-disk"]
    assert told["tenants"][0]["in_use"]["vms"] == 1
    assert told["tenants"][0]["in_use"]["disk"] == 2 << 30
    assert "unverified-pool" in {each["id"] for each in told["findings"] if each["severity"] == "high"}
