# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What the specs of several modules and devices refuse alike. Pure; each raises ``OptionError``."""

from __future__ import annotations

import typing as t

from .._errors import OptionError


def usable_name(option: str, value: str) -> str:
    """A name that can be looked for in the pool, whose expressions know no way to write a double quote."""
    if not value.strip() or '"' in value or not value.isprintable():
        raise OptionError(option, value, "give a name of printable characters without double quotes")
    return value


def seconds(option: str, value: int) -> int:
    """A time to wait."""
    if value < 1:
        raise OptionError(option, value, "give a number of seconds, 1 or more")
    return value


def refuse_twice(option: str, names: t.Sequence[str], key: str = "name") -> None:
    """Each entry of a list has a name, or another key, of its own."""
    for name in names:
        if names.count(name) > 1:
            raise OptionError(option, name, f"each needs a {key} of its own")
