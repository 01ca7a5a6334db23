# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM's own record sets: made, changed live and with a halt, taken away, and what a run costs that finds nothing to do."""

from __future__ import annotations

import re
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_settings import settings_arguments

if t.TYPE_CHECKING:
    from conftest import Pool

MOST_CALLS = 6
SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}


@pytest.fixture
def settings(lab: t.Any) -> dict[str, t.Any]:
    """Every setting there is."""
    (host,) = [record["name_label"] for record in lab.records("host").values()]
    return {
        "vcpus": 2,
        "vcpus_max": 4,
        "cores_per_socket": 2,
        "cpu_weight": 512,
        "cpu_cap": 150,
        "memory": "2GiB",
        "memory_static_max": "3GiB",
        "memory_static_min": "256MiB",
        "memory_dynamic_min": "1GiB",
        "firmware": "uefi",
        "secure_boot": True,
        "vtpm": True,
        "boot_order": ["cd", "disk"],
        "affinity": host,
        "resident_on": host,
        "group": "web",
        "appliance": "shop",
        "start_order": 2,
        "start_delay": 0,
        "shutdown_delay": 0,
        "ha_restart_priority": "best-effort",
        "auto_power_on": True,
        "delete_protection": True,
        "blocked_operations": {"hard_reboot": "never"},
        "folder": "/acme/web",
        "other_config": {"cost-centre": 42},
        "platform": {"viridian": False},
        "xenstore_data": {"vm-data/role": "shop"},
    }


def test_all_settings(pool: Pool, shop: dict[str, t.Any], settings: dict[str, t.Any]) -> None:
    pool.ok("vm_group", name="web", tenant="acme")
    pool.call("VM_appliance.create", {"name_label": "shop"})
    made = pool.four_steps("vm", **{**shop, **settings})["vm"]
    (own,) = pool.lab.records("pool").values()
    assert own["other_config"]["auto_poweron"] == "true"
    shown = {key: value for key, value in settings.items() if not key.startswith("memory")}
    shown["host"] = shown.pop("resident_on")
    shown.update(
        group="acme/web",
        memory=2 << 30,
        memory_static_max=3 << 30,
        memory_static_min=256 << 20,
        memory_dynamic_min=1 << 30,
        blocked_operations={"destroy": "hardshell.xen: delete_protection", "hard_reboot": "never"},
        other_config={**made["other_config"], "cost-centre": "42"},
        platform={**made["platform"], "viridian": "false"},
    )
    assert {key: made[key] for key in shown} == shown
    record = pool.record("VM", "shop")
    assert record["HVM_boot_params"] == {"firmware": "uefi", "order": "dc"}
    assert record["platform"]["secureboot"] == "true"
    assert record["platform"]["device-model"] == "qemu-upstream-uefi"
    assert "mac_seed" in record["other_config"]

    live = {
        "vcpus": 3,
        "memory": "3GiB",
        "group": "",
        "appliance": "",
        "affinity": "",
        "start_order": 0,
        "ha_restart_priority": "none",
        "auto_power_on": False,
        "blocked_operations": {"hard_reboot": None},
        "folder": "",
        "other_config": {"cost-centre": None},
        "xenstore_data": {"vm-data/role": None},
    }
    pool.call("VM.add_to_other_config", pool.ref("VM", "shop"), "theirs", "1")
    changed = pool.four_steps(
        "vm", **{**shop, **settings, **live, "cores_per_socket": None, "memory_dynamic_min": None}
    )
    assert [(change["action"], change["kind"]) for change in changed["changes"]] == [("update", "vm")]
    record = pool.record("VM", "shop")
    assert pool.lab.records("VM_metrics")[record["metrics"]]["VCPUs_number"] == 3
    assert (record["memory_dynamic_min"], record["memory_dynamic_max"]) == (3 << 30, 3 << 30)
    assert record["other_config"]["theirs"] == "1"

    assert "allow_power_cycle" in pool.refused("vm", **SHOP, vtpm=False)
    cycled = pool.four_steps("vm", **SHOP, vtpm=False, vcpus=1, cores_per_socket=1, allow_power_cycle=True)
    assert [change["action"] for change in cycled["changes"]] == ["shut down", "update", "start"]

    assert "delete_protection: false" in pool.refused("vm", **SHOP, state="absent", force=True)
    gone = pool.four_steps("vm", **SHOP, state="absent", delete_protection=False)
    assert gone["vm"] is None
    assert pool.left_over() == {}


def test_a_run_that_finds_nothing_to_do_makes_six_calls_at_most(
    pool: Pool, shop: dict[str, t.Any], settings: dict[str, t.Any]
) -> None:
    pool.ok("vm_group", name="web", tenant="acme")
    pool.call("VM_appliance.create", {"name_label": "shop"})
    shop.update(settings)
    shop["disks"] = [{"name": f"disk-{number}", "size": "1GiB"} for number in range(12)]
    shop["networks"] = [{"name": f"nic-{number}", "network": "Host internal management network"} for number in range(5)]
    pool.ok("vm", **shop)
    assert not pool.ok("vm", **shop)["changed"]
    assert sum(pool.calls().values()) <= MOST_CALLS, pool.calls()


def play(folder: Path, role: dict[str, t.Any], *, check: bool = False) -> int:
    """Apply the role. Returns how many tasks changed something."""
    names = ("xapi_host", "xapi_password", "xapi_ca_path")
    defaults = {"group/hardshell.xen.xapi": {name: f"{{{{ {name} }}}}" for name in names}}
    tasks = [{"ansible.builtin.include_role": {"name": "hardshell.xen.vm", **role}}]
    book = [{"hosts": "all", "gather_facts": False, "module_defaults": defaults, "tasks": tasks}]
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"]
    command += ["--check"] if check else []
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert run.returncode == 0, run.stdout + run.stderr
    (changed,) = re.findall(r"^acme-shop\s+: ok=\d+\s+changed=(\d+)", run.stdout, re.M)
    return int(changed)


def test_the_role_hands_on_every_setting(controller_pool: Pool, settings: dict[str, t.Any], tmp_path: Path) -> None:
    assert settings.keys() == settings_arguments().keys()
    pool = controller_pool
    pool.ok("vm_group", name="web", tenant="acme")
    pool.call("VM_appliance.create", {"name_label": "shop"})
    wanted = {f"vm_{name}": value for name, value in settings.items()}
    wanted.update(vm_tenant="acme", vm_template="Debian Bookworm 12", vm_state="halted", vm_networks=[])
    hosts = {"all": {"vars": {**pool.connection(), **wanted}, "hosts": {"acme-shop": {}}}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    assert play(tmp_path, {}, check=True) == 1
    assert play(tmp_path, {}) == 1
    unchanged = {**SHOP, **settings, "name": "acme-shop", "delete_protection": None}
    assert not pool.ok("vm", **unchanged)["changed"]
    hosts["all"]["vars"]["vm_delete_protection"] = False
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(hosts))
    assert play(tmp_path, {"tasks_from": "absent"}) >= 1
    assert "VM" not in pool.left_over()
