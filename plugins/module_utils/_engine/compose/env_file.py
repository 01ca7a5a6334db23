# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Files of variables, as ``.env``, ``env_file`` and ``label_file`` use them.

Source: the Compose Specification, chapter Services, ``env_file``. Values may be secret: messages name a line, never what it holds.
"""

from __future__ import annotations

import re

from ..._errors import HardshellError
from .interpolate import InterpolationError, Variables, interpolate

_KEY = re.compile(r"(?:export[ \t]+)?(?P<key>[\w.\-\[\]]+)[ \t]*(?P<equals>[=:]?)[ \t]*")
_ESCAPE = re.compile(r"\\([abcfnrtv$\"\\]|0[0-7]{0,3})")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", '"': '"', "\\": "\\"}


def parse_env_file(name: str, text: str, variables: Variables, raw: bool = False) -> dict[str, str]:
    """The variables that the file sets. ``name`` is the file's, for messages.

    A variable in a value is looked up in ``variables`` and then among those the file has set so far. A line with a bare name takes its value
    from ``variables``, and sets nothing when there is none. ``raw`` takes what follows the equals sign as it is.
    """
    found: dict[str, str] = {}
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    position = 0
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        line = text[position:end].strip()
        number = text.count("\n", 0, position) + 1
        if not line or line.startswith("#"):
            position = end + 1
            continue
        position += len(text[position:end]) - len(text[position:end].lstrip())
        match = _KEY.match(text, position, end)
        if match is None or not (match["equals"] or match.end() == end or text[match.end() : end].startswith("#")):
            raise HardshellError(f"{name}, line {number}: it sets no variable; write NAME=value")
        key = match["key"]
        if not match["equals"]:
            found.update({key: variables[key]} if key in variables else {})
            position = end + 1
        elif raw:
            found[key] = text[text.index(match["equals"], match.end("key")) + 1 : end]
            position = end + 1
        else:
            try:
                found[key], position = _value(text, match.end(), end, variables.over(found))
            except (InterpolationError, _Unreadable) as error:
                raise HardshellError(f"{name}, line {number}, {key}: {error}") from None
    return found


class _Unreadable(Exception):
    """What is wrong with a quoted value."""


def _value(text: str, start: int, end: int, variables: Variables) -> tuple[str, int]:
    """The value that begins at ``start`` and where the next line begins. ``end`` is the end of the line."""
    quote = text[start : start + 1]
    if quote not in ("'", '"'):
        plain = text[start:end]
        plain = "" if plain.startswith("#") and text[start - 1 : start].isspace() else plain.split(" #", 1)[0]
        return interpolate(plain.rstrip(), variables), end + 1
    inside, closing = _quoted(text, start)
    end = text.find("\n", closing)
    end = len(text) if end < 0 else end
    rest = text[closing + 1 : end].strip()
    if rest and not rest.startswith("#"):
        raise _Unreadable("more follows the closing quote; only a comment may")
    if quote == '"':
        inside = interpolate(_ESCAPE.sub(_unescape, inside), variables)
    return inside, end + 1


def _quoted(text: str, start: int) -> tuple[str, int]:
    """What stands between the quote at ``start`` and its closing one, and where that is. A backslash keeps its place unless a quote follows."""
    quote, inside, position = text[start], "", start + 1
    while position < len(text):
        if text[position] == quote:
            return inside, position
        if text[position] == "\\" and position + 1 < len(text):
            inside += text[position + 1] if text[position + 1] == quote else text[position : position + 2]
            position += 2
        else:
            inside += text[position]
            position += 1
    raise _Unreadable("its quote is not closed")


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code.startswith("0"):
        return chr(int(code, 8))
    # Twice, because variables are filled in afterwards.
    return "$$" if code == "$" else _ESCAPED.get(code, match[0])
