# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What would turn the observed set into the one asked for. Pure: no clock, no engine."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._errors import HardshellError
from .._plan import Change, Plan
from . import named_volumes, names, options, show
from .declared_networks import shown
from .leftovers import clean_up
from .links import start_order
from .namespaces import lost_network
from .observe import Attachment, Container, Observed
from .replicas import providers_of
from .spec import SetSpec
from .update_order import arrange
from .wanted import Wanted

# What puts a member's namespaces in the place of those that there were.
RENEWING = ("create", "replace", "start")
STARTABLE = ("created", "exited", "paused")


@dataclass(frozen=True)
class Work:
    """What a change of a container needs besides: the container there is and the one that is wanted; ``fresh`` when a new one is made.

    ``order`` is BESIDE or IN_TURN where members are updated one after another, and empty where the whole set is stopped first.
    """

    current: Container | None = None
    wanted: Wanted | None = None
    update: t.Mapping[str, t.Any] | None = None
    network: str = ""
    fresh: bool = False
    order: str = ""


def needed_volumes(wanted: t.Mapping[str, Wanted], observed: Observed) -> frozenset[str]:
    """The volumes that no container of the set is seen to use: whether they exist must be asked."""
    used = {mount.source for container in observed.containers for mount in container.options["volumes"]}
    return frozenset(name for member in wanted.values() for name in member.volumes if name not in used)


def plan(spec: SetSpec, observed: Observed, wanted: t.Mapping[str, Wanted]) -> Plan:
    """The plan. ``wanted`` holds the members in start order. Raises HardshellError when recreate=never stands in the way."""
    leftovers, settled = clean_up(observed)
    changes = list(leftovers)
    changes += _missing_networks(spec, settled)
    changes += _missing_volumes(spec, wanted, settled)
    ground = tuple(change.id for change in changes)
    current = settled.current()
    for name, member in wanted.items():
        renewed = {change.name for change in changes if change.kind == "container" and change.action in RENEWING}
        lost = lost_network(current[name], current) if name in current else ""
        renewed |= {lost} - {""}
        changes += _member_changes(spec, member, current.get(name), ground, {change.id for change in changes}, renewed)
    changes += _removals(spec, settled, tuple(change.id for change in changes))
    changes = arrange(spec, changes)
    before = {str(change.id): change.before for change in changes if change.before is not None}
    after = {str(change.id): change.after for change in changes if change.after is not None}
    return Plan(tuple(changes), before, after)


def _missing_networks(spec: SetSpec, observed: Observed) -> list[Change]:
    needed = spec.networks() if spec.present else ()
    settings = {network.name: network.settings for network in spec.declared.values()}
    return [
        Change(
            f"network:{name}",
            "create",
            "network",
            name,
            after=shown(settings.get(name, {})),
            payload=settings.get(name),
        )
        for name in needed
        if name not in observed.networks
    ]


def _missing_volumes(spec: SetSpec, wanted: t.Mapping[str, Wanted], observed: Observed) -> list[Change]:
    missing = sorted(name for name in needed_volumes(wanted, observed) if name not in (observed.volumes or {}))
    found = []
    for name in missing:
        opts = spec.driver_opts.get(name)
        after = {"driver": "local", **({"driver_opts": named_volumes.shown(opts)} if opts else {})}
        found.append(Change(f"volume:{name}", "create", "volume", name, after=after, payload=opts))
    return found


def _member_changes(
    spec: SetSpec,
    wanted: Wanted,
    current: Container | None,
    ground: tuple[str, ...],
    planned: set[str],
    renewed: t.Container[str],
) -> list[Change]:
    name = wanted.spec.name
    providers = (f"container:{provider}" for provider in wanted.spec.providers)
    needs = tuple(dict.fromkeys((*ground, *(provider for provider in providers if provider in planned))))
    if current is None:
        links = {"links": list(wanted.links)} if wanted.links else {}
        told = {"image": wanted.spec.image, **show.values(wanted.values), **links}
        work = Work(None, wanted, fresh=True)
        return [Change(f"container:{name}", "create", "container", name, after=told, needs=needs, payload=work)]
    differing = options.differences(wanted.values, current.options, current.asked)
    before, after = _told(spec, wanted, current, differing)
    followed = [provider for provider in wanted.spec.follows if provider in renewed]
    replace_for = [key for key in after if key not in differing]
    update = options.update_body(wanted.values, differing) if differing and not replace_for else None
    if (
        spec.recreate == "always"
        or replace_for
        or followed
        or (differing and update is None)
        or current.state in ("dead", "removing")
    ):
        return [_replacement(spec, wanted, current, before, after, needs, followed)]
    changes = _connection_changes(wanted, current, ground)
    if update is not None:
        why = f"{', '.join(differing)} can be changed in place"
        work = Work(current, wanted, update)
        changes.append(Change(f"container:{name}", "update", "container", name, before, after, needs, why, work))
    if current.state in STARTABLE and not (wanted.values["one_shot"] and current.has_succeeded):
        needs = tuple(dict.fromkeys((*needs, *(change.id for change in changes))))
        identity = f"container:{name}" if update is None else f"start:{name}"
        to = {"state": "exited" if wanted.values["one_shot"] else "running"}
        why, work = f"it is {current.state}", Work(current, wanted)
        changes.append(Change(identity, "start", "container", name, {"state": current.state}, to, needs, why, work))
    return changes


