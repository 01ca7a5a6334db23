# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Image archives on the controller, read without loading them.

The layout is that of ``docker save``: https://github.com/moby/docker-image-spec/blob/main/spec.md and, since Docker 25, an OCI image layout beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import typing as t
from dataclasses import dataclass

from .._errors import HardshellError
from .references import Reference, parse_reference

JSON = dict[str, t.Any]


@dataclass(frozen=True)
class Archive:
    """One image of an archive. ``digests`` are all that an engine may call its id; ``config`` is what its containers inherit."""

    path: str
    digests: frozenset[str]
    config: JSON
    layers: tuple[str, ...]
    size: int


def read_archive(path: str, reference: Reference) -> Archive:
    """The image that ``reference`` names in the archive. Raises HardshellError when it cannot be read or does not hold it."""
    try:
        with tarfile.open(path, "r:*") as tar:
            members = {member.name.removeprefix("./"): member for member in tar if member.isfile()}
            manifest = _read_json(tar, members, "manifest.json")
            if manifest is None:
                raise HardshellError(
                    f"images: {path} is no image archive: it holds no manifest.json; make it with docker save"
                )
            entry = _entry(path, manifest, reference)
            config_bytes = _read(tar, members, entry["Config"])
            digests = {f"sha256:{hashlib.sha256(config_bytes).hexdigest()}"}
            index = _read_json(tar, members, "index.json")
            digests |= {item["digest"] for item in (index or {}).get("manifests", []) if len(manifest) == 1}
    except FileNotFoundError:
        raise HardshellError(f"images: there is no archive {path} on the controller") from None
    except (OSError, tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise HardshellError(f"images: the archive {path} cannot be read: {error}") from error
    config = json.loads(config_bytes)
    layers = tuple((config.get("rootfs") or {}).get("diff_ids") or [])
    return Archive(path, frozenset(digests), config.get("config") or {}, layers, os.path.getsize(path))


def _entry(path: str, manifest: list[JSON], reference: Reference) -> JSON:
    held = [tag for entry in manifest for tag in entry.get("RepoTags") or []]
    for entry in manifest:
        if any(parse_reference("images", tag) == reference for tag in entry.get("RepoTags") or []):
            return entry
    raise HardshellError(f"images: {path} does not hold {reference}; it holds {', '.join(held) or 'no named image'}")


def _read_json(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> t.Any:
    return json.loads(_read(tar, members, name)) if name in members else None


def _read(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], name: str) -> bytes:
    stream = tar.extractfile(members[name])
    return stream.read() if stream else b""
