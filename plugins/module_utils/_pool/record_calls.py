# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Calls that set what a record holds, as data: plans decide on them, and the performers send them. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

# Stands in a call's arguments for the reference of the object that the plan is about, which a new one gets only when it is made.
SELF = "(itself)"


@dataclass(frozen=True)
class Call:
    """One call. ``asked`` says in an error what was being done."""

    method: str
    arguments: tuple[t.Any, ...]
    asked: str

    def on(self, ref: str) -> tuple[t.Any, ...]:
        """The arguments, for the object of that reference."""
        return tuple(ref if argument is SELF else argument for argument in self.arguments)


def vm_call(message: str, *arguments: t.Any, asked: str) -> Call:
    """A call to the VM itself."""
    return Call(f"VM.{message}", (SELF, *arguments), asked)


def map_calls(field: str, before: t.Mapping[str, str], after: t.Mapping[str, str], asked: str = "") -> list[Call]:
    """What turns one map of a VM into another, key by key, so that what others write there meanwhile stays.

    A key that is there must go before it is set, else XAPI answers ``MAP_DUPLICATE_KEY``.
    """
    calls = []
    for key in sorted({*before, *after}):
        if before.get(key) == after.get(key):
            continue
        about = asked or f"set {field}: {key}"
        if key in before:
            calls.append(vm_call(f"remove_from_{field}", key, asked=about))
        if key in after:
            calls.append(vm_call(f"add_to_{field}", key, after[key], asked=about))
    return calls
