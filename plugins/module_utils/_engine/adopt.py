# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Containers that were made by other means, taken into a set: which they are, and what forbids it.

The engine cannot set labels afterwards, so that a container that is adopted is replaced by one of the set's own, all or nothing as in any update.
Labels of Compose: docker/compose, pkg/api/labels.go.
"""

from __future__ import annotations

import functools
import re
import typing as t

from .._errors import HardshellError
from . import names
from .api import Engine
from .member_spec import MemberSpec
from .observe import Neighbour, Observed, adopt_nothing, observe
from .spec import SetSpec

if t.TYPE_CHECKING:
    from .wanted import Wanted


def as_label(text: str) -> str:
    """The DNS label that is nearest to what a container, a service or a project is called."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")


def as_member(text: str) -> str:
    """The name of a member that is nearest to what a container or a service is called."""
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-_")[:63].strip("-_")


def choose(spec: SetSpec, neighbours: t.Sequence[Neighbour]) -> dict[str, MemberSpec]:
    """The members whose containers are to be adopted, by the container's id.

    A container of a Compose project is its service's, when the project is called as the set; any other is that of the member it is named after. What
    carries a mark of any set is left out, and so is whatever would come second to a container of the set's own. One that has been set aside already,
    by an adoption that was cut off, is known by that name. Raises HardshellError where two containers could be meant.
    """
    own = {neighbour.name for neighbour in neighbours if neighbour.set == spec.name}
    free = [neighbour for neighbour in neighbours if not neighbour.marked]
    found: dict[str, MemberSpec] = {}
    for member in spec.members.values():
        base = names.container_name(spec.name, member.name)
        found.update({item.id: member for item in free if item.name == base + names.RETIRED})
        if base in own:
            continue
        fitting = [item for item in free if _fits(spec, member, item)]
        if len(fitting) > 1:
            raise HardshellError(
                f"adopt: containers.{member.name} could be {' or '.join(sorted(item.name for item in fitting))}; "
                "rename or remove those that are not meant"
            )
        found.update({item.id: member for item in fitting})
    return found


def observe_set(engine: Engine, spec: SetSpec, *, volumes: bool = False) -> Observed:
    """What there is of the set, with what the definition lets it adopt."""
    return observe(
        engine, spec.name, volumes=volumes, adopt=functools.partial(choose, spec) if spec.adopt else adopt_nothing
    )


def _fits(spec: SetSpec, member: MemberSpec, neighbour: Neighbour) -> bool:
    if neighbour.project:
        if as_label(neighbour.project) != spec.name or as_member(neighbour.service) != member.known_as:
            return False
        return member.name in (member.known_as, f"{member.known_as}-{neighbour.number}")
    return neighbour.name == names.container_name(spec.name, member.name) or as_member(neighbour.name) == member.name


def refuse_unadoptable(wanted: t.Mapping[str, Wanted], observed: Observed) -> None:
    """Refuse what could not be brought back, and a definition that would leave the data of an adopted container behind."""
    for container in observed.containers:
        if not container.foreign or container.retired or container.member not in wanted:
            continue
        where = f"containers.{container.member}"
        if container.removed_when_stopped:
            raise HardshellError(
                f"{where}: the container {container.name} was made with --rm and would be gone once it is stopped, so that it could not be brought back; "
                "stop it yourself first"
            )
        kept = set(wanted[container.member].volumes)
        for mount in container.options["volumes"]:
            if mount.is_volume and mount.source not in kept:
                raise HardshellError(
                    f"{where}.volumes: the container {container.name} has the volume {mount.source} at {mount.target}, and its data would be left behind; "
                    f"mount it, as data:{mount.target} with data: {{name: {mount.source}, external: true}} under volumes"
                )
