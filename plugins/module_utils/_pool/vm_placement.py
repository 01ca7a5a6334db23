# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Where a VM belongs in its pool: the host it prefers, the group that is spread over hosts, the appliance. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .._errors import OptionError
from .pool_facts import Pool, Thing, one_named
from .record_calls import Call, vm_call
from .session import NULL_REF

GROUP_RESTRICTION = "restrict_vm_groups"


@dataclass(frozen=True)
class PlacementSpec:
    """Names or UUIDs. None leaves a thing as it is, an empty text takes the VM out of it.

    ``resident_on`` is the host that it is to run on now; ``vm_residence`` brings it there.
    """

    affinity: str | None = None
    group: str | None = None
    appliance: str | None = None
    resident_on: str | None = None


@dataclass(frozen=True)
class Link:
    """Another object of the pool that a VM points at. The name is for a person."""

    ref: str
    name: str = field(compare=False)


@dataclass(frozen=True)
class Placement:
    affinity: Link | None = None
    group: Link | None = None
    appliance: Link | None = None

    def facts(self) -> dict[str, t.Any]:
        return {
            "affinity": _name(self.affinity),
            "group": _name(self.group),
            "appliance": _name(self.appliance),
        }


def placement_spec(parameters: t.Mapping[str, t.Any]) -> PlacementSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    group = parameters["group"]
    if group and "/" in group:
        raise OptionError("group", group, "give the name that the tenant's group has in hardshell.xen.vm_group")
    return PlacementSpec(parameters["affinity"], group, parameters["appliance"], parameters["resident_on"])


def placement_of(record: t.Mapping[str, t.Any], pool: Pool) -> Placement:
    """Out of a VM's record. XAPI keeps references to hosts that have left the pool."""
    names = {each.ref: each.name for each in (*pool.members, *pool.groups, *pool.appliances)}
    return Placement(
        _link(record["affinity"], names),
        next((_link(group, names) for group in record.get("groups", ())), None),
        _link(record["appliance"], names),
    )


def _link(ref: str, names: t.Mapping[str, str]) -> Link | None:
    return None if ref == NULL_REF or ref not in names else Link(ref, names[ref])


def placement_after(spec: PlacementSpec, tenant: str, placement: Placement, pool: Pool) -> Placement:
    """As it is to be. Raises ``OptionError`` for what the pool does not have."""
    after = placement
    if spec.affinity is not None:
        after = replace(after, affinity=_named("affinity", spec.affinity, pool.members, "host"))
    if spec.appliance is not None:
        after = replace(after, appliance=_named("appliance", spec.appliance, pool.appliances, "appliance"))
    if spec.group is not None:
        after = replace(after, group=_group(spec.group, tenant, placement.group, pool))
    return after


def _group(wanted: str, tenant: str, current: Link | None, pool: Pool) -> Link | None:
    """A tenant's group carries the tenant in its name, ``acme/web``, since XAPI's groups have no place for marks."""
    prefix = f"{tenant}/"
    if current is not None and not current.name.startswith(prefix):
        raise OptionError(
            "group",
            wanted,
            f"the VM is in the group {current.name!r}, which is not of {tenant}; take it out of that first",
        )
    if not wanted:
        return None
    restriction = pool.restrictions.get(GROUP_RESTRICTION)
    if restriction != "false":
        why = "licence does not allow them" if restriction else "XAPI is older than 24.19.1"
        raise OptionError("group", wanted, f"the pool has no groups of VMs, since its {why}; leave it out")
    return _named("group", prefix + wanted, pool.groups, "group (make it with hardshell.xen.vm_group)")


def _named(option: str, wanted: str, things: t.Sequence[Thing], kind: str) -> Link | None:
    if not wanted:
        return None
    found = one_named(option, wanted, things, kind)
    return Link(found.ref, found.name)


def placement_calls(before: Placement, after: Placement) -> list[Call]:
    """What turns one into the other."""
    calls = []
    if before.affinity != after.affinity:
        calls.append(vm_call("set_affinity", _ref(after.affinity), asked="set affinity"))
    if before.group != after.group:
        calls.append(vm_call("set_groups", [after.group.ref] if after.group else [], asked="set group"))
    if before.appliance != after.appliance:
        calls.append(vm_call("set_appliance", _ref(after.appliance), asked="set appliance"))
    return calls


def _ref(link: Link | None) -> str:
    return link.ref if link else NULL_REF


def _name(link: Link | None) -> str | None:
    return link.name if link else None
