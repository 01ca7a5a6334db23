# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What an engine holds: one snapshot, in as few requests as there can be, and no writing.

A set that is as it should be costs a list of containers, networks and images, and one inspect for each of its containers.
"""

from __future__ import annotations

import concurrent.futures
import json
import typing as t
from dataclasses import dataclass, field, replace

from . import names, options, reported
from .api import Engine, EngineError
from .namespaces import WITHOUT_OWN_NETWORK, by_member
from .ports import Port
from .references import Images

if t.TYPE_CHECKING:
    from .member_spec import MemberSpec

JSON = dict[str, t.Any]
READERS = 4
COMPOSE = "com.docker.compose"


@dataclass(frozen=True)
class Attachment:
    """A container's place in a network: its names there, the names it knows others by (``provider:alias``), and addresses that are not the engine's choice."""

    aliases: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()

    def is_like(self, other: Attachment | None, hostname: str) -> bool:
        """Whether both are the same but for ``hostname``, which each engine makes a name of the container, and reports as an alias up to API 1.44."""
        return other is not None and self._without(hostname) == other._without(hostname)

    def _without(self, alias: str) -> Attachment:
        return replace(self, aliases=self.aliases - {alias})

    def endpoint(self) -> JSON:
        """The engine's configuration of it, for making or connecting a container."""
        found: JSON = {"Aliases": sorted(self.aliases), "Links": sorted(self.links)}
        if self.fixed:
            found["IPAMConfig"] = {f"IPv{6 if ':' in one else 4}Address": one for one in sorted(self.fixed)}
        return found


@dataclass(frozen=True)
class Container:
    """A container of the set as the engine reports it. ``options`` are in canonical form, secrets included; ``addresses`` are by network name.

    A ``foreign`` one was made by other means and is to be adopted: its set, member and links are what the definition says. ``unsaid`` is what it has that no
    option says.
    """

    id: str
    name: str
    set: str
    tenant: str
    member: str
    known_as: str
    transaction: str
    fate: str
    image: str
    image_id: str
    image_config: JSON | None
    asked: frozenset[str]
    links: tuple[str, ...]
    options: t.Mapping[str, t.Any]
    network_mode: str
    attachments: t.Mapping[str, Attachment]
    addresses: t.Mapping[str, str]
    published: tuple[str, ...]
    state: str
    health: str
    exit_code: int
    restarts: int
    started_at: str
    unsaid: tuple[str, ...] = ()
    removed_when_stopped: bool = False
    foreign: bool = False

    @property
    def running(self) -> bool:
        return self.state in ("running", "restarting", "paused")

    @property
    def has_succeeded(self) -> bool:
        """Whether it has run to its end, and well."""
        return self.state == "exited" and self.exit_code == 0

    @property
    def base_name(self) -> str:
        return names.container_name(self.set, self.member)

    @property
    def placed(self) -> bool:
        """Whether it is the member's container, and not one that is to become or has been it."""
        return self.name == self.base_name or (self.foreign and not self.retired)

    @property
    def staged(self) -> bool:
        return not self.foreign and self.name == self.base_name + names.STAGED

    @property
    def retired(self) -> bool:
        return self.name == self.base_name + names.RETIRED


@dataclass(frozen=True)
class Neighbour:
    """Any container of the engine, as the list shows it: enough to see whose it is and what it takes up.

    ``project``, ``service`` and ``number`` are Compose's; ``marked`` is whether it carries a label of ours, whatever that says.
    """

    name: str
    set: str
    tenant: str
    running: bool
    ports: tuple[Port, ...] = ()
    id: str = ""
    marked: bool = False
    project: str = ""
    service: str = ""
    number: str = ""


