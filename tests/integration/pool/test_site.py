# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook ``hardshell.xen.site`` over fifty VMs, as far as a pool without machines goes: it converges, and then changes nothing."""

from __future__ import annotations

import collections
import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

TENANTS = {f"tenant{number}": [f"tenant{number}-{vm}" for vm in range(10)] for number in range(5)}
HOSTS = [host for hosts in TENANTS.values() for host in hosts]


def site(folder: Path) -> dict[str, int]:
    """How many changes each host had. Fails where a host did."""
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "--forks", "10"]
    run = subprocess.run([*command, "hardshell.xen.site"], capture_output=True, text=True, check=False, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    return {name: int(count) for name, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", run.stdout, re.M)}


def test_one_login_for_each_pool_of_the_inventory(tmp_path: Path) -> None:
    with Lab(backend="none") as left, Lab(backend="none") as right:
        pools = {"left": left, "right": right}
        hosts = {
            f"{name}-{vm}": {
                "xapi_host": lab.url,
                "xapi_password": lab.password,
                "xapi_ca_path": str(lab.ca_path),
                "vm_state": "halted",
            }
            for name, lab in pools.items()
            for vm in ("one", "two")
        }
        variables = {"tenant_name": "acme", "vm_template": "Debian Bookworm 12"}
        (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": variables, "hosts": hosts}}))
        assert site(tmp_path).keys() == hosts.keys()
        for name, lab in pools.items():
            assert lab.calls()["session.login_with_password"] == lab.calls()["session.logout"] == 1
            made = {record["name_label"] for record in lab.records("VM").values() if record["is_a_template"] is False}
            assert {f"{name}-one", f"{name}-two"} <= made
        assert site(tmp_path) == dict.fromkeys(hosts, 0)


@pytest.mark.bench
def test_fifty_vms_converge_and_the_second_run_changes_nothing(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    variables = {
        **pool.connection(),
        "vm_template": "Debian Bookworm 12",
        "vm_memory": "256MiB",
        "vm_state": "paused",
        "tenant_quota": {"vcpus": 10, "memory": "2560MiB", "vms": 10},
    }
    groups = {
        tenant: {
            "vars": {"tenant_name": tenant, "tenant_networks": [{"name": tenant}]},
            "hosts": dict.fromkeys(hosts, {}),
        }
        for tenant, hosts in TENANTS.items()
    }
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"all": {"vars": variables}, **groups}))

    made = site(tmp_path)
    assert set(made) == set(HOSTS)
    assert min(made.values()) >= 1
    states = collections.Counter(
        record["power_state"] for record in pool.lab.records("VM").values() if record["name_label"] in HOSTS
    )
    assert states == {"Paused": 50}

    pool.lab.reset_calls()
    assert site(tmp_path) == dict.fromkeys(HOSTS, 0)
    assert pool.mutating_calls() == {}
    # One login for all; then a constant number of calls for each VM, and a few for the quota and the networks of each tenant.
    assert sum(pool.calls().values()) <= 6 * len(HOSTS)
