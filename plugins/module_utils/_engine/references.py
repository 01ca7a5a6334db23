# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Image references: what a person writes, in the one form in which two of them can be compared."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?P<domain>(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\])(?::\d+)?)/)?(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_ID = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """An image by name, tag and digest, or by id alone. ``name`` is whole: ``docker.io/library/redis``."""

    name: str = ""
    tag: str = ""
    digest: str = ""
    id: str = ""

    def __str__(self) -> str:
        if self.id:
            return self.id
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


def parse_reference(option: str, value: t.Any) -> Reference:
    """``redis``, ``redis:7``, ``registry.example:5000/team/app@sha256:...`` or an image id ``sha256:...``."""
    text = value if isinstance(value, str) else ""
    if _ID.fullmatch(text):
        return Reference(id=text)
    match = _REFERENCE.fullmatch(text)
    if match is None:
        raise OptionError(option, value, "write an image such as redis:7 or registry.example:5000/team/app:1.4")
    domain, path = match["domain"], match["path"]
    if domain and not (domain == "localhost" or "." in domain or ":" in domain):
        if domain != domain.lower():
            raise OptionError(option, value, "image names are lower-case")
        domain, path = None, f"{domain}/{path}"
    domain = "docker.io" if domain in (None, "index.docker.io") else domain
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    tag = match["tag"] or ("" if match["digest"] else "latest")
    return Reference(name=f"{domain}/{path}", tag="" if match["digest"] else tag, digest=match["digest"] or "")


class Images:
    """What an engine holds, by every name it is known under."""

    def __init__(self, listed: t.Iterable[t.Mapping[str, t.Any]]) -> None:
        self._ids: dict[Reference, str] = {}
        self._digests: dict[str, dict[str, str]] = {}
        for image in listed:
            self._ids[Reference(id=image["Id"])] = image["Id"]
            for name in [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]:
                if "<none>" not in name:
                    reference = parse_reference("image", name)
                    self._ids[reference] = image["Id"]
                    if reference.digest:
                        self._digests.setdefault(image["Id"], {})[reference.name] = reference.digest

    def id_of(self, reference: Reference) -> str | None:
        return self._ids.get(reference)

    def digest_of(self, image_id: str, reference: Reference) -> str:
        """The digest under which the image's registry knows it; empty for one that came from no registry.

        With containerd's image store the id is that digest, and of an image with several names the engine tells the digest with one of them.
        """
        known = self._digests.get(image_id, {})
        return known.get(reference.name, image_id if image_id in known.values() else "")

    def with_image(self, reference: Reference, image_id: str) -> Images:
        """The images as they will be once ``reference`` names ``image_id``."""
        other = Images([])
        other._ids = {**self._ids, reference: image_id, Reference(id=image_id): image_id}
        return other
