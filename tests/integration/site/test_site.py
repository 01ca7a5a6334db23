# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``site.yml`` as it is, over VMs that run: from nothing to linked containers, and then no change."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from ..engine.sshd import Server, run_sshd
from .conftest import Fleet

pytestmark = pytest.mark.engine


def _way(jump: Server) -> list[str]:
    """The options of ssh to a guest that a jump host leads to."""
    known = jump.directory / "known_hosts"
    known.write_text(f"[127.0.0.1]:{jump.port} {jump.host_key}\n")
    way = f"ssh -i {jump.key} -o UserKnownHostsFile={known} -p {jump.port} -W %h:%p root@127.0.0.1"
    return [f"ProxyCommand={way}"]


def _entered(jump: Server) -> int:
    return (jump.directory / "log").read_text().count("Accepted publickey")


def test_tenants_converge_and_a_second_run_changes_nothing(vms: Fleet, tmp_path: Path) -> None:
    changed, output = vms.play("site")
    assert all(changed[name] > 0 for name in vms.names), output
    for name in vms.names:
        with urllib.request.urlopen(f"http://{vms.address(name)}:8080/hello", timeout=10) as answer:
            assert answer.read() == b"hello"
        assert vms.published(name) == {f"{name}_web": "Up", f"{name}_store": "Up"}
    assert vms.in_containers("cat /etc/hello") == {
        f"{name}_{member}": "hello" for name in vms.names for member in ("web", "store")
    }
    again, output = vms.play("site")
    assert set(again.values()) == {0}, output
    vms.forget_published(vms.names[1])
    told, output = vms.play("site", "--limit", vms.names[1])
    assert told[vms.names[1]] == 2, output
    assert vms.published(vms.names[1]) == {f"{vms.names[1]}_web": "Up", f"{vms.names[1]}_store": "Up"}
    assert set(vms.play("site")[0].values()) == {0}
    stopped, output = vms.play("site", "--limit", vms.names[0], "-e", "vm_state=halted")
    assert stopped[vms.names[0]] == 2, output
    assert vms.published(vms.names[0]) == {}
    assert vms.published(vms.names[1]) != {}
    for name in ("for_ansible", "for_docker"):
        (tmp_path / name).mkdir()
    with run_sshd(tmp_path / "for_ansible") as ansible, run_sshd(tmp_path / "for_docker") as docker:
        ways = json.dumps({"vm_ssh_options": _way(ansible), "container_set_ssh_options": _way(docker)})
        started, output = vms.play("site", "--limit", vms.names[0], "-e", ways)
        assert started[vms.names[0]] > 0, output
        assert vms.published(vms.names[0]) != {}
        assert (_entered(ansible) > 0, _entered(docker) > 0) == (True, True), output
        before = _entered(ansible)
        _, output = vms.play("report", "--limit", vms.names[0], "-e", ways)
        assert _entered(ansible) > before, output
