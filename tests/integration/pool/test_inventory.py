# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The inventory plugin ``hardshell.xen.xapi``, through real runs of ``ansible-inventory``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest
import yaml
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

CALLS = {
    "session.login_with_password": 1,
    "VM.get_all_records_where": 1,
    "event.from": 1,
    "VDI.get_all_records_where": 1,
    "session.logout": 1,
}
PASSWORD = "{{ lookup('ansible.builtin.env', 'POOL_PASSWORD') }}"


class Source:
    """An inventory source of this plugin, and what ``ansible-inventory --list`` says of it."""

    def __init__(self, folder: Path, **options: t.Any) -> None:
        self.path = folder / "pools.xapi.yml"
        self.path.write_text(yaml.safe_dump({"plugin": "hardshell.xen.xapi", **options}))
        self.said = ""

    def run(self, *arguments: str, **environment: str) -> dict[str, t.Any]:
        command = [str(Path(sys.executable).parent / "ansible-inventory"), "-i", str(self.path), "--list", *arguments]
        run = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
            cwd=self.path.parent,
        )
        self.said = run.stderr
        assert "Traceback" not in run.stderr
        assert run.returncode == 0, run.stderr
        listed: dict[str, t.Any] = json.loads(run.stdout, object_hook=untrusted)
        return listed


def untrusted(value: dict[str, t.Any]) -> t.Any:
    """What a pool says is never taken for a template, and shown as such."""
    return value.get("__ansible_unsafe", value)


def members(listed: dict[str, t.Any]) -> dict[str, list[str]]:
    return {group: sorted(about["hosts"]) for group, about in listed.items() if "hosts" in about}


def make(pool: Pool, name: str, **more: t.Any) -> dict[str, t.Any]:
    options = {
        "name": name,
        "tenant": "acme",
        "template": "Debian Bookworm 12",
        "disks": [{"name": "data", "size": "1GiB"}],
        **more,
    }
    made: dict[str, t.Any] = pool.ok("vm", **options)["vm"]
    return made


@pytest.fixture
def second_lab() -> t.Iterator[Lab]:
    with Lab(backend="none", event_from_delay=0) as lab:
        yield lab


def test_hosts_groups_variables_and_calls(controller_pool: Pool, shop: dict[str, t.Any], tmp_path: Path) -> None:
    pool = controller_pool
    shop = pool.ok("vm", **{**shop, "tags": ["gold"]}, wait_for={"address": "true"})["vm"]
    make(pool, "wiki", tenant="globex")
    make(pool, "hidden", tenant="globex")
    pool.call("VM.add_to_other_config", pool.ref("VM", "wiki"), "folder", "/intern/wiki")
    pool.lab.reset_calls()
    source = Source(
        tmp_path,
        xapi_password=PASSWORD,
        filters={"names": ["shop", "wiki"]},
        ansible_host=[{"nic": "front", "network": "127.0.0.0/8"}],
        compose={"tenant_name": "xapi_vm.tenant", "broken": "no_such_variable.x"},
        groups={"small": "xapi_vm.vcpus < 2"},
        keyed_groups=[{"key": "xapi_vm.networks | map(attribute='name')", "prefix": "nic"}],
    )
    # The rest of the connection comes from the environment.
    listed = source.run(XAPI_HOST=pool.lab.url, XAPI_CA_PATH=str(pool.lab.ca_path), POOL_PASSWORD=pool.lab.password)
    assert pool.calls() == CALLS
    assert source.said == ""
    assert members(listed) == {
        "tenant_acme": ["acme-shop"],
        "tenant_globex": ["wiki"],
        "host_xapi_lab": ["acme-shop"],
        "tag_gold": ["acme-shop"],
        "state_running": ["acme-shop"],
        "state_halted": ["wiki"],
        "folder_intern_wiki": ["wiki"],
        "pool_127_0_0_1": ["acme-shop", "wiki"],
        "small": ["wiki"],
        "nic_front": ["acme-shop"],
    }
    assert listed["folder_intern"]["children"] == ["folder_intern_wiki"]
    variables = listed["_meta"]["hostvars"]
    assert variables["acme-shop"]["ansible_host"] == shop["address"]
    assert variables["acme-shop"]["vm_ssh_host_key"] == shop["ssh_host_key"]
    assert variables["acme-shop"]["xapi_vm"]["disks"] == shop["disks"]
    assert variables["acme-shop"]["tenant_name"] == "acme"
    assert "ansible_host" not in variables["wiki"]
    assert pool.lab.password not in json.dumps(listed)


