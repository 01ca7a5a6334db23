# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What must not be touched: refused before the first change."""

from __future__ import annotations

import re
import typing as t

from .._errors import HardshellError
from . import names
from .declared_networks import DeclaredNetwork, holds, overlaps
from .member_spec import MemberSpec
from .observe import Observed
from .spec import SetSpec


def refuse_foreign(spec: SetSpec, observed: Observed) -> None:
    """Refuse an engine with another tenant's mark, and names that are taken by what is not this set's."""
    marks = [
        *(neighbour.tenant for neighbour in observed.neighbours),
        *(network.tenant for network in observed.networks.values()),
    ]
    owners = sorted(set(marks) - {"", spec.tenant})
    if owners:
        raise HardshellError(
            f"tenant: the engine carries the mark of tenant {owners[0]!r}; a VM belongs to one tenant, so {spec.tenant!r} needs its own"
        )
    needed = {
        names.container_name(spec.name, member) + suffix: member
        for member in spec.members
        for suffix in ("", names.STAGED, names.RETIRED)
    }
    adopted = {container.id for container in observed.containers if container.foreign}
    for neighbour in observed.neighbours:
        if neighbour.name in needed and neighbour.set != spec.name and neighbour.id not in adopted:
            way = "" if neighbour.marked or spec.adopt else "take it over with adopt: true, "
            raise HardshellError(
                f"containers.{needed[neighbour.name]}: the engine holds a container {neighbour.name} that is not this set's; "
                f"{way}remove it, rename it or choose another name"
            )
    joined = {name for container in observed.containers if not container.foreign for name in container.attachments}
    external = {network.name for network in spec.declared.values() if network.external}
    for name in spec.networks() if spec.members else ():
        if name in external:
            continue
        network = observed.networks.get(name)
        if network and network.set != spec.name and not (network.set == "" and (spec.adopt or name in joined)):
            way = "" if network.set else "use it with adopt: true, "
            raise HardshellError(
                f"network: the engine holds a network {name} that is not this set's; {way}remove it or choose another name for the set"
            )


def refuse_networks(spec: SetSpec, observed: Observed) -> None:
    """Refuse an external network that is not there, and one of the set's that has other options than those asked for: the engine changes none."""
    for network, declared in spec.declared.items():
        found = observed.networks.get(declared.name)
        if found is None and declared.external:
            raise HardshellError(
                f"networks.{network}: the engine holds no network {declared.name}, which is external; make it first, or correct its name"
            )
        if found is not None and not declared.external and not holds(declared.settings, found.report):
            raise HardshellError(
                f"networks.{network}: the engine holds {declared.name} with other options, which it cannot change; give it another name"
            )
        if found is None:
            _refuse_taken_subnet(spec, network, declared, observed)


def _refuse_taken_subnet(spec: SetSpec, network: str, declared: DeclaredNetwork, observed: Observed) -> None:
    """Refuse a network that is to be made with addresses of one that is there: the engine would refuse it in the middle of the work."""
    for there in observed.networks.values():
        taken = overlaps(declared.settings, there.report)
        if not taken:
            continue
        whose, way = "", "choose another subnet"
        if there.set == spec.name:
            whose = ", which is the set's own with other options"
            way = "give it another subnet in the same change, or remove the set first with state=absent, which leaves its volumes"
        raise HardshellError(
            f"networks.{network}: {taken} overlaps with the network {there.name}{whose}; the engine holds no two networks with one subnet: {way}"
        )


# What an engine knows since a version of its API, and the release that has it. Source: Docker Engine API version history.
# A kernel parameter of one interface. API 1.46 moves those of eth0 to the endpoint, and later ones refuse them: moby, handleSysctlBC.
_OF_ONE_INTERFACE = re.compile(r"net\.[^.]+\.[^.]+\.eth[^.]*\..+")
_KNOWN_SINCE = {"annotations": ((1, 43), "24"), "volumes": ((1, 45), "26")}


def _asks_for(option: str, value: t.Any) -> bool:
    return any(mount.subpath for mount in value) if option == "volumes" else bool(value)


