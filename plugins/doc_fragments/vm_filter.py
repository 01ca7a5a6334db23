# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that choose VMs of a pool."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  names:
    description:
      - VMs of these names, which may be shell patterns such as V(acme-*).
      - A list without patterns is looked for by the pool itself.
    type: list
    elements: str
    default: []
  uuids:
    description:
      - VMs of these UUIDs. Looked for by the pool itself.
    type: list
    elements: str
    default: []
  tenants:
    description:
      - VMs that carry our marks of one of these tenants.
    type: list
    elements: str
    default: []
  inventory_hosts:
    description:
      - VMs that carry our mark of one of these inventory hosts.
    type: list
    elements: str
    default: []
  tags:
    description:
      - VMs that have all of these tags.
    type: list
    elements: str
    default: []
  folder:
    description:
      - VMs in this folder, such as V(/shop/web), or below it. Folders are those of XenCenter, kept in C(other_config).
    type: str
  power_states:
    description:
      - VMs in one of these power states. Looked for by the pool itself.
    type: list
    elements: str
    choices: [running, halted, paused, suspended]
    default: []
  expression:
    description:
      - An expression of XAPI's C(get_all_records_where) that must hold too, such as V(field "ha_restart_priority" = "restart").
        Field names are the database's, with a double underscore for XAPI's namespaces, such as C(name__label) and C(memory__static_max).
        Evaluated by the pool itself.
    type: str
"""
