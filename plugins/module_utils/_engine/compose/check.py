# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Refuse what is not supported, by name."""

from __future__ import annotations

import difflib
import functools
import typing as t

from ..._errors import OptionError
from .keys import KEYS, Refused, Told, WithoutEffect, children

# A limit may be a number, which is both its soft and its hard one.
_NUMBER_OR_MAPPING = frozenset({"services.*.ulimits.*"})
_ALL_OR_LIST = "services.*.gpus"


def check(model: t.Mapping[str, t.Any]) -> list[str]:
    """Refuse each key of the model that is unknown or not supported, and what is no mapping or list where one belongs.

    What comes back are warnings of keys that have no effect on one engine. Raises OptionError with the key's path. Values are not shown: they may be secret.
    """
    told: list[str] = []
    _check(model, "", "", told)
    return told


def _check(value: t.Any, path: str, known: str, told: list[str]) -> None:
    form = _form(known)
    if value is None or form is None:
        return
    fits = isinstance(value, form)
    if not fits:
        if known in _NUMBER_OR_MAPPING or (known == _ALL_OR_LIST and value == "all"):
            return
        raise OptionError(path, type(value).__name__, f"write a {'list' if form is list else 'mapping'}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, dict):
                _check(item, f"{path}[{index}]", f"{known}[]", told)
    elif _has_chosen_names(known):
        for name, item in value.items():
            _check(item, f"{path}.{name}", f"{known}.*", told)
    else:
        for key, item in value.items():
            _check_key(key, item, f"{path}.{key}".lstrip("."), f"{known}.{key}".lstrip("."), children(known), told)


@functools.cache
def _form(known: str) -> type | None:
    """What a key with keys below it must hold."""
    if any(key.startswith(f"{known}[]") for key in KEYS):
        return list
    return dict if _has_chosen_names(known) or children(known) else None


@functools.cache
def _has_chosen_names(known: str) -> bool:
    return any(key.startswith(f"{known}.*") for key in KEYS)


def _check_key(key: str, value: t.Any, path: str, known: str, siblings: frozenset[str], told: list[str]) -> None:
    if key.startswith("x-"):
        return
    if key not in siblings:
        near = difflib.get_close_matches(key, sorted(siblings), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(siblings))}"
        raise OptionError(path, key, f"the Compose Specification has no such key here; {hint}")
    found = KEYS.get(known)
    if isinstance(found, Refused):
        if value is not None and _plain(value) not in found.unless:
            raise OptionError(path, key, found.instead)
    elif isinstance(found, Told):
        told += [f"{path} has no effect: {found.why}"] if value is not None else []
    elif not isinstance(found, WithoutEffect):
        _check(value, path, known, told)


def _plain(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, (bool, int, str)) else ""
