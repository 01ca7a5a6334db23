# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Volumes and bind mounts: ``source:target[:mode]``."""

from __future__ import annotations

import posixpath
import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError

# /var/run is a link to /run. Whoever speaks to containerd below the engine owns the machine likewise.
_SOCKETS = ("docker.sock", "podman/podman.sock", "containerd/containerd.sock", "docker/containerd/containerd.sock")
ENGINE_SOCKETS = frozenset(f"{folder}/{socket}" for folder in ("/run", "/var/run") for socket in _SOCKETS)
# Those of engines that users run for themselves, and what they are below.
_ROOTLESS_SOCKETS = re.compile(r"(/var)?/run/user(/\d+(/(docker\.sock|podman(/podman\.sock)?))?)?")
VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_MODES = {"ro", "rw", "z", "Z", "nocopy", "shared", "rshared", "slave", "rslave", "private", "rprivate"}


@dataclass(frozen=True, order=True)
class Mount:
    """A directory in the container. ``source`` is a path of the VM or the name of a volume; ``modes`` without ``rw``, which is the default."""

    target: str
    source: str
    modes: tuple[str, ...] = ()

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

    def bind(self) -> str:
        """The mount as an entry of the engine's ``Binds``."""
        return ":".join([self.source, self.target, ",".join(self.modes) or "rw"])

    def __str__(self) -> str:
        return ":".join([self.source, self.target, *([",".join(self.modes)] if self.modes else [])])


def parse_mount(option: str, value: t.Any) -> Mount:
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