def refuse_unknown(spec: SetSpec, api: tuple[int, int]) -> None:
    """Refuse an option that the engine does not know, and would pass over, or knows no longer."""
    for member in spec.members.values():
        for key in member.asked.get("sysctls", {}) if api >= (1, 46) else ():
            if _OF_ONE_INTERFACE.fullmatch(key):
                raise HardshellError(
                    f"containers.{member.name}.sysctls.{key}: since API 1.46 (Docker Engine 27) the engine does not take it with a container for one "
                    "interface; write it for all or default in place of the interface"
                )
        for option, (since, release) in _KNOWN_SINCE.items():
            if api < since and _asks_for(option, member.asked.get(option, ())):
                told = "volumes: subpath" if option == "volumes" else option
                raise HardshellError(
                    f"containers.{member.name}.{told}: the engine speaks API {api[0]}.{api[1]}, and knows it since API {since[0]}.{since[1]} "
                    f"(Docker Engine {release}); take it out, or bring the engine up to date"
                )


# By which words of its warning the engine tells of which option. Source: moby, daemon/daemon_unix.go, verifyPlatformContainerResources.
_UNKEPT = {
    "Block I/O": "blkio",
    "soft limit": "memory_reservation",
    "PIDs limit": "pids_limit",
    "CPU shares": "cpu_shares",
    "cpuset": "cpuset",
    "limited without swap": "memory_swap",
    "memory limit": "memory",
}


def refuse_unkept_limit(member: MemberSpec, warning: str) -> None:
    """Refuse a limit that the engine's machine cannot keep, of which the engine merely warns: as a rootless engine that may not limit.

    Better no container than one that is thought to be limited; and the next run would find it without the limit.
    """
    option = next((option for words, option in _UNKEPT.items() if words in warning), "")
    if option and option in member.asked:
        raise HardshellError(f"containers.{member.name}.{option}: the engine cannot limit it so: {warning}")


def refuse_taken_ports(spec: SetSpec, observed: Observed) -> None:
    """Refuse a port that a running container outside of the set has published."""
    adopted = {container.id for container in observed.containers if container.foreign}
    for member in spec.members.values():
        for port in member.asked.get("ports", ()):
            for neighbour in observed.neighbours:
                if (
                    neighbour.set != spec.name
                    and neighbour.id not in adopted
                    and neighbour.running
                    and any(port.collides(other) for other in neighbour.ports)
                ):
                    raise HardshellError(
                        f"containers.{member.name}.ports: {port} is taken by the container {neighbour.name}, which is not of this set; choose another host port"
                    )


def refuse_foreign_volumes(spec: SetSpec, observed: Observed, needed: frozenset[str]) -> None:
    """Refuse a volume that exists and is not this set's, and one that should exist. ``needed`` are the names of volumes to use."""
    for name in sorted(needed):
        labels = (observed.volumes or {}).get(name)
        external = name in spec.external_volumes
        if labels is None:
            if external:
                raise HardshellError(
                    f"volumes: the engine holds no volume {name}, which is external; make it first, or correct its name"
                )
            continue
        if labels.get(names.TENANT, spec.tenant) != spec.tenant:
            raise HardshellError(
                f"volumes: the volume {name} carries the mark of tenant {labels[names.TENANT]!r}; choose another name"
            )
        if external or labels.get(names.SET) == spec.name or (spec.adopt and names.SET not in labels):
            continue
        raise HardshellError(
            f"volumes: the engine holds a volume {name} that is not this set's; declare it external under volumes, remove it or choose another name"
        )


def refuse_other_volumes(spec: SetSpec, observed: Observed) -> None:
    """Refuse a volume that is there with other options than those asked for: the engine changes none, and a new one would leave the data behind."""
    for name, asked in spec.driver_opts.items():
        there = observed.driver_opts.get(name, {}) if name in (observed.volumes or {}) else asked
        differ = sorted(key for key in {*asked, *there} if asked.get(key) != there.get(key))
        if differ:
            raise HardshellError(
                f"volumes: the engine holds the volume {name} with another {' and '.join(differ)} among its driver_opts, and changes none; "
                "give it another name, or remove it first (what is on a share or in a directory stays there)"
            )
