# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Secrets and configs of a Compose model as files of its containers."""

from __future__ import annotations

import difflib
import typing as t

from ..._errors import OptionError
from .. import parsers
from ..files import permissions
from ..mounts import container_path
from .interpolate import Variables
from .load import Loader

JSON = dict[str, t.Any]

# Where a file goes that has no absolute path, and what may say what is in it.
_KINDS = {"secrets": ("/run/secrets", ("file", "environment")), "configs": ("", ("file", "environment", "content"))}


class Files:
    """Finds the files that the services of one model are granted."""

    def __init__(self, loader: Loader, variables: Variables, model: JSON) -> None:
        self._loader = loader
        self._variables = variables
        self._model = model

    def of(self, path: str, service: JSON) -> dict[str, JSON]:
        """The files of a service by their paths, as the option ``files`` of a container. ``path`` is the service's."""
        found: dict[str, JSON] = {}
        for kind, (folder, sources) in _KINDS.items():
            for index, item in enumerate(service.get(kind) or []):
                option = f"{path}.{kind}[{index}]"
                grant = item if isinstance(item, dict) else {"source": item}
                source = grant.get("source")
                target = str(grant.get("target") or source)
                place = container_path(f"{option}.target", target if target.startswith("/") else f"{folder}/{target}")
                if place in found:
                    raise OptionError(option, place, "another file is there already")
                number = parsers.integer(0, 2**32 - 2)
                # Nobody may write to it: the specification has such bits ignored.
                mode = permissions(f"{option}.mode", grant.get("mode", 0o444)) & ~0o222
                found[place] = {
                    "content": self._content(option, kind, source, sources),
                    "uid": number(f"{option}.uid", grant.get("uid", 0)),
                    "gid": number(f"{option}.gid", grant.get("gid", 0)),
                    "mode": f"{mode:04o}",
                }
        return found

    def _content(self, option: str, kind: str, source: t.Any, sources: tuple[str, ...]) -> str:
        defined = self._model.get(kind) or {}
        if source not in defined:
            near = difflib.get_close_matches(str(source), defined, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"define it under {kind} at the top of the file"
            raise OptionError(option, source, f"the file defines none of that name; {hint}")
        path = f"{kind}.{source}"
        given = {key: value for key, value in (defined[source] or {}).items() if key in sources and value is not None}
        if len(given) != 1:
            raise OptionError(path, sorted(given), f"say where it comes from: one of {', '.join(sources)}")
        ((key, value),) = given.items()
        if key == "content":
            return str(value)
        if key == "file":
            return self._loader.text(f"{path}.file", value)
        if value not in self._variables:
            raise OptionError(f"{path}.environment", value, "this variable is not set; give it in compose_environment")
        return self._variables[value]
