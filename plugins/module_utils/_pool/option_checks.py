# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What the specs of several modules and devices refuse alike. Pure; each raises ``OptionError``."""

from __future__ import annotations

import typing as t

from .._errors import OptionError

MOST_TEXT = 64 * 1024
MOST_SECONDS = 10 * 365 * 24 * 3600
NOT_IN_A_CALL = "config_drive."


def usable_name(option: str, value: str) -> str:
    """A name that can be looked for in the pool, whose expressions know no way to write a double quote."""
    if not value.strip() or '"' in value or not value.isprintable():
        raise OptionError(option, value, "give a name of printable characters without double quotes")
    return value


def seconds(option: str, value: int) -> int:
    """A time to wait."""
    if not 1 <= value <= MOST_SECONDS:
        raise OptionError(option, value, "give a number of seconds, 1 or more, and less than ten years")
    return value


def refuse_twice(option: str, names: t.Sequence[str], key: str = "name") -> None:
    """Each entry of a list has a name, or another key, of its own."""
    for name in names:
        if names.count(name) > 1:
            raise OptionError(option, name, f"each needs a {key} of its own")


def refuse_unwritable(parameters: t.Mapping[str, t.Any]) -> None:
    """Raise ``OptionError`` for a text that does not come to the pool as it is, wherever it stands in a module's parameters.

    XML carries no control characters but tab and line feed: XAPI answers a call with others with HTTP 500, and reads a carriage return as a line
    feed. It refuses any call of more than 300 KiB (``http_limit_max_rpc_size``). What goes to the guest by its config drive may hold what it likes,
    but must be text. The value is not shown: it may be a secret.
    """
    for option, value in parameters.items():
        for path, text in _texts_in(option, value):
            limit = None if path.startswith(NOT_IN_A_CALL) else MOST_TEXT
            for place, character in enumerate(text):
                if _is_surrogate(character) or (limit is not None and _is_control(character)):
                    raise OptionError(
                        path,
                        f"U+{ord(character):04X}",
                        f"the pool takes no such character (the {place + 1}. of the text); leave it out",
                    )
            if limit is not None and len(text.encode()) > limit:
                raise OptionError(path, f"{len(text)} characters", f"give a text of at most {limit // 1024} KiB")


def _texts_in(path: str, value: t.Any) -> t.Iterator[tuple[str, str]]:
    """Each text in a value with the path to it, keys of mappings too."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, t.Mapping):
        for key, inner in value.items():
            yield path, str(key)
            yield from _texts_in(f"{path}.{key}", inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _texts_in(f"{path}[{index}]", inner)


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _is_control(character: str) -> bool:
    """What XML 1.0 has no place for, or changes on the way."""
    return (character < " " and character not in "\t\n") or character in "\ufffe\uffff"
