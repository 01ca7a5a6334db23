# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A model of an engine's bookkeeping, for the laws of planning: what it would report after it was asked."""

from __future__ import annotations

import dataclasses
import ipaddress
import posixpath
import typing as t

from ansible_collections.hardshell.xen.plugins.module_utils._engine import names, options
from ansible_collections.hardshell.xen.plugins.module_utils._engine.observe import (
    Container,
    Network,
    Observed,
    read_container,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import Work
from ansible_collections.hardshell.xen.plugins.module_utils._engine.references import Images, Reference
from ansible_collections.hardshell.xen.plugins.module_utils._engine.spec import SetSpec, parse
from ansible_collections.hardshell.xen.plugins.module_utils._engine.wanted import ImageFacts, Wanted, settle
from ansible_collections.hardshell.xen.plugins.module_utils._plan import Plan

API = (1, 55)
IMAGES: dict[str, dict[str, t.Any]] = {
    "box:1": {"Env": ["PATH=/bin", "LEVEL=1"], "Cmd": ["sleep"]},
    "box:2": {
        "Env": ["PATH=/bin"],
        "Entrypoint": ["/init"],
        "User": "app",
        "WorkingDir": "/srv/",
        "Volumes": {"/data": {}},
        "Labels": {"a": "b"},
    },
}


def parameters(containers: dict[str, t.Any] | None = None, **given: t.Any) -> dict[str, t.Any]:
    """A task's parameters with the module's defaults."""
    defaults = {
        "name": "shop",
        "tenant": "acme",
        "state": "present",
        "containers": containers,
        "images": [],
        "registries": [],
        "pull": "missing",
        "network": "per-link",
        "recreate": "when_changed",
        "remove_orphans": True,
        "remove_volumes": False,
        "wait_timeout": 300,
        "fate": "independent",
        "fate_reaction": None,
    }
    return {**defaults, **given}


def spec_of(containers: dict[str, t.Any] | None = None, **given: t.Any) -> SetSpec:
    return parse(parameters(containers, **given))


def image_id(name: str) -> str:
    return "sha256:" + name.encode().hex().ljust(64, "0")


def images_of(spec: SetSpec) -> dict[Reference, ImageFacts]:
    return {
        member.reference: ImageFacts(image_id(member.image), IMAGES[member.image]) for member in spec.members.values()
    }


def wanted_of(spec: SetSpec) -> dict[str, Wanted]:
    return settle(spec, images_of(spec), API)


def engine_report(spec: SetSpec, wanted: Wanted, identity: str) -> dict[str, t.Any]:
    """What an engine reports of a container that was made as ``wanted`` says: merged with its image, in the engine's order and with its additions."""
    body = options.create_body(wanted.values)
    host = body.pop("HostConfig")
    if host.get("Memory") and not host.get("MemorySwap"):
        host["MemorySwap"] = 2 * host["Memory"]
    host.update(
        NetworkMode=wanted.network,
        ShmSize=host.get("ShmSize", 64 << 20),
        CgroupnsMode=host.get("CgroupnsMode", "host"),
        Runtime=host.get("Runtime", "runc"),
        MaskedPaths=["/proc/kcore"],
    )
    # As netip.Addr writes addresses, in Docker Engine 29. It cleans working directories too.
    host["Dns"] = [str(ipaddress.ip_address(address)) for address in host.get("Dns") or []]
    host.setdefault("LogConfig", {"Type": "json-file", "Config": {}})
    if all(limit["Name"] != "nofile" for limit in host["Ulimits"]):
        # Its default-ulimits, as distributions set them.
        host["Ulimits"] = [*host["Ulimits"], {"Name": "nofile", "Soft": 32768, "Hard": 65536}]
    if not host.get("PidsLimit"):
        host["PidsLimit"] = None
    labels = {
        **body.get("Labels", {}),
        names.SET: spec.name,
        names.TENANT: spec.tenant,
        names.MEMBER: wanted.spec.name,
        names.LINKS: ",".join(wanted.links),
        names.KNOWN_AS: wanted.spec.known_as,
        names.ASKED: ",".join(sorted(wanted.spec.asked)),
        names.IMAGE_ID: wanted.image.id,
        **({names.FATE: spec.fate} if spec.fate else {}),
    }
    entrypoint = None if body["Entrypoint"] == [""] else body["Entrypoint"]
    config = {
        **body,
        "Labels": labels,
        "Image": wanted.spec.image,
        "Entrypoint": entrypoint,
        "WorkingDir": posixpath.normpath(body["WorkingDir"]).replace("//", "/"),
        "Hostname": body.get("Hostname") or identity[:12],
    }
    attached = {
        network: {
            **place.endpoint(),
            # As up to API 1.44: its short id and its host name are among the aliases that were asked for.
            "Aliases": list(dict.fromkeys([*sorted(place.aliases), identity[:12], config["Hostname"]])),
            "Links": sorted(place.links) or None,
            "IPAddress": "172.18.0.2",
        }
        for network, place in wanted.attachments.items()
    }
    ended = wanted.values["one_shot"]
    return {
        "Id": identity,
        "Name": f"/{names.container_name(spec.name, wanted.spec.name)}",
        "Image": wanted.image.id,
        "Config": config,
        "HostConfig": host,
        "State": {"Status": "exited" if ended else "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"},
        "RestartCount": 0,
        "NetworkSettings": {"Networks": attached, "Ports": {}},
    }


def made(spec: SetSpec, wanted: Wanted, identity: str) -> Container:
    return read_container(engine_report(spec, wanted, identity), [])


def after(spec: SetSpec, observed: Observed, plan: Plan) -> Observed:
    """What the engine holds once the plan is carried out."""
    containers = {container.name: container for container in observed.containers}
    networks = dict(observed.networks)
    volumes = dict(observed.volumes or {})
    for number, change in enumerate(plan.changes):
        if change.kind == "network":
            networks.pop(change.name, None)
            if change.action == "create":
                networks[change.name] = Network(change.name, f"n{number}", spec.name, spec.tenant)
        elif change.kind == "volume":
            volumes.pop(change.name, None)
            if change.action == "create":
                volumes[change.name] = {names.SET: spec.name}
        elif change.id.startswith("leftover:"):
            container = containers.pop(change.name)
            if change.action == "rename":
                containers[container.base_name] = dataclasses.replace(container, name=container.base_name)
        else:
            _after_member(spec, containers, t.cast(Work, change.payload), change.action, f"{number:064x}")
    return dataclasses.replace(observed, containers=tuple(containers.values()), networks=networks, volumes=volumes)


def _after_member(spec: SetSpec, containers: dict[str, Container], work: Work, action: str, identity: str) -> None:
    if action in ("create", "replace"):
        assert work.wanted is not None
        container = made(spec, work.wanted, identity)
        containers[container.name] = container
        return
    assert work.current is not None
    if action == "remove":
        del containers[work.current.name]
        return
    now = containers[work.current.name]
    assert work.wanted is not None
    if action == "update":
        updated = {name: work.wanted.values[name] for name in options.BY_NAME if options.BY_NAME[name].update}
        if updated["memory_swap"] is options.ENGINE_DEFAULT:
            updated["memory_swap"] = 2 * updated["memory"]
        now = dataclasses.replace(now, options={**now.options, **updated})
    elif action == "start":
        now = dataclasses.replace(now, state="running")
    elif action == "disconnect":
        now = dataclasses.replace(
            now, attachments={name: place for name, place in now.attachments.items() if name != work.network}
        )
    else:
        now = dataclasses.replace(
            now, attachments={**now.attachments, work.network: work.wanted.attachments[work.network]}
        )
    containers[now.name] = now


def empty() -> Observed:
    return Observed(images=Images([]), volumes={})
