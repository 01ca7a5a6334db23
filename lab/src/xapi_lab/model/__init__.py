# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""XAPI's data model as data: classes, fields, messages, enums and error codes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from xapi_lab.model.types import Type, parse

RECORD_ONLY = frozenset({"event", "data_source", "probe_result", "sr_stat", "vdi_nbd_server_info", "auth", "LVHD"})
"""Classes without objects of their own in the database."""


@dataclass(frozen=True)
class Field:
    """A field of a class; `default` is None when the constructor needs it."""

    name: str
    type: Type
    qualifier: str
    default: Any
    has_default: bool

    @property
    def in_constructor(self) -> bool:
        return self.qualifier in {"RW", "RO/constructor"}

    @property
    def database_name(self) -> str:
        """Its name in get_all_records_where expressions: namespaces end in a double underscore."""
        return _DATABASE_NAMES.get(self.name, self.name)


@dataclass(frozen=True)
class Parameter:
    name: str
    type: Type
    required: bool


ROLES = ("pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator", "read-only")
"""The highest first; each may do what the next one may (datamodel_roles.ml)."""
CLIENT_CERTIFICATE = "client-cert"
"""XAPI's own role for clients with a certificate, which may do what `read-only` may and some of what a pool-operator may."""


def roles_from(lowest: str, client_certificate: bool = False) -> tuple[str, ...]:
    """A role and all above it; none for an empty name."""
    roles = ROLES[: ROLES.index(lowest) + 1] if lowest else ()
    if not client_certificate and lowest != ROLES[-1]:
        return roles
    return tuple(sorted((*roles, CLIENT_CERTIFICATE), key=ALL_ROLES.index))


ALL_ROLES = (*ROLES[:-1], CLIENT_CERTIFICATE, ROLES[-1])


@dataclass(frozen=True)
class Message:
    """A message of a class; `parameters` leaves out the session."""

    name: str
    class_name: str
    parameters: tuple[Parameter, ...]
    result: Type
    roles: tuple[str, ...]
    """Names of the roles that may send it, the highest first; none when only root may."""
    needs_session: bool
    has_async: bool
    implicit: bool
    removed: bool

    @property
    def wire_name(self) -> str:
        return f"{self.class_name}.{self.name}"

    @property
    def required_count(self) -> int:
        return sum(parameter.required for parameter in self.parameters)

    @property
    def has_defaults(self) -> bool:
        return any(not parameter.required for parameter in self.parameters)


@dataclass(frozen=True)
class Class:
    name: str
    fields: dict[str, Field] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    api: str
    xapi: str
    classes: dict[str, Class]
    errors: dict[str, list[str]]
    by_lower_name: dict[str, str]

    def message(self, wire_name: str) -> Message | None:
        """The message that `Class.message` or `Class_message` names."""
        for separator in (".", "_"):
            head, dot, tail = wire_name.partition(separator)
            while dot:
                known = self.classes.get(head)
                if known and tail in known.messages:
                    return known.messages[tail]
                if separator == ".":
                    break
                extra, dot, tail = tail.partition(separator)
                head = f"{head}_{extra}"
        return None


_DATABASE_PREFIXES = {
    "name_": ("name_label", "name_description"),
    "memory_": ("memory_overhead", "memory_target", "memory_static_max", "memory_dynamic_max", "memory_dynamic_min",
                "memory_static_min"),
    "VCPUs_": ("VCPUs_params", "VCPUs_max", "VCPUs_at_startup", "VCPUs_number", "VCPUs_utilisation", "VCPUs_CPU",
               "VCPUs_flags"),
    "actions_": ("actions_after_softreboot", "actions_after_shutdown", "actions_after_reboot", "actions_after_crash"),
    "PV_": ("PV_bootloader", "PV_kernel", "PV_ramdisk", "PV_args", "PV_bootloader_args", "PV_legacy_args"),
    "HVM_": ("HVM_boot_policy", "HVM_boot_params", "HVM_shadow_multiplier"),
    "API_version_": ("API_version_major", "API_version_minor", "API_version_vendor",
                     "API_version_vendor_implementation"),
    "qos_": ("qos_algorithm_type", "qos_algorithm_params", "qos_supported_algorithms"),
    "status_": ("status_code", "status_detail"),
    "io_": ("io_read_kbs", "io_write_kbs"),
}  # fmt: skip
_DATABASE_NAMES = {
    name: prefix + "_" + name[len(prefix) :] for prefix, names in _DATABASE_PREFIXES.items() for name in names
}
_WHERE = ("get_all_records_where", "get_all_where")


def _field(name: str, source: list[Any], enums: dict[str, list[str]]) -> Field:
    return Field(name, parse(source[0], enums), source[1], source[2] if len(source) > 2 else None, len(source) > 2)


def _message(class_name: str, name: str, source: dict[str, Any], enums: dict[str, list[str]]) -> Message:
    parameters = [Parameter(p[0], parse(p[1], enums), bool(p[2])) for p in source["params"]]
    needs_session = bool(parameters) and parameters[0].name == "session_id"
    return Message(
        name,
        class_name,
        tuple(parameters[1:] if needs_session else parameters),
        parse(source["result"], enums),
        roles_from(source["role"], bool(source.get("client_cert"))),
        needs_session,
        bool(source.get("async")),
        bool(source.get("implicit")),
        bool(source.get("removed")),
    )


def _class(name: str, source: dict[str, Any], enums: dict[str, list[str]]) -> Class:
    fields = {field_name: _field(field_name, value, enums) for field_name, value in source["fields"].items()}
    messages = {
        message_name: _message(name, message_name, value, enums) for message_name, value in source["messages"].items()
    }
    if "get_all_records" in messages:
        expression = {"params": [["session_id", "session ref", True], ["expr", "string", True]], "role": "read-only"}
        for where in _WHERE:
            result = f"({name} ref -> {name} record) map" if where == _WHERE[0] else f"{name} ref set"
            messages.setdefault(where, _message(name, where, {**expression, "result": result, "implicit": 1}, enums))
    return Class(name, fields, messages)


@lru_cache(maxsize=1)
def load() -> Model:
    """The data model that comes with the lab."""
    source = json.loads(files("xapi_lab.model").joinpath("datamodel.json").read_text())
    classes = {name: _class(name, value, source["enums"]) for name, value in source["classes"].items()}
    return Model(source["api"], source["xapi"], classes, source["errors"], {name.lower(): name for name in classes})
