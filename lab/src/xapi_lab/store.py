# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The database on disk: an SQLite file in WAL mode that every change reaches before its call is answered."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from xapi_lab.database import NOT_STORED, Database
from xapi_lab.values import DateTime

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    class TEXT, ref TEXT, created INTEGER, modified INTEGER, record TEXT, PRIMARY KEY (class, ref)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


class Store:
    """Saves a Database and small values of the lab's own."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def load(self, database: Database) -> bool:
        """Fill an empty database; False when nothing was ever saved."""
        rows = self._connection.execute("SELECT class, ref, created, modified, record FROM objects").fetchall()
        for class_name, ref, created, modified, text in sorted(rows, key=lambda row: row[2]):
            if class_name in database.tables:
                database.load(class_name, ref, self._decode(database, class_name, text), created, modified)
        database.loaded(int(self.get("generation", 1)))
        return bool(rows)

    def save(self, database: Database) -> None:
        """Write what has changed since the last save, as one transaction."""
        if not database.unsaved:
            return
        database.settle()
        unsaved, database.unsaved = list(database.unsaved), {}
        execute = self._connection.execute
        execute("BEGIN")
        for class_name, ref in unsaved:
            if class_name in NOT_STORED:
                continue
            row = database.tables[class_name].get(ref)
            if row is None:
                execute("DELETE FROM objects WHERE class = ? AND ref = ?", (class_name, ref))
            else:
                execute(
                    "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
                    (class_name, ref, row.created, row.modified, json.dumps(row.record)),
                )
        execute("INSERT OR REPLACE INTO state VALUES ('generation', ?)", (json.dumps(database.generation),))
        execute("COMMIT")

    def get(self, key: str, default: Any) -> Any:
        row = self._connection.execute("SELECT value FROM state WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else default

    def put(self, key: str, value: Any) -> None:
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, json.dumps(value)))

    def close(self) -> None:
        self._connection.close()

    @staticmethod
    def _decode(database: Database, class_name: str, text: str) -> dict[str, Any]:
        record: dict[str, Any] = json.loads(text)
        for name, field in database.model.classes[class_name].fields.items():
            if field.type.kind == "datetime" and name in record:
                record[name] = DateTime(record[name])
        return record
