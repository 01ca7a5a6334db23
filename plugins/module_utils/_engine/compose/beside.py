# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Bind mounts of what stands beside a Compose file.

A relative source is a path of the machine that has the file, and the VM has no such directory. A file that is there is copied into the container; a
directory that is not there, which the compose program would make, is a volume of the set. What a directory holds cannot be copied without a change in
meaning: a mount hides what the image has at its place, a copy joins it.
"""

from __future__ import annotations

import posixpath
import re
import typing as t

from ..._errors import OptionError
from ..mounts import VOLUME_NAME
from .load import Loader

JSON = dict[str, t.Any]


class Place(t.NamedTuple):
    """What the controller has at a path: a file, or a directory that ``holds_files``."""

    is_file: bool = False
    executable: bool = False
    holds_files: bool = False


# What the controller has at an absolute path, or None where there is nothing.
Look = t.Callable[[str], t.Optional[Place]]  # noqa: UP045  # read by pylint as Python 3.8

_FILE_NAME = re.compile(r".+\.[A-Za-z][A-Za-z0-9]{0,9}")
_SELINUX = ("z", "Z")
# A larger one is data, and belongs into an image or a volume.
MOST_BYTES = 1 << 20


class Beside:
    """Places the relative sources of one model. ``directory`` is the project's; ``declared`` are the volumes of the file."""

    def __init__(self, loader: Loader, look: Look, directory: str, declared: t.Collection[str]) -> None:
        self._loader = loader
        self._look = look
        self._directory = directory
        self._declared = declared
        self._named: dict[str, str] = {}
        self.warnings: list[str] = []

    def place(self, option: str, source: str, target: str, modes: t.Sequence[str]) -> tuple[str, JSON | None]:
        """The volume that takes the place of the mount of ``source``, or else the file that is copied: its definition, and no volume."""
        found = self._look(source)
        if found is None and (_FILE_NAME.fullmatch(posixpath.basename(target)) or "ro" in modes):
            raise OptionError(option, source, "there is no such file or directory on the controller")
        if found is not None and found.is_file:
            return "", self._copied(option, source, found, "ro" in modes)
        if found is not None and (found.holds_files or "ro" in modes):
            expected = (
                "it is a directory of the controller, and the VM does not have it: mount its files one by one, which are copied, "
                "build them into the image, or name a volume or an absolute path of the VM"
            )
            raise OptionError(option, source, expected)
        return self._volume(option, source), None

    def _copied(self, option: str, source: str, found: Place, read_only: bool) -> JSON:
        text = self._loader.text(option, source)
        if len(text.encode()) > MOST_BYTES:
            raise OptionError(
                option, source, f"no file of more than {MOST_BYTES >> 20} MiB is copied; build it into the image"
            )
        if not read_only:
            self.warnings.append(
                f"{option}: the container gets a copy of {source}; what it writes there is gone when it is replaced"
            )
        mode = (0o444 if read_only else 0o644) | (0o111 if found.executable else 0)
        return {"content": text, "mode": f"{mode:04o}"}

    def _volume(self, option: str, source: str) -> str:
        """The name of the set's volume for a directory. Services that mount one directory share one volume."""
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", posixpath.relpath(source, self._directory)).strip("_-")
        taken = self._named.get(name, source) != source or name in self._declared
        if taken or not VOLUME_NAME.fullmatch(name):
            raise OptionError(
                option, source, "give the volume a name, as data:/data, and declare it at the top of the file"
            )
        if name not in self._named:
            self.warnings.append(
                f"{option}: {source} is a directory of the controller, which the VM does not have; it is the set's volume {name}"
            )
        self._named[name] = source
        return name


def volume_modes(modes: t.Iterable[str]) -> list[str]:
    """The modes of a bind mount as those of a volume, which hides what the image has there just as well."""
    return [*(mode for mode in modes if mode in _SELINUX), "nocopy"]
