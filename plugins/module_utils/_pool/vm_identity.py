# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Which VM of a pool is meant: by its marks first, by its name second, and never one that is another's. Pure."""

from __future__ import annotations

import typing as t

from .._errors import HardshellError, OptionError
from . import marks
from .session import Record
from .vm_spec import VmSpec

Records = t.Mapping[str, Record]


def is_vm(record: Record) -> bool:
    """Whether a record is a VM: snapshots and templates are VM records too, and so is each host's control domain."""
    return not (record["is_a_template"] or record["is_a_snapshot"] or record["is_control_domain"])


def is_half_made(spec: VmSpec, record: Record) -> bool:
    """Whether a record is a clone that an interrupted run made for this spec and did not come to mark."""
    named = record["name_label"] == marks.making_name(spec.name, spec.owner)
    clone = record["is_a_template"] or record["power_state"] == "Halted"
    return named and clone and not record["is_a_snapshot"] and not _is_ours(spec, record)


def find_ours(spec: VmSpec, records: Records) -> str | None:
    """The reference of the VM that carries our marks, also where it is still unfinished. Raises ``HardshellError`` for several."""
    ours = [ref for ref, record in records.items() if _is_ours(spec, record) and (is_vm(record) or _is_making(record))]
    if spec.uuid:
        ours = [ref for ref in ours if records[ref]["uuid"] == spec.uuid]
    if len(ours) > 1:
        uuids = ", ".join(records[ref]["uuid"] for ref in ours)
        raise HardshellError(
            f"several VMs carry the marks of {spec.owner}: {uuids}; give uuid, and take the marks off the others"
        )
    return ours[0] if ours else None


def find_to_adopt(spec: VmSpec, records: Records) -> str | None:
    """The reference of the unmarked VM of that name that may be taken over; None where none has the name.

    Raises ``HardshellError`` for one that is not ours to take.
    """
    named = {
        ref: record
        for ref, record in records.items()
        if is_vm(record) and (record["uuid"] == spec.uuid if spec.uuid else record["name_label"] == spec.name)
    }
    if not named:
        if spec.uuid and spec.state != "absent":
            raise OptionError("uuid", spec.uuid, "the pool has no VM with this UUID; leave uuid out to make one")
        return None
    for record in named.values():
        owner = marks.owner_of_vm(record["other_config"], record["uuid"])
        if owner is not None and not spec.owner.owns(record["other_config"]):
            raise HardshellError(
                f"name: the VM {record['name_label']!r} ({record['uuid']}) belongs to {owner}, not to {spec.owner}; choose another name"
            )
    uuids = ", ".join(record["uuid"] for record in named.values())
    if not spec.adopt:
        raise HardshellError(
            f"name: a VM named {spec.name!r} is there ({uuids}) that does not carry the marks of {spec.owner}; "
            "choose another name, or set adopt: true to take it over"
        )
    if len(named) > 1:
        raise OptionError("name", spec.name, f"several VMs are named so; give the uuid of the one to adopt: {uuids}")
    return next(iter(named))


def _is_ours(spec: VmSpec, record: Record) -> bool:
    return marks.owner_of_vm(record["other_config"], record["uuid"]) == spec.owner and not record["is_a_snapshot"]


def _is_making(record: Record) -> bool:
    return marks.MAKING in record["other_config"]
