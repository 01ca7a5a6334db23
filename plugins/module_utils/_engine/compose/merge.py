# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""One Compose document over another.

Source: the Compose Specification, chapter Merge, and what its reference loader does where the chapter is silent.
Short and long forms that mean the same are brought into one form first, so that they meet: lists of ``NAME=value`` become mappings, a single
text becomes a list, a list of services or networks becomes a mapping.
"""

from __future__ import annotations

import typing as t

from ..._errors import OptionError
from .document import Path

JSON = dict[str, t.Any]

_VARIABLES = frozenset(
    {
        "services.*.annotations",
        "services.*.build.args",
        "services.*.build.additional_contexts",
        "services.*.build.labels",
        "services.*.deploy.labels",
        "services.*.environment",
        "services.*.labels",
        "services.*.sysctls",
        "networks.*.labels",
        "volumes.*.labels",
    }
)
_REPLACED = frozenset(
    {"services.*.command", "services.*.entrypoint", "services.*.healthcheck.test", "services.*.ulimits.*"}
)


def _text(item: t.Any) -> t.Any:
    return str(item)


def _target(item: t.Any) -> t.Any:
    """Where a volume or a device is in the container."""
    if isinstance(item, dict):
        return str(item.get("target") or item.get("source"))
    parts = str(item).split(":")
    return parts[1] if len(parts) > 1 else parts[0]


def _port(item: t.Any) -> t.Any:
    """What is published where. A port as short text is the same as its long form."""
    if isinstance(item, dict):
        address, published = item.get("host_ip"), item.get("published")
        target, protocol = item.get("target"), item.get("protocol")
    else:
        plain, _slash, protocol = str(item).partition("/")
        rest, _colon, target = plain.rpartition(":")
        address, _colon, published = rest.rpartition(":")
    return (
        "" if address in (None, "0.0.0.0") else str(address).strip("[]"),
        str(published or ""),
        str(target),
        str(protocol or "tcp").lower(),
    )


def _granted_file(folder: str) -> t.Callable[[t.Any], t.Any]:
    def target(item: t.Any) -> t.Any:
        name = (item.get("target") or item.get("source")) if isinstance(item, dict) else item
        return str(name) if str(name).startswith("/") else f"{folder}/{name}"

    return target


def _path(item: t.Any) -> t.Any:
    return str(item.get("path") if isinstance(item, dict) else item)


def _tmpfs_path(item: t.Any) -> t.Any:
    return str(item).partition(":")[0]


# Lists in which a later entry takes the place of an earlier one that has the same key.
_KEYED: dict[str, t.Callable[[t.Any], t.Any]] = {
    "services.*.cap_add": _text,
    "services.*.cap_drop": _text,
    "services.*.configs": _granted_file(""),
    "services.*.devices": _target,
    "services.*.dns": _text,
    "services.*.dns_opt": _text,
    "services.*.dns_search": _text,
    "services.*.env_file": _path,
    "services.*.expose": _text,
    "services.*.extra_hosts": _text,
    "services.*.label_file": _text,
    "services.*.links": _text,
    "services.*.networks.*.aliases": _text,
    "services.*.networks.*.link_local_ips": _text,
    "services.*.ports": _port,
    "services.*.profiles": _text,
    "services.*.secrets": _granted_file("/run/secrets"),
    "services.*.security_opt": _text,
    "services.*.tmpfs": _tmpfs_path,
    "services.*.volumes": _target,
}
_SINGLE_OR_LIST = frozenset(
    f"services.*.{key}" for key in ("dns", "dns_opt", "dns_search", "env_file", "label_file", "tmpfs")
)
_NAMES_OR_MAPPING: dict[str, t.Any] = {
    "services.*.depends_on": {"condition": "service_started", "required": True},
    "services.*.networks": None,
    "services.*.models": None,
}
# Mappings whose keys the user chooses.
_CHOSEN = ("services", "networks", "volumes", "secrets", "configs", "models")
_CHOSEN_BELOW_SERVICE = ("networks", "depends_on", "ulimits", "models")


def pattern(path: Path) -> str:
    """The path with a star for each name that the user chooses."""
    parts = list(path)
    if len(parts) > 1 and parts[0] in _CHOSEN:
        parts[1] = "*"
    if len(parts) > 3 and parts[0] == "services" and parts[2] in _CHOSEN_BELOW_SERVICE:
        parts[3] = "*"
    return ".".join(parts)


def merge(base: JSON, over: JSON, path: Path = ()) -> JSON:
    """``over`` laid over ``base``, in canonical form; neither is changed. ``path`` is where in a Compose file they stand."""
    merged: JSON = _merge(canonical(base, path), canonical(over, path), path)
    return merged


def canonical(value: t.Any, path: Path = ()) -> t.Any:
    """The value in the one form in which all that mean the same are equal."""
    kind = pattern(path)
    if value is None:
        return None
    if kind in _VARIABLES:
        return _variables(value, path)
    if kind == "services.*.extra_hosts":
        value = _hosts(value, path)
    if kind in _SINGLE_OR_LIST and isinstance(value, str):
        value = [value]
    if kind == "services.*.build" and isinstance(value, str):
        return {"context": value}
    if kind in _NAMES_OR_MAPPING and isinstance(value, list):
        default = _NAMES_OR_MAPPING[kind]
        return {_name(item, path): dict(default) if default else None for item in value}
    if kind in _KEYED:
        return _unique(_list(value, path), _KEYED[kind])
    if isinstance(value, dict):
        return {key: canonical(item, (*path, key)) for key, item in value.items()}
    return value


def _merge(base: t.Any, over: t.Any, path: Path) -> t.Any:
    kind = pattern(path)
    if kind in _REPLACED:
        return over
    if over is None:
        return base
    if base is None:
        return over
    if kind == "services.*.logging" and not _same_driver(base, over):
        return over
    if isinstance(base, dict) and isinstance(over, dict):
        merged = dict(base)
        for key, value in over.items():
            below = (*path, key)
            # A variable without a value is one to be looked up, and no gap to be filled from below.
            replaced = key not in base or kind in _VARIABLES
            merged[key] = value if replaced else _merge(base[key], value, below)
        return merged
    if isinstance(base, list) and isinstance(over, list):
        joined = [*base, *over]
        return _unique(joined, _KEYED[kind]) if kind in _KEYED else joined
    if isinstance(base, (dict, list)) or isinstance(over, (dict, list)):
        raise OptionError(".".join(path), _kind(over), f"the file before has {_kind(base)} here; use the same form")
    return over


def _kind(value: t.Any) -> str:
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a single value"


def _same_driver(base: JSON, over: JSON) -> bool:
    drivers = [item["driver"] for item in (base, over) if isinstance(item, dict) and item.get("driver") is not None]
    return len(set(map(str, drivers))) < 2


def _unique(items: list[t.Any], key: t.Callable[[t.Any], t.Any]) -> list[t.Any]:
    by_key: dict[t.Any, t.Any] = {}
    for item in items:
        by_key[key(item)] = item
    return list(by_key.values())


def _list(value: t.Any, path: Path) -> list[t.Any]:
    if not isinstance(value, list):
        raise OptionError(".".join(path), _kind(value), "write a list")
    return value


def _name(item: t.Any, path: Path) -> str:
    if not isinstance(item, str):
        raise OptionError(".".join(path), item, "write a list of names")
    return item


def _variables(value: t.Any, path: Path) -> JSON:
    if isinstance(value, dict):
        return dict(value)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        # Not the value: it may be secret.
        raise OptionError(".".join(path), _kind(value), "write a mapping, or a list of texts such as NAME=value")
    pairs = (item.partition("=") for item in value)
    return {name: text if equals else None for name, equals, text in pairs}


def _hosts(value: t.Any, path: Path) -> list[str]:
    """``NAME=address``, one for each address."""
    if isinstance(value, dict):
        items = [
            (name, item) for name, given in value.items() for item in (given if isinstance(given, list) else [given])
        ]
        return sorted(f"{name}={item}" for name, item in items)
    hosts = []
    for item in _list(value, path):
        separator = "=" if "=" in str(item) else ":"
        name, found, addresses = str(item).partition(separator)
        if not found:
            raise OptionError(".".join(path), item, "write NAME=address")
        hosts += [f"{name}={address.strip()}" for address in addresses.split(",")]
    return hosts


def without(tree: JSON, cleared: t.Iterable[Path]) -> JSON:
    """The document without what is at the ``cleared`` paths."""
    for path in cleared:
        tree = _without(tree, path)
    return tree


def _without(tree: t.Any, path: Path) -> t.Any:
    if not path:
        return {}
    if not isinstance(tree, dict) or path[0] not in tree:
        return tree
    if len(path) == 1:
        return {key: value for key, value in tree.items() if key != path[0]}
    return {**tree, path[0]: _without(tree[path[0]], path[1:])}
