# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""An engine that nobody can ask yet: it holds nothing, and what a registry holds is not known to it."""

from __future__ import annotations

import typing as t

from .api import NEWEST_API, Engine

_ANSWERS: dict[str, t.Any] = {
    "/containers/json": [],
    "/networks": [],
    "/images/json": [],
    "/volumes": {"Volumes": []},
    "/info": {},
    "/version": {},
}


class EmptyEngine(Engine):
    """Answers the reads of planning as an engine would that was installed a moment ago."""

    def __init__(self, host: str) -> None:  # pylint: disable=super-init-not-called
        self.host = host
        self.api = NEWEST_API

    def get(self, path: str, *, headers: t.Mapping[str, str] | None = None, **query: t.Any) -> t.Any:  # noqa: ARG002
        if path.startswith("/distribution/"):
            return {"Descriptor": {}}
        return _ANSWERS[path]
