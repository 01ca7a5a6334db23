# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""An engine and all of its containers, in the engine's own words, for those who show them elsewhere.

A container is an entry of ``GET /containers/json`` (Docker API 1.41 to 1.55) without what may be a secret: of its command the program alone, of its
labels ours, no environment. An entry of ours has its limits too, which only an inspect tells, by the names that they have there.
"""

from __future__ import annotations

import typing as t

from .._plan import Plan
from . import lasting_facts, names
from .api import Engine
from .observe import Container, Observed
from .ports import Port
from .spec import SetSpec
from .wanted import Wanted

JSON = dict[str, t.Any]

_LABELS = (names.SET, names.TENANT, names.MEMBER, names.LINKS)


def read_engine(engine: Engine) -> JSON:
    """What the engine is, of its ``GET /info`` and ``GET /version`` what stays as long as it is the same engine."""
    info, version = engine.get("/info"), engine.get("/version")
    return {
        "info": {key: info[key] for key in lasting_facts.INFO if key in info},
        "version": {key: version[key] for key in lasting_facts.VERSION if key in version},
    }


def listing(items: t.Iterable[JSON], containers: t.Iterable[Container]) -> list[JSON]:
    """The engine's containers by name. ``containers`` are those that were inspected."""
    inspected = {container.id: container for container in containers}
    return sorted((_entry(item, inspected.get(item["Id"])) for item in items), key=_name)


def announced_listing(spec: SetSpec, observed: Observed, wanted: t.Mapping[str, Wanted], planned: Plan) -> list[JSON]:
    """What ``listing`` will be once a plan is carried out. What only the engine can know of a new container is empty."""
    actions = {change.name: change.action for change in planned.changes if change.kind == "container"}
    entries = {entry["Id"]: entry for entry in listing(observed.listed, observed.containers)}
    current = observed.current()
    for container in observed.containers:
        if container.staged or container.retired or actions.get(container.member) in ("remove", "replace"):
            entries.pop(container.id, None)
    for name, member in wanted.items():
        action, there = actions.get(name), current.get(name)
        if there is None or action in ("create", "replace"):
            entries[name] = _new_entry(spec, member)
        elif action == "start":
            entries[there.id] = {**entries[there.id], **_running(member)}
        elif action == "update":
            entry = entries[there.id]
            entries[there.id] = {**entry, "HostConfig": {**entry["HostConfig"], **_limits(member.values)}}
    return sorted(entries.values(), key=_name)


def _name(entry: JSON) -> str:
    return str(entry["Names"][0]) if entry["Names"] else ""


def _entry(item: JSON, container: Container | None) -> JSON:
    labels = item.get("Labels") or {}
    network_mode = {"NetworkMode": (item.get("HostConfig") or {}).get("NetworkMode", "")}
    return {
        **{key: item[key] for key in ("Id", "Image", "ImageID", "Created", "State", "Status")},
        "Names": item.get("Names") or [],
        "Command": (item.get("Command") or "").partition(" ")[0],
        "Ports": item.get("Ports") or [],
        "Labels": {label: labels[label] for label in _LABELS if label in labels},
        "HostConfig": {**network_mode, **(_limits(container.options) if container else {})},
    }


def _limits(values: t.Mapping[str, t.Any]) -> JSON:
    return {"Memory": values["memory"], "NanoCpus": values["cpus"], "Privileged": values["privileged"]}


def _new_entry(spec: SetSpec, member: Wanted) -> JSON:
    command = [*(member.values["entrypoint"] or ()), *(member.values["command"] or ()), ""]
    links = ",".join(member.links)
    return {
        "Id": "",
        "Names": [f"/{names.container_name(spec.name, member.spec.name)}"],
        "Image": member.spec.image,
        "ImageID": member.image.id,
        "Command": command[0],
        "Created": 0,
        "Labels": {
            names.SET: spec.name,
            names.TENANT: spec.tenant,
            names.MEMBER: member.spec.name,
            names.LINKS: links,
        },
        "HostConfig": {"NetworkMode": member.network, **_limits(member.values)},
        **_running(member),
    }


def _running(member: Wanted) -> JSON:
    if member.values["one_shot"]:
        return {"State": "exited", "Status": "Exited (0)", "Ports": []}
    healthy = " (healthy)" if member.values["healthcheck"] else ""
    return {"State": "running", "Status": f"Up{healthy}", "Ports": [_port(port) for port in member.values["ports"]]}


def _port(port: Port) -> JSON:
    return {
        "IP": port.address or "0.0.0.0",
        "PrivatePort": port.container,
        "PublicPort": port.host,
        "Type": port.protocol,
    }
