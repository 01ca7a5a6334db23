# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Canonical values as a person is shown them: plain data, and no secret."""

from __future__ import annotations

import typing as t

from .mounts import Mount
from .options import BY_NAME, ENGINE_DEFAULT, OPTIONS
from .ports import Port

HIDDEN = "(hidden)"


def plain(value: t.Any) -> t.Any:
    """Plain data for JSON and YAML."""
    if value is ENGINE_DEFAULT:
        return str(value)
    if isinstance(value, (Port, Mount)):
        return str(value)
    if isinstance(value, t.Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def duration(nanoseconds: int) -> str:
    """A duration as it may be written."""
    for unit, size in (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6)):
        if nanoseconds and nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds / 10**9}s"


def _readable(name: str, value: t.Any) -> t.Any:
    if name == "cpus":
        return value / 10**9
    if name == "healthcheck" and value:
        periods = {key: duration(item) for key, item in value.items() if key not in ("test", "retries") and item}
        return {"test": list(value["test"]), **periods, **({"retries": value["retries"]} if value["retries"] else {})}
    return plain(value)


def values(canonical: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options that are not at their default, secrets hidden."""
    shown = {}
    for option in OPTIONS:
        value = canonical[option.name]
        if value is ENGINE_DEFAULT or value == option.default or value in (None, (), {}, ""):
            continue
        shown[option.name] = dict.fromkeys(sorted(value), HIDDEN) if option.secret else _readable(option.name, value)
    return shown


def differences(
    found: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any], names: t.Iterable[str]
) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """Both sides of the named options. Of a secret mapping only the keys that differ appear, without their values."""
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for name in names:
        if BY_NAME[name].secret:
            keys = [
                key for key in sorted({*found[name], *wanted[name]}) if found[name].get(key) != wanted[name].get(key)
            ]
            before[name] = {key: f"{HIDDEN}, as it was" for key in keys if key in found[name]}
            after[name] = {key: f"{HIDDEN}, as asked for" for key in keys if key in wanted[name]}
        else:
            before[name], after[name] = _readable(name, found[name]), _readable(name, wanted[name])
    return before, after
