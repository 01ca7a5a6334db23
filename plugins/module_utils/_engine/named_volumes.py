# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Volumes of a set that have another name on the engine than SET_VOLUME, or that were there before it."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from . import parsers
from .mounts import VOLUME_NAME

_ENGINE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class NamedVolume:
    """What the engine calls the volume. An ``external`` one is there already; the set uses it, and neither makes nor removes it."""

    name: str
    external: bool = False


def parse_volumes(option: str, value: t.Any) -> dict[str, NamedVolume]:
    """A mapping of the names that containers mount to ``name`` and ``external``."""
    found: dict[str, NamedVolume] = {}
    for volume, given in parsers.mapping(option, value).items():
        where = f"{option}.{volume}"
        if not VOLUME_NAME.fullmatch(volume):
            raise OptionError(where, volume, "name volumes with letters, digits, dashes and underscores")
        settings = parsers.known_keys(where, given, ("name", "external"))
        name = settings.get("name", volume)
        external = parsers.boolean(f"{where}.external", settings.get("external", False))
        if not isinstance(name, str) or not _ENGINE_NAME.fullmatch(name):
            raise OptionError(f"{where}.name", name, "write what the engine calls it, such as shop_data")
        if not external and "name" not in settings:
            raise OptionError(
                where, given, "say its name on the engine, or external: true; a plain volume needs no entry"
            )
        found[volume] = NamedVolume(name, external)
    return found


def check_used(option: str, volumes: t.Mapping[str, NamedVolume], mounted: t.Collection[str]) -> None:
    """Refuse an entry that no container mounts: its name is a slip, and the data would be elsewhere. ``mounted`` are names on the engine."""
    for volume, named in volumes.items():
        if named.name not in mounted:
            raise OptionError(
                f"{option}.{volume}", volume, "no container mounts this volume; take it out or correct its name"
            )
