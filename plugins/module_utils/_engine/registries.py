# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Credentials for private registries, handed to the engine with each request that needs them and kept nowhere.

Header X-Registry-Auth: https://docs.docker.com/reference/api/engine/version/v1.51/#section/Authentication
"""

from __future__ import annotations

import base64
import json
import re
import typing as t
from dataclasses import dataclass, field

from .._errors import OptionError
from .references import Reference

# What images without a registry in their name come from, and what the engine calls it when it asks for credentials.
_HUB, _HUB_ADDRESS = "docker.io", "https://index.docker.io/v1/"
_REGISTRY = re.compile(r"(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:]+\])(?::\d+)?")


@dataclass(frozen=True)
class Registry:
    """A registry by the name that images carry, ``registry.example:5000``, and who we are there."""

    name: str
    username: str
    password: str = field(repr=False)


def parse_registries(option: str, given: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[Registry, ...]:
    """Raises OptionError for a name that no image can carry, and for one that is there twice."""
    found: dict[str, Registry] = {}
    for index, item in enumerate(given):
        path, name = f"{option}[{index}].registry", item["registry"]
        if not _REGISTRY.fullmatch(name):
            raise OptionError(path, name, "write a registry as images name it, such as registry.example:5000")
        name = _HUB if name == "index.docker.io" else name
        if name in found:
            raise OptionError(path, name, "the list holds this registry twice")
        found[name] = Registry(name, item["username"], item["password"])
    return tuple(found.values())


def credentials(registries: t.Iterable[Registry], reference: Reference) -> dict[str, str]:
    """The headers that let the engine in where ``reference`` comes from; none for a registry that is open to all."""
    domain = reference.name.partition("/")[0]
    for registry in registries:
        if registry.name == domain:
            address = _HUB_ADDRESS if domain == _HUB else domain
            told = {"username": registry.username, "password": registry.password, "serveraddress": address}
            return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(told).encode()).decode()}
    return {}
