#!/usr/bin/env python
# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write the conformance table of docs/COMPOSE.md anew from the code's own table. A unit test sees to it that the two agree."""

from __future__ import annotations

import pathlib

from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.keys import (
    KEYS,
    Refused,
    Supported,
    Told,
    WithoutEffect,
)

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "COMPOSE.md"
BEGIN, END = "<!-- table: tests/tools/compose_table.py -->\n", "<!-- end of table -->\n"


def table() -> str:
    """A line for each key, grouped under the top of the file and under services."""
    top = sorted(key for key in KEYS if not key.startswith("services.*."))
    services = sorted(key for key in KEYS if key.startswith("services.*."))
    lines = ["### The top of the file", "", *_rows(top, ""), "", "### A service", "", *_rows(services, "services.*.")]
    return "\n".join(lines) + "\n"


def _rows(keys: list[str], prefix: str) -> list[str]:
    rows = ["| key | here | as what, or what to write instead |", "|---|---|---|"]
    for key in keys:
        answer = KEYS[key]
        if isinstance(answer, Supported):
            cells = ("yes", answer.how)
        elif isinstance(answer, WithoutEffect):
            cells = ("no effect", answer.why)
        elif isinstance(answer, Told):
            cells = ("no effect, told", answer.why)
        elif isinstance(answer, Refused):
            values = " or ".join(f"`{value}`" if value else "an empty text" for value in answer.unless)
            cells = (f"only {values}" if values else "refused", answer.instead)
        rows.append(f"| `{key.removeprefix(prefix)}` | {cells[0]} | {cells[1]} |")
    return rows


def with_table(text: str) -> str:
    """The document with the table as it should be."""
    before, _begin, rest = text.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
