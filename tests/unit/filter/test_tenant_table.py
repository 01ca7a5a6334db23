# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.hardshell.xen.plugins.filter.tenant_table import tenant_table

WEB = {
    "name": "web",
    "image": "web:1",
    "state": "running",
    "health": "healthy",
    "links": ["api"],
    "ports": ["80->80/tcp"],
}
API = {"name": "api", "image": "api:1", "state": "exited"}


def row(**changed: object) -> dict[str, object]:
    return {
        "tenant": "acme", "vm": "shop", "host": "xen-1", "vcpus": 2, "memory": 1024**3, "address": "192.0.2.7",
        "state": "running", "containers": [WEB, API], **changed,
    }  # fmt: skip


def cells(line: str) -> list[str]:
    return [cell for cell in line.split("  ") if cell]


def test_a_vm_stands_once_and_its_containers_below_each_other() -> None:
    header, first, second = tenant_table([row()]).splitlines()
    assert first.startswith("acme")
    assert "running, healthy" in first
    assert second.strip().startswith("api")
    assert second.index("api") == header.index("CONTAINER")


def test_what_is_not_known_is_a_dash() -> None:
    line = tenant_table([row(address="", memory=None, containers=[])]).splitlines()[1]
    assert [cell.strip() for cell in line.split()].count("-") == 7


def test_rows_are_sorted_by_tenant_and_vm() -> None:
    lines = tenant_table([row(tenant="globex"), row(vm="b"), row(vm="a")]).splitlines()
    starts = [line.split()[:2] for line in lines if not line.startswith(" ")][1:]
    assert starts == [["acme", "a"], ["acme", "b"], ["globex", "shop"]]


@pytest.mark.parametrize(
    ("size", "shown"), [(1024**3, "1 GiB"), (768 * 1024**2, "768 MiB"), (1000, "1000 B"), (5 * 1024**4, "5 TiB")]
)
def test_memory_is_shown_in_the_largest_unit_that_divides_it(size: int, shown: str) -> None:
    assert shown in tenant_table([row(memory=size)])


@pytest.mark.parametrize("wrong", [None, "text", [1], {"a": 1}])
def test_other_input_is_refused(wrong: object) -> None:
    with pytest.raises(AnsibleFilterError, match="list of mappings"):
        tenant_table(wrong)
