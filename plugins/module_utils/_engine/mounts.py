# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Volumes and bind mounts: ``source:target[:mode]``, or a mapping for what such a text cannot say."""

from __future__ import annotations

import posixpath
import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError

JSON = dict[str, t.Any]

# /var/run is a link to /run. Whoever speaks to containerd below the engine owns the machine likewise.
_SOCKETS = ("docker.sock", "podman/podman.sock", "containerd/containerd.sock", "docker/containerd/containerd.sock")
ENGINE_SOCKETS = frozenset(f"{folder}/{socket}" for folder in ("/run", "/var/run") for socket in _SOCKETS)
# Those of engines that users run for themselves, and what they are below.
_ROOTLESS_SOCKETS = re.compile(r"(/var)?/run/user(/\d+(/(docker\.sock|podman(/podman\.sock)?))?)?")
VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PROPAGATIONS = {"shared", "rshared", "slave", "rslave", "private", "rprivate"}
_MODES = {"ro", "rw", "z", "Z", "nocopy", *_PROPAGATIONS}
_KEYS = ("source", "target", "modes", "subpath", "create_host_path")


@dataclass(frozen=True, order=True)
class Mount:
    """A directory in the container. ``source`` is a path of the VM or the name of a volume; ``modes`` without ``rw``, which is the default.

    ``subpath`` is a directory of the volume, which is mounted alone; ``must_exist`` is for a path of the VM that the engine shall not make.
    """

    target: str
    source: str
    modes: tuple[str, ...] = ()
    subpath: str = ""
    must_exist: bool = False

    @property
    def is_volume(self) -> bool:
        return not self.source.startswith("/")

    @property
    def brings_engine_socket(self) -> bool:
        """Whether an engine's socket is what is mounted, or below it. One in a read-only mount can still be spoken to."""
        below = f"{self.source.rstrip('/')}/"
        return _ROOTLESS_SOCKETS.fullmatch(self.source) is not None or any(
            f"{socket}/".startswith(below) for socket in ENGINE_SOCKETS
        )

    @property
    def is_structured(self) -> bool:
        """Whether it says what an entry of the engine's ``Binds`` cannot."""
        return bool(self.subpath) or self.must_exist

    def bind(self) -> str:
        """The mount as an entry of the engine's ``Binds``."""
        return ":".join([self.source, self.target, ",".join(self.modes) or "rw"])

    def entry(self) -> JSON:
        """The mount as an entry of the engine's ``Mounts``. ``VolumeOptions.Subpath``: API 1.45."""
        found: JSON = {
            "Type": "volume" if self.is_volume else "bind",
            "Source": self.source,
            "Target": self.target,
            "ReadOnly": "ro" in self.modes,
        }
        if self.is_volume:
            return {**found, "VolumeOptions": {"NoCopy": "nocopy" in self.modes, "Subpath": self.subpath}}
        propagation = next((mode for mode in self.modes if mode in _PROPAGATIONS), "")
        return {**found, **({"BindOptions": {"Propagation": propagation}} if propagation else {})}

    def written(self) -> str | JSON:
        """The mount as a person writes it."""
        if not self.is_structured:
            return ":".join([self.source, self.target, *([",".join(self.modes)] if self.modes else [])])
        return {
            "source": self.source,
            "target": self.target,
            **({"modes": list(self.modes)} if self.modes else {}),
            **({"subpath": self.subpath} if self.subpath else {}),
            **({"create_host_path": False} if self.must_exist else {}),
        }

    def __str__(self) -> str:
        told = [*self.modes, *([f"subpath={self.subpath}"] if self.subpath else [])]
        told += ["create_host_path=false"] if self.must_exist else []
        return ":".join([self.source, self.target, *([",".join(told)] if told else [])])


def parse_mount(option: str, value: t.Any) -> Mount:
    if isinstance(value, t.Mapping):
        return _parse_mapping(option, value)
    parts = value.split(":") if isinstance(value, str) else []
    if len(parts) not in (2, 3):
        raise OptionError(option, value, "write a volume such as data:/data or /srv/data:/data:ro")
    source, target = parts[0], parts[1]
    if not (source.startswith("/") or VOLUME_NAME.fullmatch(source)):
        raise OptionError(
            option,
            value,
            "the source is an absolute path of the VM or a volume name of letters, digits, dashes and underscores",
        )
    modes = parts[2].split(",") if len(parts) == 3 else []
    unknown = [mode for mode in modes if mode not in _MODES]
    if unknown:
        raise OptionError(option, value, f"{unknown[0]!r} is no mode; use one of {', '.join(sorted(_MODES))}")
    source = posixpath.normpath(source) if source.startswith("/") else source
    return Mount(container_path(option, target), source, tuple(sorted(set(modes) - {"rw"})))


def _parse_mapping(option: str, value: t.Mapping[str, t.Any]) -> Mount:
    for key in value:
        if key not in _KEYS:
            raise OptionError(f"{option}.{key}", key, f"there is no such key; known are {', '.join(_KEYS)}")
    given = {key: item for key, item in value.items() if item is not None}
    modes = given.get("modes") or []
    if not isinstance(modes, (list, tuple)):
        raise OptionError(f"{option}.modes", modes, "write a list, such as [ro]")
    plain = parse_mount(
        option,
        ":".join(map(str, [given.get("source", ""), given.get("target", ""), ",".join(map(str, modes)) or "rw"])),
    )
    subpath, create = given.get("subpath", ""), given.get("create_host_path", True)
    if not isinstance(create, bool):
        raise OptionError(f"{option}.create_host_path", create, "write true or false")
    if not isinstance(subpath, str) or subpath.startswith("/") or ".." in subpath.split("/"):
        raise OptionError(f"{option}.subpath", subpath, "write a path inside the volume, such as uploads/2026")
    subpath = posixpath.normpath(subpath) if subpath else ""
    mount = Mount(plain.target, plain.source, plain.modes, "" if subpath == "." else subpath, not create)
    if mount.subpath and not mount.is_volume:
        raise OptionError(
            f"{option}.subpath", subpath, "it goes with a volume; of a path of the VM name the path below it"
        )
    if mount.must_exist and mount.is_volume:
        raise OptionError(
            f"{option}.create_host_path", create, "it goes with a path of the VM; the set makes its volumes"
        )
    fitting = {"ro", "nocopy"} if mount.is_volume else {"ro", *_PROPAGATIONS}
    for mode in mount.modes:
        if mount.is_structured and mode not in fitting:
            raise OptionError(
                f"{option}.modes",
                mode,
                f"the engine does not know it beside {'subpath' if subpath else 'create_host_path'}",
            )
    return mount


def parse_bind(bind: str) -> Mount:
    """An entry of the engine's ``Binds``, which need not have been written by us."""
    source, _colon, rest = bind.partition(":")
    target, _colon, modes = rest.partition(":")
    kept = {mode for mode in modes.split(",") if mode} - {"rw"}
    return Mount(
        posixpath.normpath(target),
        posixpath.normpath(source) if source.startswith("/") else source,
        tuple(sorted(kept)),
    )


def container_path(option: str, value: t.Any) -> str:
    """An absolute path inside the container, cleaned as the engine cleans it."""
    if not isinstance(value, str) or not value.startswith("/") or posixpath.normpath(value) == "/":
        raise OptionError(option, value, "write an absolute path inside the container, other than /")
    return posixpath.normpath(value).replace("//", "/")