def test_containers_that_are_published(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    make(pool, "shop")
    make(pool, "wiki")
    make(pool, "bare")
    written = "<docker_ps><item><entry><id>6a4bb9e65abc</id><names>front</names><status>Up</status><image>nginx</image></entry></item></docker_ps>"
    pool.call("VM.add_to_other_config", pool.ref("VM", "shop"), "docker_ps", written)
    pool.call("VM.add_to_other_config", pool.ref("VM", "wiki"), "docker_ps", written[:50])
    pool.lab.reset_calls()
    source = Source(
        tmp_path, **pool.connection(), container_hosts=True, strict=True, compose={"tenant_name": "xapi_vm.tenant"}
    )
    listed = source.run()
    assert pool.calls() == CALLS
    assert source.said.count("[WARNING]") == 1
    assert "the containers of 'wiki' are left out: docker_ps cannot be read" in source.said
    assert members(listed)["containers"] == ["shop_front"]
    assert members(listed)["tenant_acme"] == ["bare", "shop", "wiki"]
    variables = listed["_meta"]["hostvars"]
    assert [each["name"] for each in variables["shop"]["xapi_containers"]] == ["front"]
    assert (variables["wiki"]["xapi_containers"], variables["bare"]["xapi_containers"]) == ([], [])
    assert variables["shop_front"]["xapi_container"]["image"] == "nginx"
    assert "tenant_name" not in variables["shop_front"]


def test_several_pools_and_one_that_is_down(controller_pool: Pool, second_lab: Lab, tmp_path: Path) -> None:
    pool, first_lab = controller_pool, controller_pool.lab
    original = make(pool, "web")
    pool.lab = second_lab
    copy = make(pool, "web")
    make(pool, "db")
    pools = [
        {
            "name": "one",
            "xapi_host": first_lab.url,
            "xapi_password": first_lab.password,
            "xapi_ca_path": str(first_lab.ca_path),
        },
        {"name": "down", "xapi_host": ["127.0.0.1:1"], "xapi_password": "none", "xapi_ca_path": str(first_lab.ca_path)},
        {
            "name": "two",
            "xapi_host": second_lab.url,
            "xapi_password": second_lab.password,
            "xapi_ca_path": str(second_lab.ca_path),
        },
    ]
    source = Source(tmp_path, pools=pools)
    found = members(source.run())
    web = {pool_name: f"web_{made['uuid'][:8]}" for pool_name, made in {"one": original, "two": copy}.items()}
    assert found["pool_one"] == [web["one"]]
    assert found["pool_two"] == ["db", web["two"]]
    assert "pool_down" not in found
    assert source.said.count("[WARNING]") == 1
    assert "the pool 'down' could not be read" in source.said

    pools.reverse()
    assert members(Source(tmp_path, pools=pools).run()) == found

    strict = Source(tmp_path, pools=pools, strict=True)
    assert members(strict.run()) == {}
    assert "the pool 'down' could not be read" in strict.said

    none = Source(tmp_path, pools=[each for each in pools if each["name"] == "down"])
    assert members(none.run()) == {}
    assert "the pool 'down' could not be read" in none.said
    assert "Unable to parse" in none.said


def test_the_cache_is_written_and_read(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    make(pool, "web")
    kept = tmp_path / "cache"
    options = {
        **pool.connection(),
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(kept),
        "compose": {"cores": "xapi_vm.vcpus"},
    }
    source = Source(tmp_path, **options)
    pool.lab.reset_calls()
    first = source.run()
    assert pool.calls() == CALLS
    make(pool, "db")
    pool.lab.reset_calls()
    assert source.run() == first
    assert pool.calls() == {}
    assert not any(pool.lab.password in path.read_text() for path in kept.iterdir())

    assert set(source.run("--flush-cache")["_meta"]["hostvars"]) == {"web", "db"}
    assert pool.calls() == CALLS
    pool.lab.reset_calls()
    assert set(source.run()["_meta"]["hostvars"]) == {"web", "db"}
    assert pool.calls() == {}

    # Another question is not answered by what was kept for this one.
    narrowed = Source(tmp_path, **options, filters={"names": ["d*"]})
    assert set(narrowed.run()["_meta"]["hostvars"]) == {"db"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"filters": {"name": "web"}}, "filters.name: 'web' cannot be used; the filters are names"),
        ({"ansible_host": [{"network": "10.0.0/8"}]}, "ansible_host[0].network: '10.0.0/8' cannot be used"),
    ],
)
def test_a_wrong_source_says_what_is_wrong_and_asks_no_pool(
    controller_pool: Pool, tmp_path: Path, options: dict[str, t.Any], said: str
) -> None:
    source = Source(tmp_path, **controller_pool.connection(), **options)
    controller_pool.lab.reset_calls()
    assert members(source.run()) == {}
    assert said in source.said
    assert controller_pool.calls() == {}


def test_vms_that_are_called_like_groups(controller_pool: Pool, tmp_path: Path) -> None:
    """As "web" with a group for each tag, "all", and one that is called after a group of the plugin's own."""
    pool = controller_pool
    for name in ("web", "all", "localhost", "state_halted"):
        make(pool, name, tags=["web"])
    groups = [{"key": "xapi_vm.tags", "prefix": "", "separator": "", "parent_group": "tags"}]
    listed = Source(tmp_path, **pool.connection(), keyed_groups=groups, group_by=["state"]).run()
    names = sorted(listed["_meta"]["hostvars"])
    assert [name.split("_", 1)[0] for name in names] == ["all", "localhost", "state", "web"]
    assert listed["_meta"]["hostvars"]["web"]["xapi_vm"]["name"] == "web"
    assert members(listed)["state_halted"] == names
    assert members(listed)["web"] == names
