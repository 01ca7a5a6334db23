# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a run that was cut off has left: recognised by name and label, then finished or taken back.

New containers are made as NAME.new beside the old ones. Once all are ready, the old ones become NAME.old, then the new ones NAME. So with a NAME.old, or with
one of the new containers in place already, the new set was whole and is finished; before that the old set is the one that counts.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._plan import Change
from .observe import Container, Observed


def new_set_was_whole(containers: t.Iterable[Container]) -> bool:
    """Whether the run that left these had come to the point from which there is only forward."""
    found = list(containers)
    staged = {container.transaction for container in found if container.staged}
    placed = {container.transaction for container in found if container.placed and not container.foreign}
    return any(container.retired for container in found) or bool(staged & placed)


def clean_up(observed: Observed) -> tuple[list[Change], Observed]:
    """The changes that finish or take back a run that was cut off, and what the engine then holds."""
    if not any(container.staged or container.retired for container in observed.containers):
        return [], observed
    whole = new_set_was_whole(observed.containers)
    current = observed.current()
    changes: list[Change] = []
    kept: list[Container] = []
    for container in observed.containers:
        if container.staged and whole:
            continue
        if container.staged or container.retired:
            reason = "replaced by a run that was cut off" if container.retired else "left by a run that was cut off"
            changes.append(_remove(container, reason))
        elif whole and any(other.staged and other.member == container.member for other in observed.containers):
            changes.append(_remove(container, "replaced by a run that was cut off"))
        else:
            kept.append(container)
    for container in observed.containers if whole else ():
        if container.staged:
            needs = (f"leftover:{current[container.member].name}",) if container.member in current else ()
            change = Change(
                f"leftover:{container.name}",
                "rename",
                "container",
                container.name,
                before={"name": container.name},
                after={"name": container.base_name},
                needs=needs,
                reason="its set was whole when the run was cut off",
                payload=container,
            )
            changes.append(change)
            kept.append(dataclasses.replace(container, name=container.base_name))
    return changes, dataclasses.replace(observed, containers=tuple(sorted(kept, key=lambda container: container.name)))


def _remove(container: Container, reason: str) -> Change:
    return Change(
        f"leftover:{container.name}",
        "remove",
        "container",
        container.name,
        before={"state": container.state},
        reason=reason,
        payload=container,
    )
