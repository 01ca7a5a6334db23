# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook ``hardshell.xen.report``, run for real against pools without machines."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import typing as t
from pathlib import Path

import pytest
import yaml
from xapi_lab.rrd import Rrd, Source
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

READS = {
    "session.login_with_password",
    "session.logout",
    "event.from",
    "VM.get_all_records_where",
}


def inventory(path: Path, pool: dict[str, t.Any], **tenants: list[str]) -> Path:
    variables = {**pool, "xapi_password": pool["xapi_password"]}
    groups = {
        tenant: {"vars": {"tenant_name": tenant}, "hosts": dict.fromkeys(hosts, {})}
        for tenant, hosts in tenants.items()
    }
    path.write_text(yaml.safe_dump({"all": {"vars": variables}, **groups}))
    return path


def report(folder: Path, *inventories: Path, **given: str) -> tuple[int, str, dict[str, dict[str, t.Any]]]:
    target = folder / "report.json"
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "hardshell.xen.report",
        "-e",
        f"report_file={target}",
    ]
    for name, value in given.items():
        command += ["-e", f'{{"{name}": {value}}}']
    for each in inventories:
        command += ["-i", str(each)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    rows = json.loads(target.read_text())["rows"] if target.exists() else []
    return run.returncode, run.stdout + run.stderr, {row["vm"]: row for row in rows}


def test_vms_there_and_not_there_in_few_calls(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    disks = [{"name": "data", "size": "1GiB"}]
    for number in range(3):
        pool.ok("vm", name=f"shop-{number}", tenant="acme", template="Debian Bookworm 12", vcpus=2, disks=disks)
    pool.lab.reset_calls()
    hosts = inventory(
        tmp_path / "hosts.yml", pool.connection(), acme=["shop-0", "shop-1", "shop-2", "shop-3"], globex=["shop-4"]
    )
    code, said, rows = report(tmp_path, hosts)
    assert code == 0, said
    states = {name: row["state"] for name, row in rows.items()}
    assert states == {
        "shop-0": "halted",
        "shop-1": "halted",
        "shop-2": "halted",
        "shop-3": "absent",
        "shop-4": "absent",
    }
    assert rows["shop-1"]["vcpus"] == 2
    assert set(pool.calls()) == READS
    assert sum(pool.calls().values()) == 4


def test_what_is_published_and_what_is_wrong_without_asking_an_engine(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    hosts = inventory(tmp_path / "hosts.yml", pool.connection(), acme=["shop-0"])
    pool.ok("vm", name="shop-0", tenant="acme", template="Debian Bookworm 12", vcpus=2, state="running", networks=[])
    entry = {"Id": "a" * 64, "Names": ["/shop-0_web"], "Image": "box:1", "State": "running", "Status": "Up"}
    privileged = {**entry, "HostConfig": {"Privileged": True}}
    pool.ok("container_publish", name="shop-0", tenant="acme", engine={"containers": [privileged]})
    code, said, rows = report(tmp_path, hosts, report_engines="false", tenant_quota='{"vcpus": 1}')
    assert code == 0, said
    assert [(each["name"], each["image"], each["state"]) for each in rows["shop-0"]["containers"]] == [
        ("shop-0_web", "box:1", "running")
    ]
    told = json.loads((tmp_path / "report.json").read_text())["findings"]
    assert {each["id"] for each in told if each["tenant"] == "acme"} == {"privileged-container", "over-quota"}
    text = (tmp_path / "report.txt").read_text()
    assert "high: acme: container shop-0_web in VM shop-0: it is privileged" in text
    assert "high: acme" in said


def test_a_pool_that_is_down_fails_plainly(lab: Lab, tmp_path: Path) -> None:
    connection = {"xapi_host": ["127.0.0.1:1"], "xapi_password": "none", "xapi_ca_path": str(lab.ca_path)}
    code, said, rows = report(tmp_path, inventory(tmp_path / "hosts.yml", connection, acme=["shop-0", "shop-1"]))
    assert code != 0
    assert rows == {}
    assert said.count("[ERROR]") <= 1
    assert "127.0.0.1:1" in said
    assert "Traceback" not in said


def test_what_was_used(controller_pool: Pool, tmp_path: Path) -> None:
    pool = controller_pool
    pool.ok("vm", name="shop", tenant="acme", template="Debian Bookworm 12", state="running")
    uuid = pool.record("VM", "shop")["uuid"]
    rrd, now = Rrd(), time.time()
    for before in range(3600, 0, -5):
        rrd.add(now - before, {Source("cpu0", "", ""): 1.0, Source("memory", "", ""): float(1 << 30)})
    pool.lab.run(lambda inside: inside.measurements.vms.update({uuid: rrd}))
    hosts = inventory(tmp_path / "hosts.yml", pool.connection(), acme=["shop", "not-there"])
    code, said, rows = report(tmp_path, hosts, report_engines="false", report_usage_since='"30m"')
    assert code == 0, said
    assert rows["shop"]["usage"]["cpu_seconds"] == pytest.approx(1800, rel=0.05)
    assert rows["not-there"]["usage"] is None
    assert "acme used 0.5 CPU-hours and 0.5 GiB-hours of memory" in said
    assert "acme used 0.5 CPU-hours" in (tmp_path / "report.txt").read_text()
