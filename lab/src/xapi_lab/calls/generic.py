# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What the data model alone says: reading records and fields, setting plain fields, creating and destroying plain objects."""

from __future__ import annotations

from typing import Any

from xapi_lab.calls.registry import Context
from xapi_lab.database import Record, default_of
from xapi_lab.errors import XapiError, internal_error
from xapi_lab.model import RECORD_ONLY, Class, Message
from xapi_lab.model.types import Type
from xapi_lab.query import compile_expression
from xapi_lab.values import NULL, copy_value, decode

STRING = Type("string")


def run(context: Context, message: Message, arguments: list[Any]) -> Any:
    """Answer a message that has no behaviour of its own; NOT_IMPLEMENTED when the model alone cannot."""
    class_ = context.lab.model.classes[message.class_name]
    reader = _reader(class_, message)
    if reader is not None:
        return reader(context, class_, *arguments)
    found = _field_action(class_, message)
    if found is not None:
        action, name = found
        context.db.row(class_.name, arguments[0])
        if not message.implicit:
            _check_references(context, message, arguments)
        return action(context, class_.name, name, *arguments)
    if _makes_or_destroys(class_, message):
        if message.name == "create":
            return context.db.create(class_.name, constructor_record(class_, arguments[0]))
        return context.db.destroy(class_.name, arguments[0])
    raise XapiError("NOT_IMPLEMENTED", message.wire_name)


def answers(class_: Class, message: Message) -> bool:
    """Whether the model alone can answer a message."""
    return (
        _reader(class_, message) is not None
        or _field_action(class_, message) is not None
        or _makes_or_destroys(class_, message)
    )


def _reader(class_: Class, message: Message) -> Any:
    return None if class_.name in RECORD_ONLY else _READERS.get(message.name)


def _field_action(class_: Class, message: Message) -> tuple[Any, str] | None:
    """What a message does with a field, and the field."""
    for prefix, action, count in _FIELD_MESSAGES if class_.name not in RECORD_ONLY else ():
        name = message.name.removeprefix(prefix)
        if name == message.name or name not in class_.fields or len(message.parameters) != count:
            continue
        if prefix not in _OF_MAPS or class_.fields[name].type.kind == "map":
            return action, name
    return None


def _makes_or_destroys(class_: Class, message: Message) -> bool:
    return class_.name not in RECORD_ONLY and message.implicit and message.name in {"create", "destroy"}


def _check_references(context: Context, message: Message, arguments: list[Any]) -> None:
    """Refuse references to nothing, as XAPI's own messages do; its generated setters store whatever they are given."""
    for parameter, value in zip(message.parameters, arguments, strict=True):
        type_ = parameter.type.item if parameter.type.kind == "set" else parameter.type
        if type_ is not None and type_.kind == "ref":
            for ref in value if isinstance(value, list) else [value]:
                if ref != NULL:
                    context.db.row(type_.class_name, ref)


def constructor_record(class_: Class, given: dict[str, Any]) -> Record:
    """The record that a constructor's argument describes, defaults filled in; unknown keys are ignored."""
    record: Record = {}
    for name, field in class_.fields.items():
        if not field.in_constructor:
            continue
        if name in given:
            record[name] = decode(field.type, given[name])
        elif field.has_default:
            record[name] = default_of(field)
        else:
            raise internal_error(f'Server_helpers.Dispatcher_FieldNotFound("{name}")')
    return record


def _get_record(context: Context, class_: Class, ref: str) -> Record:
    return context.db.record(class_.name, ref)


def _get_all(context: Context, class_: Class) -> list[str]:
    return context.db.refs(class_.name)


def _get_all_records(context: Context, class_: Class) -> dict[str, Record]:
    return dict(context.db.records(class_.name))


def _get_all_records_where(context: Context, class_: Class, expression: str) -> dict[str, Record]:
    matches = compile_expression(expression, class_)
    return {ref: record for ref, record in context.db.records(class_.name) if matches(ref, record)}


def _get_all_where(context: Context, class_: Class, expression: str) -> list[str]:
    return list(_get_all_records_where(context, class_, expression))


def _get_by_uuid(context: Context, class_: Class, uuid: str) -> str:
    return context.db.by_uuid(class_.name, uuid)


def _get_by_name_label(context: Context, class_: Class, name: str) -> list[str]:
    return context.db.by_name_label(class_.name, name)


def _get(context: Context, class_name: str, field: str, ref: str) -> Any:
    return context.db.get(class_name, ref, field)


def _set(context: Context, class_name: str, field: str, ref: str, value: Any) -> None:
    context.db.set(class_name, ref, field, copy_value(value))


def _add_to(context: Context, class_name: str, field: str, ref: str, key: str, value: str) -> None:
    context.db.add_to_map(class_name, ref, field, key, value)


def _remove_from(context: Context, class_name: str, field: str, ref: str, key: str) -> None:
    context.db.remove_from_map(class_name, ref, field, key)


def _add(context: Context, class_name: str, field: str, ref: str, value: Any) -> None:
    current = context.db.get(class_name, ref, field)
    if value not in current:
        context.db.set(class_name, ref, field, [*current, value])


def _remove(context: Context, class_name: str, field: str, ref: str, value: Any) -> None:
    current = context.db.get(class_name, ref, field)
    context.db.set(class_name, ref, field, [item for item in current if item != value])


_READERS: dict[str, Any] = {
    "get_record": _get_record,
    "get_all": _get_all,
    "get_all_records": _get_all_records,
    "get_all_records_where": _get_all_records_where,
    "get_all_where": _get_all_where,
    "get_by_uuid": _get_by_uuid,
    "get_by_name_label": _get_by_name_label,
}
_FIELD_MESSAGES: tuple[tuple[str, Any, int], ...] = (
    # prefix, what it does, number of parameters
    ("get_", _get, 1),
    ("set_", _set, 2),
    ("add_to_", _add_to, 3),
    ("remove_from_", _remove_from, 2),
    ("add_", _add, 2),
    ("remove_", _remove, 2),
)
_OF_MAPS = ("add_to_", "remove_from_")