@dataclass(frozen=True)
class Network:
    """A network of the engine. ``report`` is what the engine says of it."""

    name: str
    id: str
    set: str
    tenant: str
    report: JSON = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """The engine as one set sees it. ``volumes`` are the labels of each, None when nobody needed to know them, and ``driver_opts`` its options.

    ``listed`` is its list of containers as it gave it.
    """

    containers: tuple[Container, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    networks: t.Mapping[str, Network] = field(default_factory=dict)
    images: Images = field(default_factory=lambda: Images([]))
    volumes: t.Mapping[str, t.Mapping[str, str]] | None = None
    driver_opts: t.Mapping[str, t.Mapping[str, str]] = field(default_factory=dict, repr=False)
    listed: tuple[JSON, ...] = ()

    def current(self) -> dict[str, Container]:
        """The members under their proper names, and those that are to be adopted."""
        return {container.member: container for container in self.containers if container.placed}


Choose = t.Callable[[t.Sequence[Neighbour]], t.Mapping[str, "MemberSpec"]]


def adopt_nothing(_neighbours: t.Sequence[Neighbour]) -> dict[str, MemberSpec]:
    return {}


def observe(engine: Engine, set_name: str, *, volumes: bool = False, adopt: Choose = adopt_nothing) -> Observed:
    """Everything that planning for one set needs to know. ``volumes`` costs one more request. ``adopt`` says whose containers are to be adopted."""
    reads: dict[str, t.Callable[[], t.Any]] = {
        "containers": lambda: engine.get("/containers/json", all=1),
        "networks": lambda: engine.get("/networks"),
        "images": lambda: engine.get("/images/json"),
    }
    if volumes:
        reads["volumes"] = lambda: list_volumes(engine)
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        futures = {name: pool.submit(read) for name, read in reads.items()}
        listed = futures["containers"].result()
        neighbours = tuple(read_neighbour(item) for item in listed)
        adopted = adopt(neighbours)
        mine = [one.id for one in neighbours if one.set == set_name or one.id in adopted]
        inspects = [found for found in pool.map(lambda identity: _inspect(engine, identity), mine) if found]
        networks = [read_network(item) for item in futures["networks"].result()]
        containers = [read_container(found, networks) for found in inspects]
        containers = [as_member(one, set_name, adopted[one.id]) if one.id in adopted else one for one in containers]
        containers = by_member(containers, lambda one: one.member)
        found = Observed(
            containers=tuple(sorted(containers, key=lambda container: container.name)),
            neighbours=neighbours,
            networks={network.name: network for network in networks},
            images=Images(futures["images"].result()),
            listed=tuple(listed),
        )
        return with_volumes(found, futures["volumes"].result()) if volumes else found


def list_volumes(engine: Engine) -> list[JSON]:
    return engine.get("/volumes")["Volumes"] or []


def with_volumes(observed: Observed, listed: t.Sequence[JSON]) -> Observed:
    """The snapshot with what the engine says of its volumes."""
    return replace(
        observed,
        volumes={item["Name"]: item.get("Labels") or {} for item in listed},
        driver_opts={item["Name"]: item.get("Options") or {} for item in listed},
    )


def _inspect(engine: Engine, identity: str) -> JSON | None:
    """None for a container that went away between the list and now."""
    try:
        return t.cast(JSON, engine.get(f"/containers/{identity}/json"))
    except EngineError as error:
        if error.status == 404:
            return None
        raise


def as_member(container: Container, set_name: str, member: MemberSpec) -> Container:
    """A container that was made by other means, as the member that it is to be. Compose's labels are about Compose."""
    labels = {key: value for key, value in container.options["labels"].items() if not key.startswith(COMPOSE)}
    return replace(
        container,
        set=set_name,
        member=member.name,
        known_as=member.known_as,
        links=tuple(str(link) for link in member.links),
        # That it runs once is in a label of ours, and in nothing of the engine's.
        options={**container.options, "labels": labels, "one_shot": member.asked.get("one_shot", False)},
        foreign=True,
    )


def inspect_container(engine: Engine, identity: str) -> Container | None:
    found = _inspect(engine, identity)
    return read_container(found, []) if found else None


def read_network(item: JSON) -> Network:
    labels = item.get("Labels") or {}
    return Network(item["Name"], item["Id"], labels.get(names.SET, ""), labels.get(names.TENANT, ""), item)


def read_neighbour(item: JSON) -> Neighbour:
    labels = item.get("Labels") or {}
    ports = [
        Port(
            port["PrivatePort"],
            port.get("Type", "tcp"),
            port["PublicPort"],
            "" if port.get("IP") in (None, "0.0.0.0", "::") else port["IP"],
        )
        for port in item.get("Ports") or []
        if port.get("PublicPort")
    ]
    return Neighbour(
        name=(item.get("Names") or ["/?"])[0].lstrip("/"),
        set=labels.get(names.SET, ""),
        tenant=labels.get(names.TENANT, ""),
        running=item.get("State") in ("running", "restarting", "paused"),
        ports=tuple(sorted(set(ports))),
        id=item.get("Id") or "",
        marked=any(key.startswith(names.PREFIX) for key in labels),
        # What was run beside a service, and not as it, belongs to nobody.
        project=labels.get(f"{COMPOSE}.project", "") if labels.get(f"{COMPOSE}.oneoff") != "True" else "",
        service=labels.get(f"{COMPOSE}.service", ""),
        number=labels.get(f"{COMPOSE}.container-number", ""),
    )


def read_container(inspect: JSON, networks: t.Sequence[Network]) -> Container:
    config, state = inspect["Config"], inspect["State"]
    labels = config.get("Labels") or {}
    attached = inspect["NetworkSettings"].get("Networks") or {}
    mode = inspect["HostConfig"].get("NetworkMode") or "default"
    return Container(
        id=inspect["Id"],
        name=inspect["Name"].lstrip("/"),
        set=labels.get(names.SET, ""),
        tenant=labels.get(names.TENANT, ""),
        member=labels.get(names.MEMBER, ""),
        known_as=labels.get(names.KNOWN_AS) or labels.get(names.MEMBER, ""),
        transaction=labels.get(names.TRANSACTION, ""),
        fate=labels.get(names.FATE, names.INDEPENDENT),
        image=config.get("Image") or "",
        # The id that the reference stood for when the container was made: with some image stores the engine reports another kind of id here.
        image_id=labels.get(names.IMAGE_ID) or inspect["Image"],
        image_config=_image_config(labels.get(names.IMAGE_CONFIG)),
        asked=frozenset(filter(None, labels.get(names.ASKED, "").split(","))),
        links=tuple(filter(None, labels.get(names.LINKS, "").split(","))),
        options=options.read_all(inspect),
        network_mode=next((network.name for network in networks if network.id == mode), mode),
        attachments={
            name: read_attachment(endpoint, inspect["Id"])
            for name, endpoint in attached.items()
            if name not in WITHOUT_OWN_NETWORK
        },
        addresses={
            name: address
            for name, endpoint in attached.items()
            if (address := endpoint.get("IPAddress") or endpoint.get("GlobalIPv6Address"))
        },
        published=_published(inspect),
        state=state["Status"],
        health=(state.get("Health") or {}).get("Status") or "none",
        exit_code=state.get("ExitCode") or 0,
        restarts=inspect.get("RestartCount") or 0,
        started_at=state.get("StartedAt") or "",
        unsaid=reported.unsaid(inspect),
        removed_when_stopped=bool(inspect["HostConfig"].get("AutoRemove")),
    )


def _image_config(label: str | None) -> JSON | None:
    try:
        return t.cast(JSON, json.loads(label)) if label else None
    except ValueError:
        return None


def read_attachment(endpoint: JSON, container_id: str) -> Attachment:
    """Up to API 1.44 the engine adds the container's short id to its aliases."""
    aliases = {alias for alias in endpoint.get("Aliases") or [] if alias != container_id[:12]}
    asked = endpoint.get("IPAMConfig") or {}
    fixed = {asked[key] for key in ("IPv4Address", "IPv6Address") if asked.get(key)}
    return Attachment(frozenset(aliases), frozenset(endpoint.get("Links") or []), frozenset(fixed))


def _published(inspect: JSON) -> tuple[str, ...]:
    """The ports as they are open now, those that the engine chose included."""
    found = set()
    for inner, bindings in (inspect["NetworkSettings"].get("Ports") or {}).items():
        number, _slash, protocol = inner.partition("/")
        for binding in bindings or []:
            address = binding.get("HostIp") or ""
            found.add(
                Port(int(number), protocol, int(binding["HostPort"]), "" if address in ("0.0.0.0", "::") else address)
            )
    return tuple(str(port) for port in sorted(found))
