# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""All records of a pool as a file: JSON, written by the lab, or the XML that `xe pool-dump-database` writes.

The JSON is an object of classes, each an object of records by reference, as get_all_records gives them. The XML has a
table a class and a row an object; fields are attributes under their names in XAPI's database, sets and maps
S-expressions, and white space is protected by a percent sign (db_xml.ml, xml_spaces.ml, sExpr.ml).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from xapi_lab.database import NOT_STORED, Database, Record
from xapi_lab.errors import XapiError
from xapi_lab.model import Class, Model
from xapi_lab.model.types import Type
from xapi_lab.values import DateTime, decode

Records = dict[str, dict[str, Record]]
"""Records by class and reference."""
_PROTECTED = {"%.": " ", "%t": "\t", "%n": "\n", "%r": "\r", "%%": "%"}
_TOKEN = re.compile(r"\s*(?:([()])|'((?:[^'\\]|\\.)*)'|([^\s()']+))", re.DOTALL)


class RecordSetError(Exception):
    """The file is no record set; the message says where and why."""


def write(database: Database, path: Path) -> int:
    """Save all objects but sessions and tasks; returns how many. Raises RecordSetError."""
    records = {
        name: dict(database.records(name))
        for name in database.model.classes
        if name not in NOT_STORED and database.tables[name]
    }
    try:
        path.write_text(json.dumps(records, indent=1) + "\n")
    except OSError as error:
        raise RecordSetError(f"{path} cannot be written: {error.strerror}") from None
    return sum(len(of_class) for of_class in records.values())


def read(model: Model, path: Path) -> tuple[Records, list[str]]:
    """The records in a file, and which of its values were of no use; raises RecordSetError."""
    try:
        text = path.read_bytes()
        source = _from_dump(model, text) if text.lstrip()[:1] == b"<" else _from_json(text)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise RecordSetError(f"{path}: {error}") from None
    records: Records = {}
    unread: list[str] = []
    for class_name, of_class in source.items():
        class_ = model.classes.get(class_name)
        if class_ is None:
            unread.append(class_name)
        elif class_name not in NOT_STORED:
            records[class_name] = {ref: _typed(class_, record, unread) for ref, record in of_class.items()}
    return records, sorted(set(unread))


def _typed(class_: Class, source: dict[str, Any], unread: list[str]) -> Record:
    record: Record = {}
    for name, value in source.items():
        field = class_.fields.get(name)
        try:
            if field is None:
                raise KeyError(name)
            record[name] = decode(field.type, value)
        except (KeyError, XapiError):
            unread.append(f"{class_.name}.{name}")
    return record


def _from_json(text: bytes) -> dict[str, dict[str, Any]]:
    source = json.loads(text)
    if not isinstance(source, dict) or not all(
        isinstance(of_class, dict) and all(isinstance(record, dict) for record in of_class.values())
        for of_class in source.values()
    ):
        raise ValueError("an object of classes is needed, each an object of records by reference")
    return source


# --- the database's own XML


def _from_dump(model: Model, text: bytes) -> dict[str, dict[str, Any]]:
    root = ElementTree.fromstring(text)
    if root.tag != "database":
        raise ValueError(f"the XML is a {root.tag!r}, not the 'database' that xe pool-dump-database writes")
    found: dict[str, dict[str, Any]] = {}
    for table in root.findall("table"):
        class_ = model.classes.get(table.get("name", ""))
        if class_ is not None:
            rows = {
                row.attrib["ref"]: _record(class_, row.attrib) for row in table.findall("row") if "ref" in row.attrib
            }
            found[class_.name] = rows
    return found


def _record(class_: Class, attributes: dict[str, str]) -> dict[str, Any]:
    return {
        name: _value(field.type, _unprotected(attributes[field.database_name]))
        for name, field in class_.fields.items()
        if field.database_name in attributes
    }


def _unprotected(text: str) -> str:
    return re.sub("%[.tnr%]", lambda match: _PROTECTED[match.group()], text) if "%" in text else text


def _value(type_: Type, text: str) -> Any:
    """A database value as the wire would have it; left as text when it is not what its type says."""
    if type_.kind == "bool" and text in {"true", "false"}:
        return text == "true"
    if type_.kind == "datetime":
        return DateTime(text)
    if type_.kind == "set" and type_.item is not None:
        return [_value(type_.item, str(item)) for item in parse_expression(text)]
    if type_.kind == "map" and type_.item is not None:
        return {str(pair[0]): _value(type_.item, str(pair[1])) for pair in parse_expression(text) if len(pair) == 2}
    return text


def parse_expression(text: str) -> list[Any]:
    """An S-expression such as ``('a' 'b')`` or ``(('key' 'value'))`` as nested lists; raises ValueError."""
    tokens = _tokens(text)
    if next(tokens, None) != "(":
        raise ValueError(f"{text[:40]!r} is no set or map")
    items: list[Any] = []
    open_lists = [items]
    for token in tokens:
        if token == "(":
            inner: list[Any] = []
            open_lists[-1].append(inner)
            open_lists.append(inner)
        elif token == ")":
            open_lists.pop()
            if not open_lists:
                return items
        else:
            open_lists[-1].append(token[1:])
    raise ValueError(f"{text[:40]!r} has no end")


def _tokens(text: str) -> Iterator[str]:
    """Brackets as they are, strings behind a quote."""
    position = 0
    while (match := _TOKEN.match(text, position)) is not None:
        position = match.end()
        bracket, quoted, bare = match.groups()
        yield bracket or "'" + (re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else bare)
