# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A table for people: tenant, VM, containers."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: tenant_table
short_description: A table of tenants, their VMs and the containers in them
version_added: 0.1.0
author:
  - hardshell.xen contributors (@hardshell)
description:
  - Renders rows of VMs and their containers as text for a terminal. A VM's own columns stand once, its containers below each other.
options:
  _input:
    description:
      - One mapping a VM, with the keys C(tenant), C(vm), C(host), C(vcpus), C(memory) (bytes), C(address), C(state) and C(containers).
      - C(containers) is a list of mappings with the keys C(name), C(image), C(state), C(health), C(links) and C(ports). Missing values are shown as a dash.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what runs where
  ansible.builtin.debug:
    msg: "{{ (rows | hardshell.xen.tenant_table).splitlines() }}"
  vars:
    rows:
      - tenant: acme
        vm: acme-shop
        host: xen-1
        vcpus: 2
        memory: 1073741824
        address: 192.0.2.17
        state: running
        containers:
          - {name: web, image: "shop-web:1.4", state: running, health: healthy, links: [api], ports: ["8080->80/tcp"]}
"""

RETURN = r"""
_value:
  description: The table, lines separated by newlines.
  type: str
"""

COLUMNS = (
    "TENANT", "VM", "HOST", "VCPUS", "MEMORY", "ADDRESS", "STATE", "CONTAINER", "IMAGE", "CONTAINER STATE", "LINKS", "PORTS",
)  # fmt: skip
VM_COLUMNS = 7


def _size(value: t.Any) -> str:
    """Bytes as the largest binary unit that divides them: 805306368 is 768 MiB."""
    if not value:
        return "-"
    size = int(value)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size % 1024 or unit == "TiB":
            return f"{size} {unit}"
        size //= 1024
    raise AssertionError("unreachable: the last unit returns")


def _cell(value: t.Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "-"
    return "-" if value in (None, "") else str(value)


def _container_cells(container: t.Mapping[str, t.Any]) -> list[str]:
    state = [part for part in (container.get("state"), container.get("health")) if part]
    return [
        _cell(container.get("name")),
        _cell(container.get("image")),
        _cell(", ".join(state)),
        _cell(container.get("links")),
        _cell(container.get("ports")),
    ]


def _lines_of_vm(row: t.Mapping[str, t.Any]) -> list[list[str]]:
    vm = [_cell(row.get(key)) for key in ("tenant", "vm", "host", "vcpus")]
    vm += [_size(row.get("memory")), _cell(row.get("address")), _cell(row.get("state"))]
    containers = [_container_cells(container) for container in row.get("containers") or [{}]]
    return [vm + containers[0]] + [[""] * VM_COLUMNS + cells for cells in containers[1:]]


def tenant_table(rows: t.Any) -> str:
    """The table of ``rows``; raises AnsibleFilterError where they are no list of mappings."""
    if not isinstance(rows, (list, tuple)) or not all(isinstance(row, dict) for row in rows):
        raise AnsibleFilterError("tenant_table takes a list of mappings, one a VM")
    lines = [list(COLUMNS)]
    for row in sorted(rows, key=lambda row: (str(row.get("tenant")), str(row.get("vm")))):
        lines += _lines_of_vm(row)
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


class FilterModule:
    """The collection's table filter."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"tenant_table": tenant_table}
