# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role ``hardshell.xen.tenant`` makes a tenant's networks, and VMs get on them, in one playbook."""

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
                    "template": "Debian Bookworm 12",
                    "networks": [{"name": "front", "network": "{{ tenant_networks[0].name }}"}],
                    "planned_networks": "{{ tenant_networks | map(attribute='name') }}",
                    "state": "halted",
                },
                "delegate_to": "localhost",
            },
        ],
    }
]


def play(folder: Path, *arguments: str, book: str = "play.yml") -> tuple[dict[str, int], list[t.Any]]:
    """How many tasks changed something for each host, and what they changed."""
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i",
        str(folder / "hosts.yml"),
        book,
    ]
    run = subprocess.run([*command, "-vv", *arguments], capture_output=True, text=True, check=False, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    changed = {
        name: int(count) for name, count in re.findall(r"^([\w-]+)\s+: ok=\d+\s+changed=(\d+)", run.stdout, re.M)
    }
    results = [
        json.loads(text) for text in re.findall(r"^changed: \[.*=> (?:\(item=.*\) => )?({.*})$", run.stdout, re.M)
    ]
    return changed, [result["changes"] for result in results]


def test_networks_are_made_once_a_tenant_and_planned_exactly(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    tenants = {
        tenant: {
            "vars": {"tenant_name": tenant, "tenant_networks": [{"name": f"{tenant}-private", "vlan": vlan}]},
            "hosts": {f"{tenant}-{number}": {} for number in range(2)},
        }
        for tenant, vlan in (("acme", 210), ("globex", 220))
    }
    hosts = {"all": {"vars": pool.connection()}, **tenants}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAY))
    networks = set(pool.lab.records("network"))
    pool.lab.reset_calls()

    announced = play(tmp_path, "--check")
    assert announced[0] == {"acme-0": 2, "acme-1": 1, "globex-0": 2, "globex-1": 1}
    assert pool.mutating_calls() == {}
    assert set(pool.lab.records("network")) == networks

    done = play(tmp_path)
    assert done[0] == announced[0]
    assert len(done[1]) == 6
    assert sorted(map(json.dumps, done[1])) == sorted(map(json.dumps, announced[1]))
    assert pool.calls()["network.create"] == 2
    record = pool.record("network", "acme-private")
    assert len(record["VIFs"]) == 2
    assert record["tags"] == ["tenant:acme"]

    assert play(tmp_path)[0] == dict.fromkeys(done[0], 0)


def test_teardown_removes_networks_with_the_last_vm_of_their_tenant(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    tenants = {
        tenant: {
            "vars": {"tenant_name": tenant, "tenant_networks": [{"name": f"{tenant}-private"}]},
            "hosts": {f"{tenant}-{number}": {} for number in range(2)},
        }
        for tenant in ("acme", "globex")
    }
    hosts = {"all": {"vars": pool.connection()}, **tenants}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (tmp_path / "play.yml").write_text(yaml.safe_dump(PLAY))
    before = set(pool.lab.records("network"))
    play(tmp_path)

    teardown = "hardshell.xen.teardown"
    assert play(tmp_path, "--limit", "acme-1", book=teardown)[0] == {"acme-1": 1}
    assert "acme-private" in {network["name_label"] for network in pool.lab.records("network").values()}
    announced = play(tmp_path, "--limit", "acme", "--check", book=teardown)[0]
    assert play(tmp_path, "--limit", "acme", book=teardown)[0] == announced == {"acme-0": 2, "acme-1": 0}
    left = {ref: network["name_label"] for ref, network in pool.lab.records("network").items() if ref not in before}
    assert set(left.values()) == {"globex-private"}
    assert play(tmp_path, "--limit", "acme", book=teardown)[0] == {"acme-0": 0, "acme-1": 0}
