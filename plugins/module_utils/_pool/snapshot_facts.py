# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Snapshots of a VM, as a pool holds them. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import marks
from .session import Record
from .times import iso_time


@dataclass(frozen=True)
class Snapshot:
    """A snapshot. ``taken`` is in ISO 8601; ``memory``: it holds the running state too; ``ours``: it was made here.

    What only the pool can know is empty for one that is to be made.
    """

    name: str
    description: str = ""
    memory: bool = False
    uuid: str = ""
    taken: str = ""
    ref: str | None = None
    ours: bool = False

    def facts(self) -> dict[str, t.Any]:
        return {
            "name": self.name,
            "uuid": self.uuid or None,
            "description": self.description,
            "taken": self.taken or None,
            "memory": self.memory,
        }


def snapshots_of(records: t.Mapping[str, Record]) -> tuple[Snapshot, ...]:
    """The snapshots that some VM records are, the oldest first."""
    found = (
        Snapshot(
            name=record["name_label"],
            description=record["name_description"],
            memory=record["power_state"] == "Suspended",
            uuid=record["uuid"],
            taken=iso_time(record["snapshot_time"]),
            ref=ref,
            ours=marks.SNAPSHOT in record["other_config"],
        )
        for ref, record in records.items()
    )
    return tuple(sorted(found, key=lambda snapshot: (snapshot.taken, snapshot.uuid)))
