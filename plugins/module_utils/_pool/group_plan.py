# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A tenant's group of VMs: what is asked for, what a pool holds, and the plan between them. Pure.

A pool's groups have no place for marks. So a tenant's group carries the tenant in its name, ``acme/web``, and is ours by that.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .._errors import HardshellError, OptionError
from .._plan import Change, Plan
from . import marks
from .converge import Outcome
from .option_checks import refuse_unwritable
from .pool_facts import near_names

KIND = "vm group"
PLACEMENTS = ("anti_affinity", "normal")


@dataclass(frozen=True)
class GroupSpec:
    """One group as it is asked for. ``vms`` None leaves its members alone."""

    name: str
    tenant: str
    state: str = "present"
    description: str | None = None
    placement: str = "anti_affinity"
    vms: tuple[str, ...] | None = None

    @property
    def label(self) -> str:
        """The group's name in the pool."""
        return f"{self.tenant}/{self.name}"


@dataclass(frozen=True)
class Member:
    """A VM that a group may hold. ``groups`` are the labels of those it is in, in the pool at most one."""

    ref: str
    name: str
    owner: marks.Owner | None
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    label: str
    description: str = ""
    placement: str = "anti_affinity"
    ref: str = ""
    uuid: str = ""


@dataclass(frozen=True)
class ObservedGroups:
    """``unavailable`` says why the pool has no groups, and is empty where it has."""

    unavailable: str = ""
    groups: tuple[Group, ...] = ()
    vms: tuple[Member, ...] = ()
    recommended: int | None = None


@dataclass(frozen=True)
class NewGroup:
    group: Group


@dataclass(frozen=True)
class ChangedGroup:
    group: Group
    description: str


@dataclass(frozen=True)
class RemovedGroup:
    group: Group


@dataclass(frozen=True)
class Membership:
    """A VM to be put into the group, or to be taken out of it."""

    vm: Member
    joins: bool


def group_spec(parameters: t.Mapping[str, t.Any]) -> GroupSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    refuse_unwritable(parameters)
    name, tenant, vms = parameters["name"], parameters["tenant"], parameters["vms"]
    if not re.fullmatch(r"[^\s/\"][^/\"]*", name) or not name.isprintable():
        raise OptionError("name", name, "give a name of printable characters without slashes and double quotes")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", tenant):
        raise OptionError(
            "tenant", tenant, "give a DNS label: lower-case letters, digits and inner hyphens, at most 63"
        )
    return GroupSpec(
        name=name,
        tenant=tenant,
        state=parameters["state"],
        description=parameters["description"],
        placement=parameters["placement"],
        vms=None if vms is None else tuple(dict.fromkeys(vms)),
    )


def plan_group(spec: GroupSpec, observed: ObservedGroups) -> Outcome:
    """The plan for one group. Raises ``HardshellError`` for what cannot be done, so before anything is changed."""
    group = _own(spec, observed)
    held = [vm for vm in observed.vms if group is not None and group.label in vm.groups]
    if spec.state == "absent":
        return _plan_absent(group, held)
    if observed.unavailable:
        raise HardshellError(f"name: the group {spec.name!r} cannot be made, since {observed.unavailable}")
    if group is not None and group.placement != spec.placement:
        raise OptionError(
            "placement",
            spec.placement,
            f"it is {group.placement} and fixed since the group was made; remove the group first",
        )
    description = (group.description if group else "") if spec.description is None else spec.description
    changes: list[Change] = []
    if group is None:
        made = Group(spec.label, description, spec.placement)
        shown = {"placement": made.placement, "description": made.description}
        changes.append(Change("group", "create", KIND, spec.label, None, shown, payload=NewGroup(made)))
    elif group.description != description:
        was, will = {"description": group.description}, {"description": description}
        changes.append(Change("group", "update", KIND, spec.label, was, will, payload=ChangedGroup(group, description)))
    wanted = held if spec.vms is None else [_member(spec, index, observed) for index in range(len(spec.vms))]
    for vm in wanted:
        if spec.label not in vm.groups:
            changes.append(_membership("join", vm, spec, Membership(vm, joins=True)))
    # A member that is not this tenant's was put there by somebody else, and is not ours to change.
    leaving = [vm for vm in held if vm not in wanted and vm.owner is not None and vm.owner.tenant == spec.tenant]
    changes += [_membership("leave", vm, spec, Membership(vm, joins=False)) for vm in leaving]
    members = sorted({vm.name for vm in (*wanted, *held) if vm not in leaving})
    after = Group(spec.label, description, spec.placement, uuid=group.uuid if group else "")
    before_settings = _settings(group, [vm.name for vm in held]) if group else {}
    plan = Plan(tuple(changes), before_settings, _settings(after, members))
    return Outcome(plan, _facts(after, members), _warnings(spec, observed, group))


