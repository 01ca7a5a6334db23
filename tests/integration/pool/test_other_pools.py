# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pools unlike the one that the other tests run against: older ones, with less in their records, and restricted ones."""

from __future__ import annotations

import asyncio
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool.fleet_observe import fleet_of
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import UNKNOWN, pool_from_records
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_findings import pool_findings
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_survey import survey
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_use import pool_use
from ansible_collections.hardshell.xen.plugins.module_utils._pool.times import parse_time
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

Records = dict[str, dict[str, t.Any]]

# What XAPI's data model (datamodel_lifecycle.ml) has got since XCP-ng 8.2, or has marked as removed or deprecated, of the classes that are read here.
LATER = {
    "VM": {"VTPMs", "pending_guidances", "pending_guidances_recommended", "pending_guidances_full", "groups", "protection_policy"},
    "pool": {
        "tls_verification_enabled", "repositories", "client_certificate_auth_enabled", "coordinator_bias", "recommendations", "license_server",
        "wlb_verify_cert", "vswitch_controller", "uefi_certificates", "custom_uefi_certificates", "migration_compression",
    },
    "host": {
        "pending_guidances", "tls_verification_enabled", "https_only", "last_software_update", "numa_affinity_policy", "ssh_enabled", "ssl_legacy",
        "secure_boot", "latest_synced_updates_applied", "patches", "uefi_certificates",
    },
    "Certificate": {"name", "type", "fingerprint", "fingerprint_sha1", "fingerprint_sha256", "purpose"},
    "VM_guest_metrics": {"netbios_name", "services", "memory", "disks", "PV_drivers_up_to_date"},
    "VDI": {"parent"},
    "SM": {"capabilities", "host_pending_features"},
    "VBD": {"metrics"},
    "VIF": {"metrics"},
}  # fmt: skip
CLASSES = (
    "pool",
    "host",
    "host_metrics",
    "SR",
    "PBD",
    "network",
    "PIF",
    "Certificate",
    "VBD",
    "VIF",
    "VDI",
    "VM_metrics",
    "VM_guest_metrics",
)


def older(lab: Lab, class_name: str) -> Records:
    gone = LATER.get(class_name, set())
    return {
        ref: {key: value for key, value in record.items() if key not in gone}
        for ref, record in lab.records(class_name).items()
    }


def test_an_older_pool_is_read_too(controller_pool: Pool, shop: dict[str, t.Any]) -> None:
    pool = controller_pool
    pool.ok("vm", **shop, wait_for={"address": "true", "timeout": 30})
    seen = {name.lower(): older(pool.lab, name) for name in CLASSES}
    vms = older(pool.lab, "VM")
    real = {ref: record for ref, record in vms.items() if not record["is_a_template"]}

    facts = survey(seen, real)
    now = parse_time("20260512T00:00:00Z")
    assert now is not None
    assert {"tls-verification"} <= {finding["id"] for finding in pool_findings(facts, now)}
    (found,) = [each for each in fleet_of(real, seen, seen["vdi"], {}) if each.vm.name == "shop"]
    assert found.vm.facts()["power_state"] == "running"
    assert found.vm.facts()["addresses"]
    assert found.vm.facts()["vtpm"] is False
    assert "shop" in {vm.name for vm in pool_use(seen, vms).vms}


def test_a_storage_repository_that_does_not_know_its_size_is_not_full(controller_pool: Pool) -> None:
    srs = controller_pool.lab.records("SR")
    for size in ("0", "-1"):
        read = pool_from_records({"sr": {ref: {**record, "physical_size": size} for ref, record in srs.items()}})
        assert {repository.free for repository in read.storage} == {UNKNOWN}


