# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What must hold of a lab whatever its clients have sent: references resolve, both sides of a relation agree, events work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from xapi_lab.database import BACK_REFERENCES
from xapi_lab.lab import Lab as RunningLab
from xapi_lab.model.types import Type
from xapi_lab.testing import Lab

NULL = "OpaqueRef:NULL"
PYTHON_TEXT = re.compile(
    r"Traceback|the lab failed|got itself in trouble|NoneType|\b\w*(?:Key|Type|Value|Index|Attribute|Assertion|Runtime|Recursion|Unicode\w*)Error\b"
    r"|object has no|not subscriptable|unhashable|<class '"
)
"""What a Python program says when it breaks."""
MAY_OUTLIVE_ITS_TARGET = {
    ("VM", "snapshot_of"), ("VDI", "snapshot_of"), ("VM", "parent"), ("VM", "affinity"), ("VM", "suspend_SR"),
    ("VM", "appliance"), ("VM", "groups"), ("VM", "snapshot_schedule"), ("VM", "protection_policy"),
    ("VM", "suspend_VDI"), ("pool", "default_SR"), ("pool", "suspend_image_SR"), ("pool", "crash_dump_SR"), ("host", "suspend_image_sr"),
    ("host", "crash_dump_sr"), ("task", "subtask_of"), ("session", "subject"),
}  # fmt: skip
"""Fields that XAPI keeps when what they point to has gone; those that are RW take any reference from a client besides."""


def broken_rules(lab: Lab) -> list[str]:
    """The rules that the lab's state breaks, as sentences; empty when it is sound."""
    return lab.run(lambda running: [*_dangling(running), *_one_sided(running)])


def _refs(type_: Type, value: Any) -> Iterator[tuple[str, str]]:
    if type_.kind == "ref":
        yield type_.class_name, value
    elif type_.kind == "set" and type_.item is not None:
        for item in value:
            yield from _refs(type_.item, item)
    elif type_.kind == "map" and type_.item is not None and type_.key is not None:
        for key, item in value.items():
            yield from _refs(type_.key, key)
            yield from _refs(type_.item, item)


def _dangling(lab: RunningLab) -> Iterator[str]:
    database = lab.database
    for class_name, class_ in lab.model.classes.items():
        for ref, record in database.records(class_name):
            if record.keys() != class_.fields.keys():
                yield f"{class_name} {ref} lacks {class_.fields.keys() - record.keys()}"
            for name, field in class_.fields.items():
                if field.qualifier == "RW" or (class_name, name) in MAY_OUTLIVE_ITS_TARGET:
                    continue
                for target_class, target in _refs(field.type, record[name]):
                    if target not in {NULL, ""} and target not in database.tables[target_class]:
                        yield f"{class_name}.{name} of {ref} points to {target_class} {target}, which is gone"


def _one_sided(lab: RunningLab) -> Iterator[str]:
    tables = lab.database.tables
    for one_class, one_field, many_class, many_field in BACK_REFERENCES:
        found: dict[str, set[str]] = {}
        for ref, row in tables[many_class].items():
            value = row.record[many_field]
            for target in value if isinstance(value, list) else [value]:
                found.setdefault(target, set()).add(ref)
        for ref, row in tables[one_class].items():
            listed = set(row.record[one_field])
            if listed != found.get(ref, set()):
                yield f"{one_class}.{one_field} of {ref} differs from {many_class}.{many_field}"


def events_agree(api: Any, lab: Lab) -> list[str]:
    """Where a client that reads all events would see other objects than the lab has; `api` as in api_client."""
    silent = {"session", "user", "event", "message"}
    told: dict[str, set[str]] = {}
    for event in api("event.from", ["*"], "", 1.0)["events"]:
        assert event["operation"] == "add", event
        told.setdefault(event["class"], set()).add(event["ref"])
    tables = lab.run(lambda running: {name: set(table) for name, table in running.database.tables.items()})
    return [
        f"events of {name}: {len(told.get(name.lower(), set()))}, objects: {len(refs)}"
        for name, refs in tables.items()
        if name not in silent | {"task"} and told.get(name.lower(), set()) != refs
    ]
