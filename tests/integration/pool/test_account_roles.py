# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which of XAPI's roles is enough for what: the table of docs/REAL-POOL.md, row by row. The lab holds accounts to the roles of the data model."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Iterator
from pathlib import Path

import pytest
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

ROLES = ["read-only", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin"]
DOCUMENT = Path(__file__).parents[3] / "docs" / "REAL-POOL.md"
NETWORK = "Pool-wide network associated with eth0"

Task = tuple[str, dict[str, t.Any]]


def vm(**options: t.Any) -> Task:
    return "vm", {"name": "shop", "tenant": "acme", "template": "Debian Bookworm 12", **options}


def network(**options: t.Any) -> Task:
    return "network", {"name": "back", "tenant": "acme", **options}


HALTED, RUNNING = vm(), vm(state="running")
PUBLISHED: Task = ("VM.add_to_other_config", {"docker_ps": "<docker_ps/>"})
WEB: Task = ("vm_group", {"name": "web", "tenant": "acme"})
SNAPSHOT: Task = ("vm_snapshot", {"name": "shop", "tenant": "acme", "snapshot": "before"})
LOCKED = {"locking_mode": "locked", "ipv4_allowed": ["10.0.0.5"]}

# What a row of the table says: tasks that come before, by root, and those that its role is enough for.
ROWS: dict[str, tuple[list[Task], list[Task]]] = {
    "the modules that tell and change nothing, the inventory plugin, the event source": (
        [HALTED],
        [("pool_info", {}), ("vm_info", {}), ("tenant_info", {}), ("usage_info", {"since": "1h"})]
        + [("tenant_quota", {"tenants": [{"name": "acme", "vms": 9}], "vms": []}), ("session", {})],
    ),
    "start, stop, suspend, pause a VM; tags; an ISO in its drive": (
        [HALTED],
        [vm(state="running", tags=["gold"]), vm(state="paused"), vm(state="suspended"), vm(state="halted")],
    ),
    "make, change and remove a VM: its vCPUs, disks, interfaces, config drive, keys": (
        [],
        [
            vm(
                vcpus=2,
                disks=[{"name": "data", "size": "1GiB"}],
                networks=[{"name": "front", "network": NETWORK, **LOCKED}],
                config_drive={"user_data": "#cloud-config\n"},
                ssh_host_key=True,
                other_config={"shop": "yes"},
                platform={"viridian": False},
                delete_protection=False,
                cpu_weight=512,
                boot_order=["cd", "disk"],
                state="running",
            ),
            vm(vcpus=1, state="running", allow_power_cycle=True),
            vm(state="absent", force=True),
        ],
    ),
    "groups of VMs that are kept apart": ([HALTED], [WEB, vm(group="web"), (WEB[0], {**WEB[1], "state": "absent"})]),
    "show containers in the pool": ([HALTED, PUBLISHED], [("container_publish", {"name": "shop", "tenant": "acme", "state": "absent"})]),
    "import an image, remove it": ([], [("image", {"name": "golden"}), ("image", {"name": "golden", "state": "absent"})]),
    "a private network": ([], [network(), network(mtu=9000), network(state="absent")]),
    "memory of a VM": ([], [vm(memory="3GiB")]),
    "the host that a VM prefers; live migration": ([HALTED], [vm(affinity="one")]),
    "another storage repository for a disk": (
        [vm(disks=[{"name": "data", "size": "1GiB"}])],
        [vm(disks=[{"name": "data", "sr": "fast disks"}])],
    ),
    "take snapshots, go back to one, remove them": (
        [HALTED],
        [SNAPSHOT, ("vm_snapshot", {**SNAPSHOT[1], "state": "reverted"}), ("vm_snapshot", {**SNAPSHOT[1], "state": "absent"})],
    ),
    "a network as VLAN; a network's default locking mode, name or description": (
        [],
        [network(vlan=210, device="eth0"), network(vlan=210, device="eth0", default_locking_mode="disabled")],
    ),
    "another locking mode or other addresses of an interface that is there": (
        [vm(networks=[{"name": "front", "network": NETWORK}])],
        [vm(networks=[{"name": "front", "network": NETWORK, **LOCKED}])],
    ),
    "appliance, order and delays of starts; restart by HA; start with the host": (
        [HALTED],
        [vm(start_order=2, ha_restart_priority="best-effort", auto_power_on=True)],
    ),
}  # fmt: skip
ENOUGH = {
    text: role
    for role, text in re.findall(r"^\| `([\w-]+)` \| (.+?) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
}


@pytest.fixture
def lab() -> Iterator[Lab]:
    accounts = [{"name": role, "password": "secret", "role": role} for role in ROLES]
    srs = [{"name": "Local storage"}, {"name": "fast disks"}]
    with Lab(backend="none", event_from_delay=0, hosts=[{"name": "one"}], srs=srs, accounts=accounts) as lab:
        yield lab


def run_as(pool: Pool, role: str, task: Task) -> dict[str, t.Any]:
    module, arguments = task
    return pool.run(module, xapi_username=role, xapi_password="secret", **arguments)


def test_the_table_has_these_rows() -> None:
    assert list(ENOUGH) == list(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_the_role_is_enough_and_the_one_below_is_not(controller_pool: Pool, disk_image: Path, row: str) -> None:
    pool = controller_pool
    before, tasks = ROWS[row]
    role = ENOUGH[row]
    for module, arguments in before:
        if "." in module:
            pool.call(module, pool.ref("VM", "shop"), *next(iter(arguments.items())))
        else:
            pool.ok(module, **arguments)
    tasks = [
        (module, {**arguments, "path": str(disk_image)})
        if module == "image" and "state" not in arguments
        else (module, arguments)
        for module, arguments in tasks
    ]
    lower = ROLES[ROLES.index(role) - 1] if role != ROLES[0] else None
    if lower is not None:
        refused = run_as(pool, lower, tasks[0])
        assert refused.get("xapi_error") == "RBAC_PERMISSION_DENIED", refused["msg"]
        told = re.search(
            r"the account's role does not allow [a-z_]+[./]\w+; one of these does: ([^.]+)\.", refused["msg"]
        )
        assert told is not None, refused["msg"]
        assert set(told[1].split(", ")) & set(ROLES) == set(ROLES[ROLES.index(role) :])
    for task in tasks:
        result = run_as(pool, role, task)
        assert not result.get("failed"), (task, result)
        assert result["changed"] == (role != "read-only")
