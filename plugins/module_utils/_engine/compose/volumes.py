# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Volumes of a service: both forms, as ``container_set`` writes them."""

from __future__ import annotations

import re
import typing as t

from ..._errors import OptionError
from .. import parsers
from ..files import permissions
from ..mounts import VOLUME_NAME, container_path, parse_mount
from ..named_volumes import parse_volumes as parse_named
from ..quantities import parse_size
from .beside import Beside, volume_modes
from .load import on_controller
from .networks import external_and_name

JSON = dict[str, t.Any]

# What Docker Desktop once made of a bind mount; Linux knows one consistency.
_CONSISTENCIES = frozenset({"consistent", "cached", "delegated"})


class Mounts(t.NamedTuple):
    """Mounts as ``volumes``, ``tmpfs`` and ``files`` of a container."""

    volumes: list[str | JSON]
    tmpfs: list[str]
    files: dict[str, JSON]


def volumes(
    path: str,
    service: str,
    value: list[t.Any],
    declared: t.Collection[str],
    beside: Beside,
    *,
    socket_allowed: bool = False,
) -> Mounts:
    """The mounts of a service. ``declared`` are the volumes that the file declares at its top."""
    found = Mounts([], [], {})
    for index, item in enumerate(value):
        option = f"{path}[{index}]"
        if isinstance(item, dict) and item.get("type") == "tmpfs":
            found.tmpfs.append(_tmpfs(option, item))
            continue
        given, target, modes = _long_volume(option, item) if isinstance(item, dict) else _short_volume(option, item)
        beyond = _beyond_text(option, item, given) if isinstance(item, dict) else {}
        taken = {*declared, *map(source_of, found.volumes)}
        if given.startswith("."):
            target = container_path(f"{option}.target", target)
            volume, copied = beside.place(option, on_controller(given), target, modes)
            if copied is not None:
                found.files[target] = copied
                continue
            found.volumes.append(":".join([volume, target, ",".join(volume_modes(modes))]))
            continue
        source = given or _unnamed(option, service, target, taken)
        written: str | JSON = ":".join([source, target, *([",".join(modes)] if modes else [])])
        if beyond:
            written = {"source": source, "target": target, **({"modes": modes} if modes else {}), **beyond}
        mount = parse_mount(option, written)
        if mount.brings_engine_socket and not socket_allowed:
            expected = "whoever holds the engine's socket, which this brings, owns the VM; take it out, or name the service in compose_engine_socket"
            raise OptionError(option, source, expected)
        if mount.is_volume and source not in declared and given:
            raise OptionError(option, source, "declare it under volumes at the top of the file")
        found.volumes.append(written)
    return found


def source_of(mount: str | JSON) -> str:
    """What a mount of a container brings, as it is written there."""
    return mount.split(":")[0] if isinstance(mount, str) else str(mount["source"])


def volumes_from(service: str, value: t.Iterable[t.Any], containers: t.Mapping[str, JSON]) -> JSON:
    """The ``volumes`` and ``files`` of a service that takes those of others too: what is at a path of its own stays."""
    own = containers[service]
    mounts = {parse_mount("volumes", item).target: item for item in own.get("volumes", [])}
    copied: dict[str, JSON] = dict(own.get("files", {}))
    taken = {*mounts, *copied, *(text.split(":")[0] for text in own.get("tmpfs", []))}
    for item in value:
        other, read_only = provider_of(item)
        for mount in containers[other].get("volumes", []):
            target = parse_mount("volumes", mount).target
            if target not in taken:
                mounts[target] = _read_only(mount) if read_only else mount
        copied.update({path: file for path, file in containers[other].get("files", {}).items() if path not in taken})
        taken |= {*mounts, *copied}
    return {**({"volumes": list(mounts.values())} if mounts else {}), **({"files": copied} if copied else {})}


def provider_of(item: t.Any) -> tuple[str, bool]:
    """The service whose volumes are taken, and whether they are only to be read."""
    name, _colon, mode = str(item).partition(":")
    return name, mode == "ro"


def _read_only(mount: str | JSON) -> str | JSON:
    if isinstance(mount, dict):
        return {**mount, "modes": sorted({*mount.get("modes", []), "ro"})}
    source, target, *modes = mount.split(":")
    return ":".join([source, target, ",".join(sorted({*filter(None, ",".join(modes).split(",")), "ro"} - {"rw"}))])


