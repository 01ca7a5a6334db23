# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The laws that hold for every module of the pool: a new one fails here until it has a line in the table.

Check mode sends nothing that changes a pool; what is announced is done; a second run changes nothing; there is a diff exactly when there is a change.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

if t.TYPE_CHECKING:
    from conftest import Pool

ROOT = Path(__file__).parents[3]
MODULES = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["xapi"]

WEB = {"name": "web", "tenant": "acme"}
ENGINE = {"containers": [{"Id": "1" * 64, "Names": ["/web_a"], "State": "running"}], "info": None, "version": None}
Tasks = list[dict[str, t.Any]]
# What makes, changes and takes away what a module keeps. A VM named web of the tenant acme is there. `{image}` is a file.
CHANGING: dict[str, Tasks] = {
    "vm": [
        {**WEB, "name": "db", "template": "Debian Bookworm 12", "disks": [{"name": "data", "size": "1GiB"}], "state": "running"},
        {**WEB, "name": "db", "description": "orders", "tags": ["gold"], "delete_protection": False},
        {**WEB, "name": "db", "state": "absent"},
    ],
    "vm_snapshot": [
        {**WEB, "snapshot": "before"},
        {**WEB, "snapshot": "before", "state": "absent"},
    ],
    "vm_group": [
        {"name": "spread", "tenant": "acme", "vms": ["web"]},
        {"name": "spread", "tenant": "acme", "vms": [], "description": "none now"},
        {"name": "spread", "tenant": "acme", "state": "absent"},
    ],
    "image": [
        {"name": "debian", "path": "{image}"},
        {"name": "debian", "path": "{image}", "vcpus": 4},
        {"name": "debian", "state": "absent"},
    ],
    "network": [
        {"name": "acme-private", "tenant": "acme"},
        {"name": "acme-private", "tenant": "acme", "description": "inner"},
        {"name": "acme-private", "tenant": "acme", "state": "absent"},
    ],
    "container_publish": [
        {**WEB, "engine": ENGINE},
        {**WEB, "engine": {**ENGINE, "containers": []}},
        {**WEB, "state": "absent"},
    ],
}  # fmt: skip
READING: dict[str, Tasks] = {
    "session": [{}],
    "tenant_quota": [
        {"tenants": [{"name": "acme", "vms": 2}], "vms": [{"name": "web", "tenant": "acme", "state": "running"}]}
    ],
    "tenant_info": [{}],
    "vm_info": [{"tenants": ["acme"]}],
    "pool_info": [{}],
    "usage_info": [{"since": "1h"}],
}


def test_the_table_has_every_module() -> None:
    assert sorted([*CHANGING, *READING]) == sorted(MODULES)


@pytest.mark.parametrize("module", CHANGING)
def test_what_changes_a_pool(pool: Pool, disk_image: Path, module: str) -> None:
    pool.ok("vm", **WEB, template="Debian Bookworm 12")
    for task in CHANGING[module]:
        given = {**task, "path": str(disk_image)} if "path" in task else task
        announced = pool.ok(module, check=True, **given)
        assert pool.mutating_calls() == {}
        assert announced["changed"]
        done = pool.ok(module, **given)
        assert pool.mutating_calls()
        assert (done["changed"], done["changes"], done["diff"]) == (True, announced["changes"], announced["diff"])
        assert done["diff"]["before"] != done["diff"]["after"]
        for check in (True, False):
            again = pool.ok(module, check=check, **given)
            assert pool.mutating_calls() == {}
            assert (again["changed"], again["changes"], again["diff"]) == (False, [], {"before": "", "after": ""})


@pytest.mark.parametrize("module", READING)
def test_what_only_reads(pool: Pool, module: str) -> None:
    pool.ok("vm", **WEB, template="Debian Bookworm 12")
    for task in READING[module]:
        for check in (True, False):
            told = pool.ok(module, check=check, **task)
            assert not told["changed"]
            assert "diff" not in told or told["diff"] == {"before": "", "after": ""}
            assert pool.mutating_calls() == {}
