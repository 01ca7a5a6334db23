# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Names of inventory hosts and groups, which do not depend on the order in which VMs come. Pure."""

from __future__ import annotations

import collections
import hashlib
import re
import typing as t
from dataclasses import dataclass

GroupKey = tuple[str, str]


@dataclass(frozen=True)
class Claim:
    """A VM and the name that it would like. ``marked``: the name comes from its mark, and goes before a mere name in the pool."""

    name: str
    marked: bool
    uuid: str
    pool: str

    def name_at(self, level: int) -> str:
        """Longer names, for those that have to give way."""
        return [
            self.name,
            f"{self.name}_{self.uuid[:8]}",
            f"{self.name}_{self.uuid}",
            f"{self.name}_{self.uuid}_{self.pool}",
        ][level]


LAST_LEVEL = 3
RESERVED = frozenset({"all", "ungrouped", "localhost", "127.0.0.1", "::1"})
"""What means something else to Ansible: groups that are always there, and the controller."""


def host_names(claims: t.Sequence[Claim]) -> list[str]:
    """One name for each claim, in their order, no two alike as long as no VM is claimed twice.

    Of those that would like the same name, the only marked one keeps it; the others get their UUID added. So a copy does not
    rename the original, and the names are the same in each run. Nobody is called what Ansible calls something else.
    """
    levels = [int(claim.name in RESERVED) for claim in claims]
    while True:
        named: dict[str, list[int]] = collections.defaultdict(list)
        for index, claim in enumerate(claims):
            named[claim.name_at(levels[index])].append(index)
        giving_way = [
            index
            for rivals in named.values()
            if len(rivals) > 1
            for index in _giving_way(rivals, claims, levels)
            if levels[index] < LAST_LEVEL
        ]
        if not giving_way:
            return [claim.name_at(level) for claim, level in zip(claims, levels, strict=True)]
        for index in giving_way:
            levels[index] += 1


def _giving_way(rivals: list[int], claims: t.Sequence[Claim], levels: list[int]) -> list[int]:
    best = min((levels[index], not claims[index].marked) for index in rivals)
    first = [index for index in rivals if (levels[index], not claims[index].marked) == best]
    return [index for index in rivals if index not in first] if len(first) == 1 else rivals


def group_names(keys: t.Iterable[GroupKey]) -> dict[GroupKey, str]:
    """A group name for each kind and value, such as ``tag_gold``, with what Ansible does not allow in it replaced.

    Values that become the same name by that are told apart by a sum of what they are.
    """
    named: dict[str, list[GroupKey]] = collections.defaultdict(list)
    for key in set(keys):
        named[_safe("_".join(key))].append(key)
    found = {}
    for name, rivals in named.items():
        for key in rivals:
            plain = len(rivals) == 1 or "_".join(key) == name
            found[key] = name if plain else f"{name}_{hashlib.sha256(repr(key).encode()).hexdigest()[:6]}"
    return found


def _safe(name: str) -> str:
    return re.sub(r"\W", "_", name, flags=re.ASCII)
