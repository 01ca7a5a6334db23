# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a pool offers to VMs: storage repositories, networks, hosts, and finding them by the names that users write."""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import dataclass, field, replace

from .._errors import OptionError
from .session import NULL_REF, Record

UNKNOWN = 2**62
"""What is taken to be free where nobody knows, in bytes."""


@dataclass(frozen=True)
class Network:
    ref: str
    uuid: str
    name: str
    mtu: int = 1500


@dataclass(frozen=True)
class StorageRepository:
    """``free`` is what is physically left, in bytes. ``shared``: every host of the pool can reach it.

    ``attached``: a host that XAPI would have make a disk there has it plugged.
    """

    ref: str
    uuid: str
    name: str
    free: int
    holds_disks: bool = True
    shared: bool = True
    attached: bool = True


@dataclass(frozen=True)
class Thing:
    """Any object that is known by its name: an appliance, a group of VMs."""

    ref: str
    uuid: str
    name: str


@dataclass(frozen=True)
class Host(Thing):
    """A member of the pool. ``enabled``: VMs may be started on it. ``cpus``: its physical ones, 0 where it does not say."""

    enabled: bool = True
    cpus: int = 0


@dataclass(frozen=True)
class Pool:
    """One snapshot of what VMs can use. ``hosts`` maps references to names.

    ``restrictions`` are those of the licence. ``auto_power_on``: it starts VMs that ask for it when a host is powered on.
    """

    networks: tuple[Network, ...] = ()
    storage: tuple[StorageRepository, ...] = ()
    default_storage: str | None = None
    hosts: t.Mapping[str, str] = field(default_factory=dict)
    control_domains: frozenset[str] = frozenset()
    members: tuple[Host, ...] = ()
    groups: tuple[Thing, ...] = ()
    appliances: tuple[Thing, ...] = ()
    ref: str = ""
    name: str = ""
    restrictions: t.Mapping[str, str] = field(default_factory=dict)
    auto_power_on: bool = False

    def network(self, option: str, wanted: str) -> Network:
        """The network of that name or UUID. Raises ``OptionError``."""
        return one_named(option, wanted, self.networks, "network")

    def with_networks(self, names: t.Iterable[str]) -> Pool:
        """The pool as it will be once it has networks of these names too."""
        there = {network.name for network in self.networks}
        return replace(self, networks=(*self.networks, *(Network("", "", name) for name in names if name not in there)))

    def storage_repository(self, option: str, wanted: str | None) -> StorageRepository:
        """The storage repository of that name or UUID, or the pool's default for None, to make disks on. Raises ``OptionError``."""
        usable = [repository for repository in self.storage if repository.holds_disks]
        found = self._storage_repository(option, wanted, usable)
        if not found.attached:
            by_whom = "the pool's coordinator, which makes the disks of shared storage" if found.shared else "any host"
            others = ", ".join(repr(repository.name) for repository in usable if repository.attached) or "none"
            expected = f"{found.name!r} is not attached to {by_whom}; plug its PBD there (xe pbd-plug), or name one that is: {others}"
            raise OptionError(option, wanted, expected)
        return found

    def _storage_repository(
        self, option: str, wanted: str | None, usable: t.Sequence[StorageRepository]
    ) -> StorageRepository:
        if wanted is not None:
            return one_named(option, wanted, usable, "storage repository")
        default = next((repository for repository in usable if repository.ref == self.default_storage), None)
        if default is None:
            names = ", ".join(repr(repository.name) for repository in usable) or "none"
            raise OptionError(option, None, f"the pool has no default storage repository; name one of: {names}")
        return default


class Named(t.Protocol):
    @property
    def uuid(self) -> str: ...

    @property
    def name(self) -> str: ...


AnyNamed = t.TypeVar("AnyNamed", bound=Named)


def one_named(option: str, wanted: str, things: t.Sequence[AnyNamed], kind: str) -> AnyNamed:
    """The one of ``things`` with that name or UUID. Raises ``OptionError`` where there is none, or several of the name."""
    found = [thing for thing in things if thing.uuid == wanted] or [thing for thing in things if thing.name == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        uuids = ", ".join(thing.uuid for thing in found)
        raise OptionError(option, wanted, f"several are named so; give the UUID of one: {uuids}")
    raise OptionError(
        option,
        wanted,
        f"the pool has no {kind} of that name or UUID; {near_names(wanted, [thing.name for thing in things])}",
    )


def near_names(wanted: str, names: t.Sequence[str]) -> str:
    """What a user may have meant, as the end of a message."""
    by_lower = {name.lower(): name for name in names}
    near = [by_lower[lower] for lower in difflib.get_close_matches(wanted.lower(), by_lower, n=5, cutoff=0.5)]
    if near:
        return "did you mean " + " or ".join(repr(name) for name in near)
    if not names:
        return "it has none at all"
    some = ", ".join(repr(name) for name in sorted(set(names))[:12])
    return f"it has: {some}"


def pool_from_records(records: t.Mapping[str, t.Mapping[str, Record]]) -> Pool:
    """The pool from the records of ``bulk_reads.POOL_CLASSES``, by reference; with those of ``pbd`` it knows which storage is attached."""
    own_ref, own = next(iter(records.get("pool", {}).items()), ("", {}))
    default = own.get("default_SR", NULL_REF)
    storage = tuple(
        StorageRepository(
            ref=ref,
            uuid=record["uuid"],
            name=record["name_label"],
            free=_free(record),
            holds_disks=record["content_type"] != "iso" and record["type"] not in ("iso", "udev"),
            shared=record["shared"],
            attached=_is_attached(record, records.get("pbd"), own.get("master", NULL_REF)),
        )
        for ref, record in records.get("sr", {}).items()
    )
    networks = tuple(
        Network(ref, record["uuid"], record["name_label"], int(record["MTU"]))
        for ref, record in records.get("network", {}).items()
    )
    hosts = {ref: record["name_label"] for ref, record in records.get("host", {}).items()}
    control_domains = frozenset(record["control_domain"] for record in records.get("host", {}).values())
    members = tuple(
        Host(ref, record["uuid"], record["name_label"], record["enabled"], int(record["cpu_info"].get("cpu_count", 0)))
        for ref, record in records.get("host", {}).items()
    )
    return Pool(
        networks,
        storage,
        None if default == NULL_REF else default,
        hosts,
        control_domains,
        members=members,
        groups=_things(records.get("vm_group", {})),
        appliances=_things(records.get("vm_appliance", {})),
        ref=own_ref,
        name=own.get("name_label", ""),
        restrictions=own.get("restrictions", {}),
        auto_power_on=own.get("other_config", {}).get("auto_poweron") == "true",
    )


def _is_attached(sr: Record, pbds: t.Mapping[str, Record] | None, coordinator: str) -> bool:
    """Whether XAPI finds a host to make a disk there (``choose_pbds_for_sr`` in ``message_forwarding.ml``). Without PBDs nobody knows."""
    if pbds is None:
        return True
    hosts = {pbds[ref]["host"] for ref in sr["PBDs"] if ref in pbds and pbds[ref]["currently_attached"]}
    return coordinator in hosts if sr["shared"] else bool(hosts)


def _free(sr: Record) -> int:
    """What is left. A driver that does not know its size tells 0 or -1: the pool itself will say when it is full."""
    size = int(sr["physical_size"])
    return max(0, size - int(sr["physical_utilisation"])) if size > 0 else UNKNOWN


def _things(records: t.Mapping[str, Record]) -> tuple[Thing, ...]:
    return tuple(Thing(ref, record["uuid"], record["name_label"]) for ref, record in records.items())
