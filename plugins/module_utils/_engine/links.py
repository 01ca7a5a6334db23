# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The link graph of a set: who may reach whom, under which name, and what starts first."""

from __future__ import annotations

import difflib
import re
import typing as t
from dataclasses import dataclass

from .._errors import HardshellError, OptionError

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
"""Of a member: Docker's DNS takes underscores, and Compose files are full of them."""
ALIAS = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?")
"""Under which others reach a member: a name with dots too, which Docker's DNS answers before it asks another server."""


@dataclass(frozen=True, order=True)
class Link:
    """A consumer's permission to reach ``provider``, which it resolves as ``alias``."""

    provider: str
    alias: str

    def __str__(self) -> str:
        return self.provider if self.alias == self.provider else f"{self.provider}:{self.alias}"


def parse_link(option: str, value: t.Any) -> Link:
    provider, colon, alias = str(value).partition(":")
    alias = alias if colon else provider
    if not isinstance(value, str) or not NAME.fullmatch(provider) or not ALIAS.fullmatch(alias):
        raise OptionError(
            option, value, "write a member of the set, as db, or with the name to reach it under, as db:database"
        )
    return Link(provider, alias)


def check_links(links: t.Mapping[str, t.Sequence[Link]]) -> None:
    """Refuse links to what is not in the set, to oneself, in a circle, or under one name twice. ``links`` holds every member."""
    for consumer, own in links.items():
        seen: dict[str, str] = {}
        for index, link in enumerate(own):
            option = f"containers.{consumer}.links[{index}]"
            if link.provider not in links:
                near = difflib.get_close_matches(link.provider, links, 1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"it holds {', '.join(sorted(links))}"
                raise OptionError(option, str(link), f"the set holds no container {link.provider!r}; {hint}")
            if link.provider == consumer:
                raise OptionError(option, str(link), "a container reaches itself as localhost; leave the link out")
            if link.alias == consumer:
                raise OptionError(option, str(link), f"{consumer!r} is the container's own name; choose another alias")
            if seen.setdefault(link.alias, link.provider) != link.provider:
                raise OptionError(
                    option,
                    str(link),
                    f"{seen[link.alias]!r} is already reached as {link.alias!r}; give one of them another alias",
                )
        providers = {link.provider for link in own}
        for index, link in enumerate(own):
            if link.alias != link.provider and link.alias in providers:
                raise OptionError(
                    f"containers.{consumer}.links[{index}]",
                    str(link),
                    f"{link.alias!r} is the name of another provider; choose another alias",
                )
    cycle = find_cycle({consumer: [link.provider for link in own] for consumer, own in links.items()})
    if cycle:
        raise HardshellError(
            f"containers: the links form a circle, {' -> '.join(cycle)}, so no member can start first; take one of these links out"
        )


def find_cycle(providers: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """A circle as the names along it, the first again at the end; empty when there is none."""
    finished: set[str] = set()
    for root in providers:
        path: list[str] = []
        branches = [iter([root])]
        while branches:
            name = next(branches[-1], None)
            if name is None:
                branches.pop()
                if path:
                    finished.add(path.pop())
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in finished:
                path.append(name)
                branches.append(iter(providers.get(name, ())))
    return []


def start_order(providers: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """All names, each after those it needs, otherwise by name. ``providers`` must be free of cycles; needs outside of it do not count."""
    order: list[str] = []
    done: set[str] = set()
    waiting = sorted(providers)
    while waiting:
        ready = [name for name in waiting if all(p in done or p not in providers for p in providers[name])]
        order += ready
        done.update(ready)
        waiting = [name for name in waiting if name not in done]
    return order