def _beyond_text(option: str, item: dict[str, t.Any], source: str) -> JSON:
    """What no text of a mount says. A missing source beside the file is judged where it is looked for."""
    subpath = (item.get("volume") or {}).get("subpath")
    create = (item.get("bind") or {}).get("create_host_path")
    create = True if create is None else parsers.boolean(f"{option}.bind.create_host_path", create)
    return {
        **({"subpath": subpath} if subpath else {}),
        **({} if create or not source.startswith("/") else {"create_host_path": False}),
    }


def named_volumes(model: JSON, containers: t.Mapping[str, JSON], set_name: str) -> dict[str, JSON]:
    """What the top of the file says of the volumes that containers mount, as the option ``volumes``: another name, options, or that they are there already."""
    mounted = {source_of(mount) for container in containers.values() for mount in container.get("volumes", [])}
    found: dict[str, JSON] = {}
    for volume, setting in (model.get("volumes") or {}).items():
        option, given = f"volumes.{volume}", setting or {}
        external, name = external_and_name(option, given)
        own = {} if name is None else {"name": name}
        opts = given.get("driver_opts") or {}
        entry = {**own, **({"external": True} if external else {}), **({"driver_opts": opts} if opts else {})}
        if entry and volume in mounted:
            parse_named("volumes", {volume: entry}, set_name)
            found[volume] = entry
    return found


def _short_volume(option: str, item: t.Any) -> tuple[str, str, list[str]]:
    parts = item.split(":") if isinstance(item, str) else []
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise OptionError(option, item, "write a volume such as data:/data, or a mapping with type, source and target")
    if len(parts) == 1:
        return "", parts[0], []
    modes = parts[2].split(",") if len(parts) == 3 else []
    return _source(option, parts[0]), parts[1], [mode for mode in modes if mode not in _CONSISTENCIES]


def _long_volume(option: str, item: dict[str, t.Any]) -> tuple[str, str, list[str]]:
    kind = item.get("type")
    if kind not in ("bind", "volume"):
        raise OptionError(f"{option}.type", kind, "write bind, volume or tmpfs")
    source, target = item.get("source") or "", item.get("target")
    if not isinstance(source, str) or not isinstance(target, str):
        raise OptionError(option, item, "say source and target as text")
    if kind == "bind":
        if not source:
            raise OptionError(option, item, "say the directory of the VM as source")
        source = _source(option, source)
        if not source.startswith(("/", ".")):
            raise OptionError(
                f"{option}.source", source, "write an absolute path of the VM, or one that begins with a dot"
            )
    elif source and not VOLUME_NAME.fullmatch(source):
        raise OptionError(f"{option}.source", source, "write the name of a volume; a directory has the type bind")
    bind, volume = item.get("bind") or {}, item.get("volume") or {}
    modes = ["ro"] if parsers.boolean(f"{option}.read_only", item.get("read_only") or False) else []
    modes += [bind[key] for key in ("selinux", "propagation") if bind.get(key)]
    if volume.get("nocopy") and parsers.boolean(f"{option}.volume.nocopy", volume["nocopy"]):
        modes.append("nocopy")
    return source, target, modes


def _source(option: str, source: str) -> str:
    if source.startswith("~"):
        raise OptionError(option, source, "whose home directory it is cannot be said: write an absolute path of the VM")
    if re.match(r"[A-Za-z]:\\|\\\\", source):
        raise OptionError(option, source, "write an absolute path of the VM")
    return source


def _unnamed(option: str, service: str, target: str, declared: t.Collection[str]) -> str:
    """The name of the set's volume for a mount that has none, so that its data outlives the container."""
    name = f"{service}_{target.strip('/').replace('/', '_').replace('.', '_')}"
    if name in declared or not VOLUME_NAME.fullmatch(name):
        raise OptionError(
            option, target, "give the volume a name, as data:/data, and declare it at the top of the file"
        )
    return name


def _tmpfs(option: str, item: dict[str, t.Any]) -> str:
    target, settings = item.get("target"), item.get("tmpfs") or {}
    flags = ["ro"] if parsers.boolean(f"{option}.read_only", item.get("read_only") or False) else []
    if settings.get("size") is not None:
        size = parse_size(f"{option}.tmpfs.size", settings["size"])
        flags += [f"size={size}"] if size else []
    if settings.get("mode") is not None:
        flags.append(f"mode={permissions(f'{option}.tmpfs.mode', settings['mode']):o}")
    path = container_path(f"{option}.target", target)
    return f"{path}:{','.join(flags)}" if flags else path
