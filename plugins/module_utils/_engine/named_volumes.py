# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Volumes of a set that are no plain directories, have another name on the engine than SET_VOLUME, or were there before it."""

from __future__ import annotations

import posixpath
import re
import typing as t
from dataclasses import dataclass, field

from .._errors import OptionError
from . import names, parsers
from .mounts import VOLUME_NAME, Mount

_ENGINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
_KEYS = ("name", "external", "driver_opts")
# What the engine's driver "local" knows, and what it wants beside each: moby, daemon/volume/local/local_unix.go.
_DRIVER_OPTS: t.Mapping[str, tuple[str, ...]] = {
    "type": ("device",),
    "device": ("type",),
    "o": ("type", "device"),
    "size": (),
}
_SECRET_FLAG = re.compile(r"\b(pass(?:word|wd)?|password2|secret)=[^,]*")


@dataclass(frozen=True)
class NamedVolume:
    """What the engine calls the volume. An ``external`` one is there already; the set uses it, and neither makes nor removes it.

    ``driver_opts`` say what the engine mounts as the volume, instead of a directory of its own: a share of NFS or CIFS, a file system in memory, a directory.
    """

    name: str
    external: bool = False
    driver_opts: t.Mapping[str, str] = field(default_factory=dict, repr=False)


def parse_volumes(option: str, value: t.Any, set_name: str) -> dict[str, NamedVolume]:
    """A mapping of the names that containers mount to ``name``, ``external`` and ``driver_opts``."""
    found: dict[str, NamedVolume] = {}
    for volume, given in parsers.mapping(option, value).items():
        where = f"{option}.{volume}"
        if not VOLUME_NAME.fullmatch(volume):
            raise OptionError(where, volume, "name volumes with letters, digits, dashes and underscores")
        settings = {key: own for key, own in parsers.known_keys(where, given, _KEYS).items() if own is not None}
        external = parsers.boolean(f"{where}.external", settings.get("external", False))
        opts = parse_driver_opts(f"{where}.driver_opts", settings.get("driver_opts") or {})
        name = settings.get("name", volume if external else names.volume_name(set_name, volume))
        if not isinstance(name, str) or not _ENGINE_NAME.fullmatch(name):
            raise OptionError(f"{where}.name", name, "write what the engine calls it, such as shop_data")
        if external and opts:
            raise OptionError(f"{where}.driver_opts", sorted(opts), "an external volume is as it is: take them out")
        if not external and not opts and "name" not in settings:
            expected = "say its name on the engine, driver_opts, or external: true; a plain volume needs no entry"
            raise OptionError(where, sorted(settings), expected)
        found[volume] = NamedVolume(name, external, opts)
    return found


def parse_driver_opts(option: str, value: t.Any) -> dict[str, str]:
    """The options of the engine's driver ``local``. Their values may hold a password, and are not shown."""
    given = parsers.known_keys(option, value, _DRIVER_OPTS)
    found: dict[str, str] = {}
    for key, item in given.items():
        if isinstance(item, (bool, list, dict)) or item is None or not str(item):
            raise OptionError(f"{option}.{key}", type(item).__name__, "write a text")
        found[key] = str(item)
    for key in found:
        for other in _DRIVER_OPTS[key]:
            if other not in found:
                raise OptionError(
                    f"{option}.{other}", None, f"{key} goes with {other}: the engine mounts a device of a type"
                )
    directory = bound_directory(found)
    if directory and not directory.startswith("/"):
        raise OptionError(f"{option}.device", directory, "write an absolute path of the VM")
    return found


def bound_directory(driver_opts: t.Mapping[str, str]) -> str:
    """The directory of the VM that a volume stands for, empty for one that is none."""
    flags = driver_opts.get("o", "").split(",")
    return driver_opts.get("device", "") if {"bind", "rbind"} & set(flags) else ""


def brings_engine_socket(volume: NamedVolume) -> bool:
    """Whether the volume is a directory of the VM in which an engine's socket is."""
    directory = bound_directory(volume.driver_opts)
    return bool(directory) and Mount("/", posixpath.normpath(directory)).brings_engine_socket


def shown(driver_opts: t.Mapping[str, str]) -> dict[str, str]:
    """The options as a person is shown them: what is secret among the flags of a mount is hidden."""
    return {key: _SECRET_FLAG.sub(r"\1=(hidden)", item) for key, item in driver_opts.items()}


def check_used(option: str, volumes: t.Mapping[str, NamedVolume], mounted: t.Collection[str]) -> None:
    """Refuse an entry that no container mounts: its name is a slip, and the data would be elsewhere. ``mounted`` are names on the engine."""
    for volume, named in volumes.items():
        if named.name not in mounted:
            raise OptionError(
                f"{option}.{volume}", volume, "no container mounts this volume; take it out or correct its name"
            )
