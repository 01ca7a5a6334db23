# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Whether a new container can run beside the one it replaces, so that there is no gap, and what stands in the way where it cannot. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._plan import Change
from .namespaces import shared
from .spec import SetSpec

if t.TYPE_CHECKING:
    from .wanted import Wanted

# How a change of a container is done: with the new one beside the old one, or with the old one stopped first, one member after another.
BESIDE = "beside"
IN_TURN = "in turn"


def arrange(spec: SetSpec, changes: list[Change]) -> list[Change]:
    """With ``update_order=start-first``, each change of a container with its way of being done, and the reason for it."""
    if spec.update_order != "start-first":
        return changes
    # Consumers that are still to be adopted would not find a provider that has moved to the set's own networks.
    return changes if _adopts(changes) or _moved_port(changes) else [_arranged(spec, change) for change in changes]


def obstacle(spec: SetSpec, wanted: Wanted) -> str:
    """Why the new container cannot run beside the old one; empty when it can."""
    if wanted.spec.network_mode or any(shared(wanted.values[option]) for option in ("ipc_mode", "pid_mode")):
        return "it has no network, or shares a namespace"
    if spec.network != "per-link":
        # Its name would answer for both while the new one is not ready yet: only a network that is its own can be joined last.
        return f"with network={spec.network} it has no network of its own"
    if wanted.values["mac_address"]:
        return f"it has the address {wanted.values['mac_address']}"
    for port in wanted.values["ports"]:
        if port.host:
            return f"it publishes {port}"
    for mount in wanted.values["volumes"]:
        if "ro" not in mount.modes:
            return f"it writes to {mount.source}"
    for device, _inner, _access in wanted.values["devices"]:
        return f"it holds {device}"
    return ""


def _arranged(spec: SetSpec, change: Change) -> Change:
    work = change.payload
    if not _makes_or_ends_a_member(change):
        return change
    if change.action != "replace" or work.wanted is None:
        return dataclasses.replace(change, payload=dataclasses.replace(work, order=IN_TURN))
    problem = obstacle(spec, work.wanted)
    how = f"the old one is stopped first, since {problem}" if problem else "it starts beside the old one"
    order = IN_TURN if problem else BESIDE
    return dataclasses.replace(change, reason=f"{change.reason}; {how}", payload=dataclasses.replace(work, order=order))


def _adopts(changes: t.Iterable[Change]) -> bool:
    works = [change.payload for change in changes if _makes_or_ends_a_member(change)]
    return any(work.current and work.current.foreign for work in works)


def _moved_port(changes: t.Iterable[Change]) -> bool:
    """Whether a new container needs the host port of another member's old one: then all the old ones must be stopped before any new one starts."""
    works = [(change.name, change.payload) for change in changes if _makes_or_ends_a_member(change)]
    held = [(name, port) for name, work in works if work.current for port in work.current.options["ports"]]
    return any(
        port.collides(other)
        for name, work in works
        if work.wanted
        for port in work.wanted.values["ports"]
        for holder, other in held
        if holder != name
    )


def _makes_or_ends_a_member(change: Change) -> bool:
    of_a_member = change.kind == "container" and not change.id.startswith("leftover:")
    return of_a_member and change.action in ("create", "replace", "remove")
