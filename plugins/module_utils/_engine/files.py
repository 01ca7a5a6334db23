# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Files that a container gets before it starts: configuration and secrets.

They are copied into the container, so that neither its definition nor ``docker inspect`` holds what is in them. A label holds a digest of each, by
which a change is seen.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import tarfile
import typing as t
from dataclasses import dataclass, field

from .._errors import OptionError
from . import parsers
from .mounts import container_path

_KEYS = ("content", "content_base64", "uid", "gid", "mode")
# Permissions as they are usually written. A number without quotes that looks so is another one: 644 is 0o1204.
_USUAL = (400, 440, 444, 500, 550, 555, 600, 640, 644, 660, 664, 666, 700, 740, 744, 750, 755, 770, 775, 777)


@dataclass(frozen=True)
class PlacedFile:
    """One file. ``mode`` are its permissions."""

    content: bytes = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o444


def parse_files(option: str, value: t.Any) -> dict[str, PlacedFile]:
    """A mapping of paths in the container to ``content`` or ``content_base64``, ``uid``, ``gid`` and ``mode``. Messages do not show the content."""
    found = {}
    for path, given in parsers.mapping(option, value).items():
        where = f"{option}.{path}"
        if not isinstance(given, t.Mapping):
            raise OptionError(where, type(given).__name__, "write a mapping with content")
        settings = parsers.known_keys(where, given, _KEYS)
        number = parsers.integer(0, 2**32 - 2)
        found[container_path(where, path)] = PlacedFile(
            _content(where, settings),
            number(f"{where}.uid", settings.get("uid", 0)),
            number(f"{where}.gid", settings.get("gid", 0)),
            permissions(f"{where}.mode", settings.get("mode", 0o444)),
        )
    return found


def _content(option: str, settings: t.Mapping[str, t.Any]) -> bytes:
    content, encoded = settings.get("content"), settings.get("content_base64")
    if encoded is None:
        if not isinstance(content, str):
            raise OptionError(f"{option}.content", type(content).__name__, "write the file's text")
        return content.encode()
    if content is not None:
        raise OptionError(f"{option}.content_base64", type(encoded).__name__, "content is there too; keep one of them")
    try:
        return base64.b64decode("".join(encoded.split()), validate=True)
    except (AttributeError, ValueError):
        expected = "write what the module slurp gives: the file's bytes in base64"
        raise OptionError(f"{option}.content_base64", type(encoded).__name__, expected) from None


def permissions(option: str, value: t.Any) -> int:
    """A number as it is, which YAML has made of 0440, and a text as octal digits."""
    if isinstance(value, int) and value in _USUAL:
        raise OptionError(option, value, f'put it in quotes, as "0{value}": YAML takes it for a decimal number')
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 0o7777:
        return value
    if isinstance(value, str) and re.fullmatch(r"0?o?[0-7]{1,4}", value):
        return int(value.replace("o", ""), 8)
    raise OptionError(option, value, 'write permissions such as "0440"')


def fingerprints(owner: str, files: t.Mapping[str, PlacedFile]) -> dict[str, str]:
    """Owner, permissions and a digest of each file. ``owner`` goes into the digest, so that equal files of two members do not look alike."""
    return {
        path: f"{file.uid}:{file.gid}:{file.mode:o}:{_digest(owner, path, file.content)}"
        for path, file in files.items()
    }


def _digest(owner: str, path: str, content: bytes) -> str:
    return hashlib.sha256(b"\0".join([owner.encode(), path.encode(), content])).hexdigest()


def archive(files: t.Mapping[str, PlacedFile]) -> bytes:
    """The files as an archive to unpack at the container's root. Directories are not in it: those that exist keep their permissions."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, file.gid
            tar.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()
