# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module ``tenant_quota``, and the role ``hardshell.xen.tenant`` that holds a whole play against quotas and pool."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml

if t.TYPE_CHECKING:
    from conftest import Pool

DEBIAN = "Debian Bookworm 12"
GIB = 1024**3
PLAY = [
    {
        "hosts": "all",
        "gather_facts": False,
        "module_defaults": {
            "group/hardshell.xen.xapi": {
                name: f"{{{{ {name} }}}}" for name in ("xapi_host", "xapi_password", "xapi_ca_path")
            }
        },
        "tasks": [
            {"ansible.builtin.import_role": {"name": "hardshell.xen.tenant"}},
            {
                "hardshell.xen.vm": {
                    "name": "{{ inventory_hostname }}",
                    "tenant": "{{ tenant_name }}",
                    "template": DEBIAN,
                    "memory": "{{ vm_memory | default('1GiB') }}",
                    "state": "running",
                },
                "delegate_to": "localhost",
            },
        ],
    }
]


def test_what_is_there_and_what_is_asked_for(pool: Pool) -> None:
    pool.ok("vm", name="db", tenant="acme", template=DEBIAN, memory="1GiB", vcpus=2, state="running",
            disks=[{"name": "data", "size": "5GiB"}])  # fmt: skip
    pool.ok("vm_snapshot", name="db", tenant="acme", snapshot="before")
    asked = {"name": "web", "tenant": "acme", "template": DEBIAN, "memory": "2GiB", "vcpus": 1}
    quota = {"name": "acme", "vcpus": 3, "memory": "4GiB", "disk": "5GiB", "vms": 2}
    told = pool.ok("tenant_quota", tenants=[quota], vms=[asked])
    assert told["tenants"] == [
        {
            "name": "acme",
            "quota": {"vcpus": 3, "memory": 4 * GIB, "disk": 5 * GIB, "vms": 2},
            "in_use": {"vcpus": 2, "memory": GIB, "disk": 5 * GIB, "vms": 1},
            "asked": {"vcpus": 1, "memory": 2 * GIB, "disk": 0, "vms": 1},
        }
    ]
    assert sum(pool.calls().values()) == 4

    disks = [{"name": "data", "size": "1GiB"}]
    said = pool.refused("tenant_quota", tenants=[quota], vms=[{**asked, "memory": "4GiB", "disks": disks}])
    assert said.splitlines()[1:] == [
        "TENANT  RESOURCE  QUOTA  IN USE  ASKED  OVER BY",
        "acme    memory    4 GiB  1 GiB   4 GiB  1 GiB",
        "acme    disk      5 GiB  5 GiB   1 GiB  1 GiB",
    ]
    said = pool.refused(
        "tenant_quota", vms=[{**asked, "memory": "1TiB", "disks": [{"name": "data", "size": "100TiB"}]}]
    )
    assert re.search(r"all hosts together +memory", said)
    assert re.search(r"the host with the most +memory", said)
    assert re.search(r"storage repository .* disk .* 100 TiB .* web", said)


def play(folder: Path, *arguments: str) -> tuple[dict[str, int], str]:
    """How many changes each host had, and -1 for one that failed."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    counts = re.findall(r"^([\w-]+)\s+: ok=\d+\s+changed=(\d+)\s+unreachable=0\s+failed=(\d+)", run.stdout, re.M)
    assert counts, run.stdout + run.stderr
    return {name: -1 if int(failed) else int(changed) for name, changed, failed in counts}, run.stdout + run.stderr


def test_a_play_is_refused_before_its_first_change(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    acme = {f"acme-{number}": {} for number in range(4)}
    groups: dict[str, t.Any] = {
        "all": {"vars": pool.connection()},
        "acme": {"vars": {"tenant_name": "acme", "tenant_quota": {"vms": 3, "memory": "3GiB"}}, "hosts": acme},
        "globex": {"vars": {"tenant_name": "globex"}, "hosts": {"globex-0": {}, "globex-1": {}}},
    }
    small = {"container_set_containers": {"web": {"image": "web", "memory": "1GiB"}}}
    groups["globex"]["hosts"]["globex-1"] = small
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(groups))
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAY))

    whole = {**dict.fromkeys(acme, -1), "globex-0": 1, "globex-1": -1}
    counted, said = play(tmp_path, "--check")
    assert counted == whole, said
    assert re.search(r"acme +vms +3 +0 +4 +1", said)
    assert "vm_memory_reserve (256 MiB) are 1.2 GiB; give 1280MiB" in said
    assert pool.mutating_calls() == {}

    # One by one: what is in the pool counts, though it is not in the play.
    some = list(acme)[:3]
    assert play(tmp_path, "--limit", ",".join(some))[0] == dict.fromkeys(some, 1)
    assert play(tmp_path)[0] == whole
    assert len(pool.contents()["VM"]) == len(pool._at_first["VM"]) + 4
    groups["acme"]["hosts"]["acme-1"] = {"vm_memory": "1025MiB"}
    (tmp_path / "hosts.yml").write_text(json.dumps(groups))
    counted, said = play(tmp_path, "--limit", "acme-1")
    assert counted == {"acme-1": -1}
    assert re.search(r"acme +memory +3 GiB +3 GiB +1 MiB +1 MiB", said)