def _told(
    spec: SetSpec, wanted: Wanted, current: Container, differing: tuple[str, ...]
) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """What is and what shall be, as the diff tells it: the options that differ, and what no option holds."""
    before, after = show.differences(current.options, wanted.values, differing)
    _add_identity(spec, wanted, current, before, after)
    place = wanted.attachments.get(wanted.network)
    if (
        place
        and wanted.values["mac_address"]
        and not place.is_like(current.attachments.get(wanted.network), current.options["hostname"])
    ):
        # Connecting it anew would not keep the address.
        before.setdefault("network", f"{wanted.network}, without its names")
        after.setdefault("network", wanted.network)
    if current.foreign:
        before, after = {"owner": "not ours", **before}, {"owner": "adopted", **after}
    return before, after


def _replacement(
    spec: SetSpec,
    wanted: Wanted,
    current: Container,
    before: dict[str, t.Any],
    after: dict[str, t.Any],
    needs: tuple[str, ...],
    followed: list[str],
) -> Change:
    name = wanted.spec.name
    if not after:
        if followed:
            why = f"it follows {', '.join(followed)}, started after it or to be replaced"
        else:
            why = "recreate=always" if spec.recreate == "always" else f"its state is {current.state}"
        before, after = {"id": current.id[:12]}, {"id": "(a new one)"}
    else:
        differ = [key for key in after if key not in ("owner", "network")] if current.foreign else list(after)
        why = f"{', '.join(differ)} {'differs' if len(differ) == 1 else 'differ'}" if differ else ""
        if current.foreign:
            why = "; ".join(filter(None, [f"{current.name} is not ours: adopted", why]))
    if spec.recreate == "never":
        raise HardshellError(
            f"recreate: {name} would have to be replaced ({why}), and recreate=never does not allow it"
        )
    work = Work(current, wanted, fresh=True)
    return Change(f"container:{name}", "replace", "container", name, before, after, needs, why, work)


def _add_identity(
    spec: SetSpec, wanted: Wanted, current: Container, before: dict[str, t.Any], after: dict[str, t.Any]
) -> None:
    """Add what makes a container another one, beside its options: its image, its links, the network it was made in and its fate."""
    if wanted.image.id != current.image_id:
        if wanted.spec.image != current.image:
            before["image"], after["image"] = current.image, wanted.spec.image
        else:
            before["image"] = f"{current.image} ({current.image_id[:19]})"
            after["image"] = f"{wanted.spec.image} ({wanted.image.id[:19] or 'to be pulled'})"
    if wanted.links != current.links:
        before["links"], after["links"] = list(current.links), list(wanted.links)
    if wanted.network != current.network_mode:
        before["network"], after["network"] = current.network_mode, wanted.network
    if spec.fate != current.fate and not current.foreign:
        # The engine keeps it as a label, and cannot change the labels of a container that is there.
        before["fate"], after["fate"] = names.told_fate(current.fate), names.told_fate(spec.fate)


def _connection_changes(wanted: Wanted, current: Container, ground: tuple[str, ...]) -> list[Change]:
    name = wanted.spec.name
    changes = []
    for network, attachment in wanted.attachments.items():
        found = current.attachments.get(network)
        if attachment.is_like(found, current.options["hostname"]):
            continue
        before = _shown_attachment(found) if found else None
        why = "it is not connected" if found is None else "its names there differ"
        action = "connect" if found is None else "reconnect"
        changes.append(
            Change(
                f"connection:{name}:{network}",
                action,
                "connection",
                f"{name} to {network}",
                before,
                _shown_attachment(attachment),
                ground,
                why,
                Work(current, wanted, network=network),
            )
        )
    for network, found in current.attachments.items():
        if network not in wanted.attachments:
            changes.append(
                Change(
                    f"connection:{name}:{network}",
                    "disconnect",
                    "connection",
                    f"{name} to {network}",
                    before=_shown_attachment(found),
                    needs=ground,
                    reason="the definition does not connect it",
                    payload=Work(current, wanted, network=network),
                )
            )
    return changes


def _shown_attachment(attachment: Attachment) -> dict[str, t.Any]:
    fixed = {"addresses": sorted(attachment.fixed)} if attachment.fixed else {}
    return {"aliases": sorted(attachment.aliases), "links": sorted(attachment.links), **fixed}


def _removals(spec: SetSpec, observed: Observed, ground: tuple[str, ...]) -> list[Change]:
    current = observed.current()
    gone = (
        sorted(name for name in current if name not in spec.members) if spec.remove_orphans or not spec.present else []
    )
    consumers_first = reversed(start_order(providers_of({name: current[name] for name in gone})))
    reason = "the definition does not hold it" if spec.present else "state=absent"
    changes = []
    for name in consumers_first:
        told = {"image": current[name].image, "state": current[name].state}
        changes.append(
            Change(f"container:{name}", "remove", "container", name, told, None, ground, reason, Work(current[name]))
        )
    kept = {
        network
        for name, container in current.items()
        if name not in spec.members and name not in gone
        for network in container.attachments
    }
    needed = {*(spec.networks() if spec.present else ()), *kept}
    above = (*ground, *(change.id for change in changes))
    for network in sorted(observed.networks.values(), key=lambda network: network.name):
        if network.set == spec.name and network.name not in needed:
            changes.append(
                Change(
                    f"network:{network.name}",
                    "remove",
                    "network",
                    network.name,
                    {"driver": "bridge"},
                    None,
                    above,
                    reason,
                )
            )
    if spec.remove_volumes:
        above = (*ground, *(change.id for change in changes))
        for name, labels in sorted((observed.volumes or {}).items()):
            if labels.get(names.SET) == spec.name:
                changes.append(
                    Change(
                        f"volume:{name}", "remove", "volume", name, {"driver": "local"}, None, above, "remove_volumes"
                    )
                )
    return changes
