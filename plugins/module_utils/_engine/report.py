# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a task says of a set: the same shape for what is, what will be, and what is read only."""

from __future__ import annotations

import typing as t

from . import names, show
from .adoptable import report_definition
from .api import Engine
from .findings import container_findings, in_order, way_findings
from .listing import listing, read_engine
from .mounts import Mount
from .namespaces import WITHOUT_OWN_NETWORK, shared
from .observe import Container, Observed, observe
from .options import ENGINE_DEFAULT
from .references import Images, parse_reference
from .spec import SetSpec
from .usage import read_usages
from .wanted import Wanted

JSON = dict[str, t.Any]


def report_container(container: Container, images: Images, seconds: float | None = None) -> JSON:
    found = {
        "id": container.id,
        "container": container.name,
        "image": container.image,
        "image_id": container.image_id,
        "image_digest": images.digest_of(container.image_id, parse_reference("image", container.image)),
        "state": container.state,
        "health": container.health,
        "exit_code": container.exit_code,
        "restarts": container.restarts,
        "addresses": dict(container.addresses),
        "ports": list(container.published) or [str(port) for port in container.options["ports"]],
        "links": list(container.links),
        **_limits(container.options),
    }
    if seconds is not None:
        found["seconds"] = round(seconds, 3)
    return found


def predict(wanted: Wanted, images: Images, container_name: str) -> JSON:
    """A member as check mode announces it: what only the engine can know is empty."""
    return {
        "id": "",
        "container": container_name,
        "image": wanted.spec.image,
        "image_id": wanted.image.id,
        "image_digest": images.digest_of(wanted.image.id, wanted.spec.reference),
        "state": "exited" if wanted.values["one_shot"] else "running",
        "health": "healthy" if wanted.values["healthcheck"] and not wanted.values["one_shot"] else "none",
        "exit_code": 0,
        "restarts": 0,
        "addresses": {},
        "ports": [str(port) for port in wanted.values["ports"]],
        "links": list(wanted.links),
        **_limits(wanted.values),
    }


def _limits(values: t.Mapping[str, t.Any]) -> JSON:
    mounts: t.Iterable[Mount] = values["volumes"]
    return {
        "volumes": [str(mount) for mount in mounts],
        "memory": values["memory"],
        "memory_swap": 2 * values["memory"] if values["memory_swap"] is ENGINE_DEFAULT else values["memory_swap"],
        "cpus": values["cpus"] / 10**9,
        "pids_limit": values["pids_limit"],
        "restart": values["restart"],
        "privileged": values["privileged"],
        "capabilities": show.plain(values["capabilities"]),
    }


def report_set(spec: SetSpec, members: t.Mapping[str, JSON]) -> JSON:
    return {
        "name": spec.name,
        "tenant": spec.tenant,
        "state": "present" if spec.present else "absent",
        "network": spec.network,
        "fate": names.told_fate(spec.fate),
        "members": dict(members),
    }


def report_sets(
    engine: Engine, name: str | None, tenant: str | None, *, usage: bool = False, definition: bool = False
) -> JSON:
    """The engine, with every container of it, and its sets, narrowed by name and tenant.

    ``usage`` costs one more request for each running member; ``definition`` tells also how the sets would be written.
    """
    listed = engine.get("/containers/json", all=1)
    found = sorted({label for item in listed if (label := (item.get("Labels") or {}).get("hardshell.set"))})
    observed = {set_name: observe(engine, set_name) for set_name in found if name in (None, set_name)}
    sets = (_read_set(set_name, each) for set_name, each in observed.items())
    chosen = [item for item in sets if tenant in (None, item["tenant"])]
    if definition:
        for item in chosen:
            members = list(observed[item["name"]].current().values())
            item.update(report_definition(engine, item["name"], members))
    if usage:
        reported = [member for item in chosen for member in item["members"].values()]
        used = read_usages(engine, (member["id"] for member in reported if member["state"] == "running"))
        for member in reported:
            member["usage"] = used.get(member["id"], {})
    inspected = [container for each in observed.values() for container in each.containers]
    return {
        "container_sets": chosen,
        "findings": in_order([*_of_the_way(engine, chosen, tenant), *_findings(chosen, observed)]),
        "engine": {**read_engine(engine), "containers": listing(listed, inspected)},
    }


def _findings(chosen: t.Iterable[JSON], observed: t.Mapping[str, Observed]) -> list[JSON]:
    found: list[JSON] = []
    for item in chosen:
        members = observed[item["name"]].current()
        values = {
            name: {**container.options, "network_mode": container.network_mode} for name, container in members.items()
        }
        found += container_findings(item["tenant"], item["name"], values)
    return found


def _of_the_way(engine: Engine, chosen: t.Iterable[JSON], tenant: str | None) -> list[JSON]:
    whose = tenant or next((item["tenant"] for item in chosen), "")
    return way_findings(whose, engine.host, verified=engine.verified)


def _read_set(set_name: str, observed: Observed) -> JSON:
    current = observed.current()
    return {
        "name": set_name,
        "tenant": next((container.tenant for container in observed.containers), ""),
        "state": "present",
        "network": _network_kind(set_name, current),
        "fate": names.told_fate(next((container.fate for container in current.values()), names.INDEPENDENT)),
        "members": {
            member: report_container(container, observed.images) for member, container in sorted(current.items())
        },
        "leftovers": [container.name for container in observed.containers if container.staged or container.retired],
    }


def _network_kind(set_name: str, members: t.Mapping[str, Container]) -> str:
    placed = [c for c in members.values() if c.network_mode not in WITHOUT_OWN_NETWORK and not shared(c.network_mode)]
    if any(container.network_mode == names.flat_network(set_name) for container in placed):
        return "flat"
    own = all(c.network_mode == names.own_network(set_name, c.known_as) for c in placed)
    return "per-link" if own else "declared"
