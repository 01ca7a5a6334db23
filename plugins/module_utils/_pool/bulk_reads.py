# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Reading a pool in bulk: the same few calls however many objects there are."""

from __future__ import annotations

import typing as t

from .pool_facts import Pool, pool_from_records
from .session import Session

Records = dict[str, dict[str, t.Any]]

POOL_CLASSES = ("pool", "sr", "network", "host", "vm_group", "vm_appliance")


def field_is(field: str, *values: str) -> str:
    """An expression of ``get_all_records_where``: the database's field has one of the values. No value may hold a double quote."""
    return " or ".join(f'(field "{field}" = "{value}")' for value in values) or "false"


def records_where(session: Session, class_name: str, expression: str) -> Records:
    """The records of one class for which an expression holds, by reference."""
    found: Records = session.call(
        f"{class_name}.get_all_records_where", expression, asked=f"look for {class_name} records"
    )
    return found


def snapshot_of(session: Session, *classes: str) -> dict[str, Records]:
    """The present records of whole classes (``sr``) and single objects (``vbd/OpaqueRef:...``), in one call, by class in lower case."""
    answer = session.call("event.from", list(classes), "", 1.0, asked="look at the pool")
    found: dict[str, Records] = {}
    for event in answer["events"]:
        if event["operation"] != "del":
            found.setdefault(event["class"], {})[event["ref"]] = event["snapshot"]
    return found


def read_pool(session: Session) -> Pool:
    """What the pool offers to VMs."""
    return pool_from_records(snapshot_of(session, *POOL_CLASSES))


def held_elsewhere(session: Session, pool: Pool, vdis: Records, vbds: Records) -> frozenset[str]:
    """Which of ``vdis`` have a VBD that is not among ``vbds``. One of a control domain does not count: XAPI makes it while it writes."""
    unknown = sorted(vbd for vdi in vdis.values() for vbd in vdi["VBDs"] if vbd not in vbds)
    if not unknown:
        return frozenset()
    others = records_where(session, "VBD", field_is("_ref", *unknown))
    return frozenset(vbd["VDI"] for vbd in others.values() if vbd["VM"] not in pool.control_domains)
