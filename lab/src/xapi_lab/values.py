# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""XAPI's values: how they look in Python, and how a client's values become them.

string, enum and ref are str; int, bool and float are themselves; datetime is DateTime; a set is a list, a map a dict
with string keys, a record a dict. Wrong types are reported with the texts of XAPI's own unmarshaller.
"""

from __future__ import annotations

import datetime as _datetime
import re
import time
from typing import Any

from xapi_lab.errors import internal_error
from xapi_lab.model.types import Type

NULL = "OpaqueRef:NULL"


class DateTime(str):
    """A point in time in XAPI's compact form, such as 20240131T09:05:07Z."""

    __slots__ = ()


class WireInt(int):
    """An int that XML-RPC carries as <i4>; XAPI sends only event.from's counts so."""


EPOCH = DateTime("19700101T00:00:00Z")


def now() -> DateTime:
    return DateTime(time.strftime("%Y%m%dT%H:%M:%SZ", time.gmtime()))


def from_timestamp(seconds: float) -> DateTime:
    return DateTime(time.strftime("%Y%m%dT%H:%M:%SZ", time.gmtime(seconds)))


def describe(value: Any) -> str:
    """A value as XAPI's unmarshaller prints it in its complaints."""
    if value is None:
        return "N"
    if isinstance(value, bool):
        return f"B({'true' if value else 'false'})"
    if isinstance(value, DateTime):
        return f"D({value})"
    if isinstance(value, int):
        return f"I({value})"
    if isinstance(value, float):
        return f"F({value:g})"
    if isinstance(value, list):
        return "[" + ";".join(describe(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ";".join(f"{key}:{describe(item)}" for key, item in value.items()) + "}"
    return f"S({value})"


def _failure(text: str) -> Exception:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return internal_error(f'Failure("{quoted}")')


_INT = re.compile(r"[+-]?(0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)\Z")
_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:T(\d{2}):?(\d{2}):?(\d{2})(?:\.\d+)?(Z|[+-]\d{2}:?\d{2})?)?\Z")


def _decode_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str) or isinstance(value, DateTime):
        raise _failure(f"Expected int64, got '{describe(value)}'")
    if not _INT.match(value):
        raise _failure("Int64.of_string")
    sign = -1 if value.startswith("-") else 1
    digits = value.lstrip("+-").replace("_", "")
    number = sign * int(digits, 0 if digits[:2].lower() in {"0x", "0o", "0b"} else 10)
    if not -(2**63) <= number < 2**63:
        raise _failure("Int64.of_string")
    return number


def _decode_float(value: Any) -> float:
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        raise _failure(f"Expected float, got '{describe(value)}'")
    try:
        return float(value)
    except ValueError:
        raise _failure("float_of_string") from None


def _decode_string(value: Any) -> str:
    if not isinstance(value, str) or isinstance(value, DateTime):
        raise _failure(f"Expected string, got '{describe(value)}'")
    return value


def _decode_bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _failure(f"Expected bool, got '{describe(value)}'")
    return value


def _decode_datetime(value: Any) -> DateTime:
    if not isinstance(value, str):
        raise _failure(f"Expected datetime, got '{describe(value)}'")
    match = _DATE.match(value)
    if not match:
        raise internal_error(f"Invalid argument: Clock__Date.of_iso8601: {value}")
    year, month, day, hour, minute, second, zone = match.groups()
    try:
        moment = _datetime.datetime(
            int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0), tzinfo=_datetime.UTC
        )
    except ValueError:
        raise internal_error(f"Invalid argument: Clock__Date.of_iso8601: {value}") from None
    if zone and zone != "Z":
        offset = _datetime.timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        moment = moment - offset if zone[0] == "+" else moment + offset
    return DateTime(moment.strftime("%Y%m%dT%H:%M:%SZ"))


def _decode_enum(type_: Type, value: Any) -> str:
    text = _decode_string(value)
    for member in type_.members:
        if member == text:
            return member
    for member in type_.members:
        if member.lower() == text.lower():
            return member
    raise _failure("Unknown tag/contents")


def decode(type_: Type, value: Any) -> Any:
    """A client's value as a value of `type_`; raises INTERNAL_ERROR as XAPI does when it is none."""
    kind = type_.kind
    if kind in {"string", "ref"}:
        return _decode_string(value)
    if kind == "int":
        return _decode_int(value)
    if kind == "bool":
        return _decode_bool(value)
    if kind == "float":
        return _decode_float(value)
    if kind == "datetime":
        return _decode_datetime(value)
    if kind == "enum":
        return _decode_enum(type_, value)
    if kind == "set":
        if not isinstance(value, list):
            raise _failure(f"Expecting Rpc.Enum, but found '{describe(value)}'")
        assert type_.item is not None
        return [decode(type_.item, item) for item in value]
    if kind == "map":
        if not isinstance(value, dict):
            raise _failure(f"Expecting Rpc.Dict, but found '{describe(value)}'")
        assert type_.item is not None
        assert type_.key is not None
        return {str(decode(type_.key, key)): decode(type_.item, item) for key, item in value.items()}
    if kind == "record":
        if not isinstance(value, dict):
            raise _failure(f"Expecting Rpc.Dict, but found '{describe(value)}'")
        return value
    return value


_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")


def is_storable(value: Any) -> bool:
    """Whether every text in a value is one that XAPI's database takes: it has no character that XML lacks."""
    if isinstance(value, str):
        return _NOT_IN_XML.search(value) is None
    if isinstance(value, list):
        return all(map(is_storable, value))
    if isinstance(value, dict):
        return all(map(is_storable, value)) and all(map(is_storable, value.values()))
    return True


def storable(value: Any) -> Any:
    """A value with each text cut before its first character that XML lacks (db_cache_impl.ml, ensure_utf8_xml)."""
    if is_storable(value):
        return value
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return _NOT_IN_XML.split(value, maxsplit=1)[0]


def zero(type_: Type) -> Any:
    """The value of a field that nobody has given one."""
    return {
        "string": "", "int": 0, "bool": False, "float": 0.0, "datetime": EPOCH, "ref": NULL,
        "enum": type_.members[0] if type_.members else "", "set": [], "map": {},
    }.get(type_.kind, "")  # fmt: skip


def copy_value(value: Any) -> Any:
    """A copy that shares no list or dict with the original."""
    if isinstance(value, list):
        return [copy_value(item) for item in value]
    if isinstance(value, dict):
        return {key: copy_value(item) for key, item in value.items()}
    return value
