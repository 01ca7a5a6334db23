# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers as inventory hosts, reached through their VMs."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.plugin_utils._inventory_containers import container_hosts
from ansible_collections.hardshell.xen.plugins.plugin_utils._inventory_hosts import Host


def vm(name: str, *containers: dict[str, t.Any], tenant: str | None = "acme") -> Host:
    variables = {
        "xapi_vm": {"uuid": f"uuid-of-{name}", "tenant": tenant},
        "xapi_pool": "p",
        "ansible_host": "10.0.0.5",
        "xapi_containers": list(containers),
    }
    return Host(name, variables, (f"tenant_{tenant}",))


def container(name: str, **changed: t.Any) -> dict[str, t.Any]:
    return {"id": "5f1c2a" * 10, "name": name, "image": "box:1", "state": "running", **changed}


def test_a_container_is_reached_through_its_vm_and_is_in_none_of_its_groups() -> None:
    (web,) = container_hosts([vm("acme-shop", container("acme-shop_web"))])
    assert web.name == "acme-shop_web"
    assert web.groups == ("containers", "container_vm_acme_shop", "container_image_box_1", "container_tenant_acme")
    assert web.variables["ansible_host"] == "10.0.0.5"
    assert web.variables["ansible_become_exe"] == "docker exec -i " + "5f1c2a" * 10
    assert web.variables["xapi_container_vm"] == "acme-shop"


@pytest.mark.parametrize("changed", [{"state": "exited"}, {"id": "web; reboot"}, {"id": ""}])
def test_what_does_not_run_or_has_no_plain_id_is_no_host(changed: dict[str, str]) -> None:
    assert container_hosts([vm("acme-shop", container("web", **changed))]) == ()


def test_names_do_not_clash_with_each_other_or_with_vms() -> None:
    same = [container("web", id=letter * 64) for letter in "ab"]
    hosts = container_hosts(
        [vm("shop", *same), vm("shop_db", container("x")), vm("wiki", container("web"), tenant=None)]
    )
    clashing = container_hosts([vm("shop", container("db", id="c" * 64)), vm("shop_db")])
    assert [host.name for host in hosts] == ["shop_web_aaaaaaaa", "shop_web_bbbbbbbb", "shop_db_x", "wiki_web"]
    assert [host.name for host in clashing] == ["shop_db_cccccccc"]
