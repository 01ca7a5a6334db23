# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks of daily work, run for real against a pool without machines: rolling_update, drift, snapshot, rollback."""

from __future__ import annotations

import re
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml

if t.TYPE_CHECKING:
    from conftest import Pool


class Playbooks:
    """Three halted VMs of one tenant in an inventory."""

    def __init__(self, pool: Pool, folder: Path) -> None:
        self._folder = folder
        self._hosts: dict[str, dict[str, t.Any]] = {f"shop-{number}": {} for number in (1, 2, 3)}
        self._variables = {
            **pool.connection(),
            "tenant_name": "acme",
            "tenant_owner": "shop@acme.example",
            "vm_template": "Debian Bookworm 12",
            "vm_state": "halted",
        }

    def define(self, host: str, **variables: t.Any) -> None:
        self._hosts[host].update(variables)

    def run(self, playbook: str, *flags: str) -> tuple[int, str, dict[str, int]]:
        """Exit status, output, and the changed tasks of each host that took part."""
        (self._folder / "hosts.yml").write_text(
            yaml.safe_dump({"acme": {"vars": self._variables, "hosts": self._hosts}})
        )
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            f"hardshell.xen.{playbook}",
            "-i",
            "hosts.yml",
        ]
        done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False, cwd=self._folder)
        output = done.stdout + done.stderr
        changed = {
            host: int(count) for host, count in re.findall(r"^([\w-]+)\s+: ok=\d+\s+changed=(\d+)", output, re.M)
        }
        changed.pop("localhost", None)
        return done.returncode, output, changed


def test_vms_are_converged_one_after_another_until_one_fails(controller_pool: Pool, tmp_path: Path) -> None:
    playbooks = Playbooks(controller_pool, tmp_path)
    playbooks.define("shop-2", vm_template="No such template")
    code, output, changed = playbooks.run("rolling_update")
    assert code != 0
    assert "No such template" in output
    assert changed == {"shop-1": 1, "shop-2": 0}, output
    playbooks.define("shop-2", vm_template="Debian Bookworm 12")
    code, output, changed = playbooks.run("rolling_update", "-e", "rolling_update_serial=2")
    assert (code, changed) == (0, {"shop-1": 0, "shop-2": 1, "shop-3": 1}), output


def test_each_batch_is_held_against_the_quota_with_one_login(controller_pool: Pool, tmp_path: Path) -> None:
    pool, playbooks = controller_pool, Playbooks(controller_pool, tmp_path)
    pool.lab.reset_calls()
    code, output, changed = playbooks.run("rolling_update", "-e", '{"tenant_quota": {"vms": 2}}')
    assert code != 0
    assert changed == {"shop-1": 1, "shop-2": 1, "shop-3": 0}, output
    assert re.search(r"acme +vms +2 +2 +1 +1", output), output
    assert pool.calls()["session.login_with_password"] == 3


def test_drift_is_told_and_not_mended(controller_pool: Pool, tmp_path: Path) -> None:
    pool, playbooks = controller_pool, Playbooks(controller_pool, tmp_path)
    assert playbooks.run("site")[0] == 0
    pool.lab.reset_calls()
    code, output, _changed = playbooks.run("drift")
    assert code != 0
    assert "is run with --check" in output
    assert pool.calls() == {}
    pool.call("VM.set_name_description", pool.ref("VM", "shop-2"), "changed by hand")
    code, output, _changed = playbooks.run("drift", "--check", "-e", "drift_fails=true")
    assert code != 0
    assert "shop-2 is not as its definition says: 1 differences" in output
    assert "changed by hand" in output
    assert "shop-1 is not" not in output
    assert pool.record("VM", "shop-2")["name_description"] == "changed by hand"


def test_snapshots_are_taken_and_gone_back_to(controller_pool: Pool, tmp_path: Path) -> None:
    pool, playbooks = controller_pool, Playbooks(controller_pool, tmp_path)
    for name in ("shop-1", "shop-2", "shop-3"):
        pool.ok("vm", name=name, tenant="acme", template="Debian Bookworm 12", state="halted")
    assert playbooks.run("snapshot", "-e", "snapshot_name=before")[2] == {"shop-1": 1, "shop-2": 1, "shop-3": 1}
    pool.call("VM.set_name_description", pool.ref("VM", "shop-2"), "changed since")
    assert "--limit" in playbooks.run("rollback", "-e", "rollback_snapshot=before")[1]
    code, output, changed = playbooks.run("rollback", "-e", "rollback_snapshot=before", "--limit", "shop-2")
    assert (code, changed) == (0, {"shop-2": 1}), output
    assert pool.record("VM", "shop-2")["name_description"] == ""
