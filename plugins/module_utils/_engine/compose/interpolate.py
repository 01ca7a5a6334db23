# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Variables in the text of a Compose file: ``$NAME``, ``${NAME}`` and its forms with a default, a replacement or a demand.

Source: the Compose Specification, chapter Interpolation.
"""

from __future__ import annotations

import re
import typing as t

from ..._errors import OptionError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FORM = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<form>:?[-?+])(?P<word>.*))?", re.DOTALL)

_EXPECTED = "write ${NAME}, ${NAME:-default}, ${NAME:?message} or ${NAME:+replacement}, and $$ for a plain dollar sign"


class Variables(t.Mapping[str, str]):
    """The variables that a Compose file may name, and a record of those that it named though they are not set."""

    def __init__(self, values: t.Mapping[str, str], unset: dict[str, None] | None = None) -> None:
        self._values = dict(values)
        self.unset: dict[str, None] = {} if unset is None else unset

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> t.Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def over(self, below: t.Mapping[str, str]) -> Variables:
        """These variables, and those of ``below`` that are not among them."""
        return Variables({**below, **self._values}, self.unset)

    def value(self, name: str) -> str:
        if name not in self._values:
            self.unset[name] = None
        return self._values.get(name, "")


class InterpolationError(Exception):
    """A variable that is demanded is missing, or the text begins one and does not hold it. The message does not show the text, which may be secret."""


def interpolate(text: str, variables: Variables) -> str:
    """The text with its variables filled in. ``$$`` is a dollar sign; one that begins no variable stays."""
    found: list[str] = []
    position = 0
    while (dollar := text.find("$", position)) >= 0:
        found.append(text[position:dollar])
        following = text[dollar + 1 : dollar + 2]
        name = _NAME.match(text, dollar + 1)
        if following == "$":
            found.append("$")
            position = dollar + 2
        elif following == "{":
            end = _closing_brace(text, dollar + 1)
            found.append(_braced(text[dollar + 2 : end], variables))
            position = end + 1
        elif name:
            found.append(variables.value(name[0]))
            position = name.end()
        else:
            found.append("$")
            position = dollar + 1
    return "".join([*found, text[position:]])


def _closing_brace(text: str, opening: int) -> int:
    depth = 0
    for position in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    raise InterpolationError(f"it begins a variable that no brace closes; {_EXPECTED}")


def _braced(inside: str, variables: Variables) -> str:
    match = _FORM.fullmatch(inside)
    if match is None:
        raise InterpolationError(f"it holds braces after a dollar sign that are no variable; {_EXPECTED}")
    name, form, word = match["name"], match["form"], match["word"]
    if form is None:
        return variables.value(name)
    present = name in variables and not (form.startswith(":") and not variables[name])
    if form.endswith("+"):
        return interpolate(word, variables) if present else ""
    if present:
        return variables[name]
    if form.endswith("-"):
        return interpolate(word, variables)
    message = interpolate(word, variables)
    raise InterpolationError(f"the variable {name} must have a value{': ' + message if message else ''}")


def interpolate_tree(tree: t.Any, variables: Variables, path: str = "") -> t.Any:
    """The document with every value interpolated; keys stay as they are written."""
    if isinstance(tree, dict):
        return {
            key: interpolate_tree(value, variables, f"{path}.{key}" if path else key) for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [interpolate_tree(value, variables, f"{path}[{index}]") for index, value in enumerate(tree)]
    if not isinstance(tree, str):
        return tree
    try:
        return interpolate(tree, variables)
    except InterpolationError as error:
        shown = "(hidden)" if ".environment" in path else tree
        raise OptionError(path, shown, str(error)) from None
