# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``site.yml`` as it is, over VMs that run: from nothing to linked containers, and then no change."""

from __future__ import annotations

import urllib.request

import pytest

from .conftest import Fleet

pytestmark = pytest.mark.engine


def test_tenants_converge_and_a_second_run_changes_nothing(vms: Fleet) -> None:
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
