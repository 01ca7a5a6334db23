# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Which VMs of a pool are asked for, and how much of that the pool itself can answer. Pure."""

from __future__ import annotations

import fnmatch
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from . import marks
from .bulk_reads import field_is
from .option_checks import refuse_unwritable
from .session import Record
from .vm_identity import is_vm

FOLDER = "folder"
POWER_STATES = ("running", "halted", "paused", "suspended")
_REAL_VM = '(field "is_a_template" = "false") and (field "is_control_domain" = "false")'


@dataclass(frozen=True)
class VmFilter:
    """VMs must fit every part that is not empty, and within a part one of its values; of ``tags`` all. ``names`` may be shell patterns."""

    names: tuple[str, ...] = ()
    uuids: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    inventory_hosts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    folder: str = ""
    power_states: tuple[str, ...] = ()
    expression: str = ""

    def pool_expression(self) -> str:
        """What of it XAPI can answer. Its expressions compare whole fields, so that marks, tags and patterns are left to ``accepts``."""
        parts = [_REAL_VM]
        if self.names and not any(_is_pattern(name) for name in self.names):
            parts.append(field_is("name__label", *self.names))
        if self.uuids:
            parts.append(field_is("uuid", *self.uuids))
        if self.power_states:
            parts.append(field_is("power_state", *(state.capitalize() for state in self.power_states)))
        if self.expression:
            parts.append(self.expression)
        return " and ".join(f"({part})" for part in parts)

    def accepts(self, record: Record) -> bool:
        """Whether a VM record of the pool's answer is asked for."""
        owner = marks.owner_of_vm(record["other_config"], record["uuid"])
        return (
            is_vm(record)
            and (not self.names or any(fnmatch.fnmatchcase(record["name_label"], name) for name in self.names))
            and (not self.tenants or (owner is not None and owner.tenant in self.tenants))
            and (not self.inventory_hosts or (owner is not None and owner.host in self.inventory_hosts))
            and set(self.tags) <= set(record["tags"])
            and _is_below(record["other_config"].get(FOLDER, ""), self.folder)
        )


def filter_arguments() -> dict[str, t.Any]:
    """The argument spec of a filter."""
    strings: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    return {
        "names": dict(strings),
        "uuids": dict(strings),
        "tenants": dict(strings),
        "inventory_hosts": dict(strings),
        "tags": dict(strings),
        "folder": {"type": "str"},
        "power_states": {**strings, "choices": list(POWER_STATES)},
        "expression": {"type": "str"},
    }


def vm_filter(parameters: t.Mapping[str, t.Any], prefix: str = "") -> VmFilter:
    """The filter out of a module's parameters. ``prefix`` goes before an option's name in an error. Raises ``OptionError``."""
    refuse_unwritable({name: parameters.get(name) for name in filter_arguments()})
    unknown = set(parameters) - set(filter_arguments())
    if unknown and prefix:
        known = ", ".join(filter_arguments())
        raise OptionError(prefix + sorted(unknown)[0], parameters[sorted(unknown)[0]], f"the filters are {known}")
    listed = {name: _texts(prefix + name, parameters.get(name)) for name in filter_arguments() if name not in _SINGLE}
    for name in ("names", "uuids"):
        for text in listed[name]:
            if '"' in text:
                raise OptionError(prefix + name, text, "a double quote cannot be looked for; use ? in its place")
    for state in listed["power_states"]:
        if state not in POWER_STATES:
            raise OptionError(f"{prefix}power_states", state, f"the power states are {', '.join(POWER_STATES)}")
    folder = str(parameters.get("folder") or "")
    return VmFilter(
        **listed, folder="/" + folder.strip("/") if folder else "", expression=str(parameters.get("expression") or "")
    )


_SINGLE = ("folder", "expression")


def _texts(option: str, value: t.Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, (str, int)):
        return (str(value),)
    if not isinstance(value, (list, tuple)):
        raise OptionError(option, value, "give a list of texts")
    return tuple(str(each) for each in value)


def _is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _is_below(folder: str, wanted: str) -> bool:
    return wanted in ("", "/") or folder == wanted or folder.startswith(wanted + "/")
