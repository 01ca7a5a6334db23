# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Types of the data model, read from their names, such as `VBD ref set` or `(string -> int) map`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Type:
    """`kind` is string, int, bool, float, datetime, void, ref, enum, set, map, record or other."""

    kind: str
    class_name: str = ""
    members: tuple[str, ...] = ()
    item: Type | None = None
    key: Type | None = None


_PLAIN = {name: Type(name) for name in ("string", "int", "bool", "float", "datetime", "void")}


def parse(name: str, enums: dict[str, list[str]]) -> Type:
    """The type called `name`."""
    name = name.strip()
    if name in _PLAIN:
        return _PLAIN[name]
    if name.endswith(" map"):
        key, item = name[:-4].strip()[1:-1].split(" -> ", 1)
        return Type("map", key=parse(key, enums), item=parse(item, enums))
    if name.endswith(" set"):
        return Type("set", item=parse(name[:-4], enums))
    if name.endswith(" ref"):
        return Type("ref", class_name=name[:-4])
    if name.endswith(" record"):
        return Type("record", class_name=name[:-7])
    if name.startswith("enum "):
        return Type("enum", members=tuple(enums.get(name[5:], ())))
    return Type("other")