@pytest.mark.parametrize(
    ("restriction", "options", "named"),
    [
        (
            "restrict_vif_locking",
            {"networks": [{"network": "{net}", "locking_mode": "locked", "ipv4_allowed": ["192.0.2.1"]}]},
            "locking_mode",
        ),
        ("restrict_vtpm", {"vtpm": True}, "vtpm"),
    ],
)
def test_what_the_licence_forbids_is_refused_before_anything_is_made(
    controller_pool: Pool, restriction: str, options: dict[str, t.Any], named: str
) -> None:
    pool = controller_pool
    (ref,) = pool.lab.records("pool")
    pool.lab.run(lambda inside: inside.database.put_in_map("pool", ref, "restrictions", restriction, "true"))
    for nic in options.get("networks", []):
        nic["network"] = "Pool-wide network associated with eth0"
    message = pool.refused("vm", name="web", tenant="acme", template="Debian Bookworm 12", **options)
    assert message.startswith((named, f"networks[0].{named}"))
    assert restriction in message


def test_a_uuid_is_no_expression(pool: Pool) -> None:
    trick = 'x") or (field "is_a_template" = "false'
    for module, more in (("vm", {}), ("vm_snapshot", {"snapshot": "before"})):
        assert pool.refused(module, name="web", tenant="acme", uuid=trick, **more).startswith("uuid: ")


def test_a_disk_that_nobody_may_write_to_is_not_attached(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("vm", name="web", tenant="acme", template="Debian Bookworm 12", disks=[{"name": "data", "size": "1GiB"}])
    pool.ok("vm", name="web", tenant="acme", disks=[{"name": "data", "state": "absent", "keep": True}])
    ref = pool.ref("VDI", "web data")
    pool.lab.run(lambda inside: inside.database.set("VDI", ref, "read_only", True))
    message = pool.refused("vm", name="web", tenant="acme", disks=[{"name": "old", "vdi": "web data"}])
    assert message.startswith("disks[0].vdi")
    assert "read-only" in message


def test_a_disk_whose_position_has_a_name(controller_pool: Pool) -> None:
    """Other tools attach a first disk as ``xvda``, which is the position 0."""
    pool = controller_pool
    pool.ok("vm", name="web", tenant="acme", template="Debian Bookworm 12", disks=[{"name": "data", "size": "1GiB"}])
    (vbd,) = [ref for ref in pool.record("VM", "web")["VBDs"] if pool.lab.records("VBD")[ref]["userdevice"] == "0"]
    pool.call("VBD.set_userdevice", vbd, "xvda")
    more = [{"name": "data", "size": "1GiB"}, {"name": "logs", "size": "1GiB"}]
    vm = pool.ok("vm", name="web", tenant="acme", disks=more)["vm"]
    assert [disk["device"] for disk in vm["disks"]] == [0, 1]


def test_an_upload_that_takes_longer_than_it_may(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" * (2 << 20))
    pool.lab.fault("/import_raw_vdi", latency=3)
    result = pool.run("image", name="debian", path=str(path), upload_timeout=1)
    assert "upload_timeout" in result["msg"], result
    assert not {"VM", "VDI", "VBD"} & set(pool.left_over())
    pool.lab.clear_faults()
    assert pool.ok("image", name="debian", path=str(path), upload_timeout=60)["changed"]


def test_a_shutdown_that_takes_longer_than_it_may(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("vm", name="web", tenant="acme", template="Debian Bookworm 12", state="running")

    async def never(dummy_uuid: str, dummy_timeout: float) -> bool:
        return await asyncio.Event().wait()

    pool.lab.run(lambda inside: setattr(inside.machines, "shutdown", never))
    halt = {"name": "web", "tenant": "acme", "state": "halted", "shutdown_timeout": 1}
    message = pool.run("vm", **halt)["msg"]
    assert "not done within 1 seconds" in message
    assert "force: true" in message
    assert pool.record("VM", "web")["power_state"] == "Running"
    assert pool.ok("vm", **halt, force=True)["vm"]["power_state"] == "halted"


def test_an_interface_that_the_vm_will_not_have_is_seen_before_it_is_made(controller_pool: Pool) -> None:
    network = {"version": 2, "ethernets": {"a": {"match": {"macaddress": "nic:frnt"}, "dhcp4": True}}}
    message = controller_pool.refused(
        "vm",
        name="web",
        tenant="acme",
        template="Debian Bookworm 12",
        networks=[{"name": "front", "network": "Pool-wide network associated with eth0"}],
        config_drive={"user_data": "#cloud-config", "network_config": network},
    )
    assert message.startswith("config_drive.network_config")
    assert "front" in message
