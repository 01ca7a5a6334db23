# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Namespaces that a member shares with another one, as ``service:NAME``, and what that means for it. Pure.

The engine knows the other by its id (``container:ID``), so that who shares with a container that is replaced is replaced too.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import OptionError
from .links import NAME, Link

if t.TYPE_CHECKING:
    from .member_spec import MemberSpec
    from .observe import Container

SERVICE = "service:"
NO_NETWORK = "none"
VM_NETWORK = "host"
WITHOUT_OWN_NETWORK = (NO_NETWORK, VM_NETWORK)
# What belongs to a network namespace: the engine refuses it beside the namespace of another container, or passes over it.
_OF_THE_NETWORK = (
    "networks",
    "ports",
    "hostname",
    "domainname",
    "dns",
    "dns_opt",
    "dns_search",
    "extra_hosts",
    "mac_address",
)
_OPTIONS = ("network_mode", "ipc_mode", "pid_mode")


def mode(*choices: str) -> t.Callable[[str, t.Any], str]:
    """A parser for one of ``choices``, or ``service:NAME``."""

    def parse(option: str, value: t.Any) -> str:
        if value in choices or (isinstance(value, str) and value.startswith(SERVICE) and NAME.fullmatch(shared(value))):
            return str(value)
        raise OptionError(option, value, f"write {', '.join((*choices, f'{SERVICE}NAME'))}")

    return parse


def shared(value: t.Any) -> str:
    """The member that ``service:NAME`` names, else empty."""
    return value.removeprefix(SERVICE) if isinstance(value, str) and value.startswith(SERVICE) else ""


def check_network_mode(path: str, given: t.Mapping[str, t.Any]) -> str:
    """The member's ``network_mode``, empty for networks of its own. Raises OptionError for what it cannot have beside it."""
    if "network_mode" not in given:
        return ""
    found = mode(*WITHOUT_OWN_NETWORK)(f"{path}.network_mode", given["network_mode"])
    for option in _OF_THE_NETWORK if shared(found) else ("networks", "ports", "mac_address"):
        if given.get(option):
            whose = (
                f"it is that of {shared(found)}: write it there" if shared(found) else "there is no network of its own"
            )
            raise OptionError(f"{path}.{option}", given[option], f"with network_mode={found} {whose}")
    return found


def with_links(links: tuple[Link, ...], modes: t.Iterable[t.Any]) -> tuple[Link, ...]:
    """The links, and one to each member that a namespace is shared with: it starts first, and stops last."""
    others = (shared(value) for value in modes)
    return tuple(sorted({*links, *(Link(other, other) for other in others if other)}))


def check_namespaces(members: t.Mapping[str, MemberSpec], replicas: t.Mapping[str, int]) -> None:
    """Refuse namespaces of what is not there, of several at once, or that are not to be shared, and links that lead to no network. Before replicas are made."""
    for name, member in members.items():
        for option in _OPTIONS:
            value = member.network_mode if option == "network_mode" else member.asked.get(option)
            other, where = shared(value), f"containers.{name}.{option}"
            if not other:
                continue
            if other not in members or other == name:
                raise OptionError(
                    where,
                    value,
                    f"name another container of the set: {', '.join(sorted(members.keys() - {name})) or 'there is none'}",
                )
            if replicas[other] > 1:
                raise OptionError(where, value, f"{other!r} has several replicas; which one is meant cannot be said")
            if option == "ipc_mode" and members[other].asked.get("ipc_mode") != "shareable":
                raise OptionError(where, value, f"the engine shares it only when {other!r} has ipc_mode: shareable")
            if option == "network_mode" and members[other].network_mode:
                raise OptionError(where, value, f"{other!r} has no network of its own")


def check_reachable(members: t.Mapping[str, MemberSpec], network: str) -> None:
    """Refuse a link from or to a member without a network of its own, where it would be more than an order."""
    for name, member in members.items():
        host = shared(member.network_mode)
        for link in member.links:
            option, plain = f"containers.{name}.links", link.alias == link.provider
            provider = members[link.provider].network_mode
            if (
                host
                and link.provider != host
                and link not in members[host].links
                and (network == "per-link" or not plain)
            ):
                raise OptionError(option, str(link), f"its network is that of {host}: write the link there too")
            if provider and not member.network_mode and (network == "per-link" or not plain):
                where = shared(provider)
                way = f"link to {where}, in whose network it is" if where else _unreachable(provider)
                raise OptionError(option, str(link), way)


def _unreachable(network_mode: str) -> str:
    if network_mode == VM_NETWORK:
        return "it is in the VM's network, where it has no name of its own; leave the link out, and reach it as host-gateway by extra_hosts"
    return "it has no network, so leave the link out"


def by_member(containers: t.Sequence[Container], called: t.Callable[[Container], str]) -> list[Container]:
    """The containers, with ``service:NAME`` in place of the id of another one of them, unless that has been set aside. ``called`` tells the name."""
    known = {f"container:{one.id}": f"{SERVICE}{called(one)}" for one in containers if not one.retired}

    def told(value: t.Any) -> t.Any:
        return known.get(value, value) if isinstance(value, str) else value

    return [
        dataclasses.replace(
            container,
            network_mode=told(container.network_mode),
            options={**container.options, **{name: told(container.options[name]) for name in ("ipc_mode", "pid_mode")}},
        )
        for container in containers
    ]


def lost_network(container: Container, current: t.Mapping[str, Container]) -> str:
    """The member whose network it shares, when that has been started after it: what it is in then is not that network any more."""
    provider = current.get(shared(container.network_mode))
    if provider is None or not (provider.running and container.running):
        return ""
    return provider.member if _instant(provider.started_at) > _instant(container.started_at) else ""


def _instant(text: str) -> tuple[str, str]:
    """In an order. The engine leaves out zeros at the end of the nanoseconds."""
    seconds, _dot, fraction = text.removesuffix("Z").partition(".")
    return seconds, fraction.ljust(9, "0")