def facts_of(spec: GroupSpec, observed: ObservedGroups) -> dict[str, t.Any] | None:
    """What a module returns as ``group``."""
    group = _own(spec, observed)
    return _facts(group, [vm.name for vm in observed.vms if group and group.label in vm.groups]) if group else None


def _own(spec: GroupSpec, observed: ObservedGroups) -> Group | None:
    found = [group for group in observed.groups if group.label == spec.label]
    if len(found) > 1:
        uuids = ", ".join(group.uuid for group in found)
        raise OptionError(
            "name", spec.name, f"several groups are named {spec.label!r}; remove those not meant: {uuids}"
        )
    return found[0] if found else None


def _facts(group: Group, members: t.Iterable[str]) -> dict[str, t.Any]:
    return {"uuid": group.uuid or None, **_settings(group, members)}


def _settings(group: Group, members: t.Iterable[str]) -> dict[str, t.Any]:
    """What of it is asked for, and not given by the pool."""
    return {
        "name": group.label,
        "description": group.description,
        "placement": group.placement,
        "vms": sorted(members),
    }


def _plan_absent(group: Group | None, held: list[Member]) -> Outcome:
    if group is None:
        return Outcome(Plan(), None)
    before = _settings(group, [vm.name for vm in held])
    change = Change("group", "delete", KIND, group.label, before, None, payload=RemovedGroup(group))
    return Outcome(Plan((change,), before, {}), None)


def _member(spec: GroupSpec, index: int, observed: ObservedGroups) -> Member:
    assert spec.vms is not None
    wanted = spec.vms[index]
    own = [vm for vm in observed.vms if vm.owner is not None and vm.owner.tenant == spec.tenant]
    found = [vm for vm in own if vm.name == wanted] or [vm for vm in own if vm.owner and vm.owner.host == wanted]
    if len(found) != 1:
        what = f"several VMs of {spec.tenant} are named so" if found else f"{spec.tenant} has no such VM"
        raise OptionError(f"vms[{index}]", wanted, f"{what}; {near_names(wanted, [vm.name for vm in own])}")
    others = [label for label in found[0].groups if not label.startswith(f"{spec.tenant}/")]
    if others:
        raise OptionError(
            f"vms[{index}]",
            wanted,
            f"it is in the group {others[0]!r}, which is not of {spec.tenant}; take it out of that first",
        )
    return found[0]


def _membership(action: str, vm: Member, spec: GroupSpec, payload: Membership) -> Change:
    before, after = list(vm.groups), [spec.label] if payload.joins else []
    return Change(f"{action}:{vm.ref}", action, KIND, vm.name, {"groups": before}, {"groups": after}, payload=payload)


def _warnings(spec: GroupSpec, observed: ObservedGroups, group: Group | None) -> tuple[str, ...]:
    spread = [each for each in observed.groups if each.placement == "anti_affinity"]
    most = observed.recommended
    if group is not None or spec.placement != "anti_affinity" or most is None or len(spread) < most:
        return ()
    return (f"the pool has {len(spread)} anti-affinity groups already, and {most} are recommended at most",)
