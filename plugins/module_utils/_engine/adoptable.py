# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What of an engine could be adopted, and how each set and each of these would be written. Reads only."""

from __future__ import annotations

import typing as t

from .adopt import as_label
from .api import Engine
from .definition import define
from .observe import Container, read_container, read_neighbour, read_network

JSON = dict[str, t.Any]


def report_adoptable(engine: Engine, name: str | None) -> list[JSON]:
    """The containers that no set holds: each Compose project, and under the name "" what runs beside them. Narrowed by ``name``."""
    free = [one for one in map(read_neighbour, engine.get("/containers/json", all=1)) if not one.marked]
    projects: dict[str, list[str]] = {}
    for neighbour in free:
        if neighbour.project or neighbour.running:
            projects.setdefault(neighbour.project, []).append(neighbour.id)
    networks = [read_network(item) for item in engine.get("/networks")]
    found = []
    for project, identities in sorted(projects.items()):
        if name in (None, as_label(project)):
            inspects = [engine.get(f"/containers/{identity}/json") for identity in identities]
            containers = sorted((read_container(item, networks) for item in inspects), key=lambda one: one.name)
            told = {"name": as_label(project), "project": project, "containers": [one.name for one in containers]}
            found.append({**told, **report_definition(engine, as_label(project), containers)})
    return found


def report_definition(engine: Engine, set_name: str, containers: t.Sequence[Container]) -> JSON:
    """How the set would be written. One request for each image whose configuration its containers do not carry."""
    configs: dict[str, JSON] = {}
    for container in containers:
        if container.image_id not in configs:
            known = container.image_config
            if known is None:
                known = engine.get(f"/images/{container.image_id}/json").get("Config") or {}
            configs[container.image_id] = known
    found = define(set_name, containers, configs)
    return {"definition": found.options, "left_out": list(found.left_out)}
