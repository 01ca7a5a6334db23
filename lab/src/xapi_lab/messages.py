# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Messages (alerts): kept beside the database, with a generation of their own, as XAPI does."""

from __future__ import annotations

from typing import Any

from xapi_lab.database import Database, new_ref, new_uuid
from xapi_lab.errors import XapiError, handle_invalid
from xapi_lab.values import DateTime, now

MOST_MESSAGES = 10_000


class Messages:
    def __init__(self, database: Database) -> None:
        self._database = database
        self.generation = 0
        self._records: dict[str, tuple[int, dict[str, Any]]] = {}
        self._deleted: list[tuple[int, str]] = []
        self.unsaved = False

    def create(self, name: str, priority: int, class_name: str, obj_uuid: str, body: str) -> str:
        ref = new_ref()
        self.generation += 1
        self._records[ref] = (
            self.generation,
            {"uuid": new_uuid(), "name": name, "priority": priority, "cls": class_name, "obj_uuid": obj_uuid,
             "timestamp": now(), "body": body},
        )  # fmt: skip
        for surplus in list(self._records)[:-MOST_MESSAGES]:
            self.destroy(surplus)
        self._changed()
        return ref

    def destroy(self, ref: str) -> None:
        if ref not in self._records:
            raise handle_invalid("message", ref)
        del self._records[ref]
        self.generation += 1
        self._deleted.append((self.generation, ref))
        self._changed()

    def record(self, ref: str) -> dict[str, Any]:
        if ref not in self._records:
            raise handle_invalid("message", ref)
        return self._records[ref][1]

    def records(self, since: str = "") -> dict[str, dict[str, Any]]:
        """Newest first, those after a point in time."""
        return {ref: record for ref, (_, record) in reversed(self._records.items()) if record["timestamp"] > since}

    def by_uuid(self, uuid: str) -> str:
        for ref, (_, record) in self._records.items():
            if record["uuid"] == uuid:
                return ref
        raise XapiError("UUID_INVALID", "message", uuid)

    def added_since(self, generation: int) -> list[tuple[str, dict[str, Any]]]:
        return [(ref, record) for ref, (made, record) in self._records.items() if made > generation]

    def deleted_since(self, generation: int) -> list[str]:
        return [ref for deleted, ref in self._deleted if deleted > generation]

    def __len__(self) -> int:
        return len(self._records)

    def dump(self) -> list[Any]:
        return [[ref, made, record] for ref, (made, record) in self._records.items()]

    def load(self, saved: list[Any]) -> None:
        for ref, made, record in saved:
            record["timestamp"] = DateTime(record["timestamp"])
            self._records[ref] = (made, record)
            self.generation = max(self.generation, made)

    def _changed(self) -> None:
        self.unsaved = True
        self._database.on_change()
