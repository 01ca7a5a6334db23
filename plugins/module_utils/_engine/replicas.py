# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Replicas: several containers of one member, which its consumers know by one name. Pure."""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import OptionError
from .links import NAME

if t.TYPE_CHECKING:
    from .member_spec import MemberSpec
    from .observe import Container


def expand(members: t.Mapping[str, MemberSpec], replicas: t.Mapping[str, int]) -> dict[str, MemberSpec]:
    """Each member with more than one replica as MEMBER-1, MEMBER-2 and so on; consumers with the containers that they wait for.

    Raises OptionError for what several containers of one definition cannot have.
    """
    called = {
        name: [name] if replicas[name] == 1 else [f"{name}-{number}" for number in range(1, replicas[name] + 1)]
        for name in members
    }
    found: dict[str, MemberSpec] = {}
    for name, member in members.items():
        providers = tuple(provider for link in member.links for provider in called[link.provider])
        for container in called[name]:
            if container != name:
                _check(name, container, member, members)
            followed = tuple(name for provider in member.follows for name in called[provider])
            found[container] = dataclasses.replace(
                member, name=container, providers=tuple(dict.fromkeys(providers)), follows=followed
            )
    return found


def providers_of(containers: t.Mapping[str, Container]) -> dict[str, list[str]]:
    """For each of the containers those among them that it links to."""
    called: dict[str, list[str]] = {}
    for name, container in containers.items():
        called.setdefault(container.known_as, []).append(name)
    return {
        name: [provider for link in container.links for provider in called.get(link.split(":")[0], [])]
        for name, container in containers.items()
    }


def _check(name: str, container: str, member: MemberSpec, members: t.Container[str]) -> None:
    option = f"containers.{name}.replicas"
    if container in members or not NAME.fullmatch(container):
        raise OptionError(
            option, container, "a replica is called so: give the member that has this name, or this member, another one"
        )
    if member.asked.get("mac_address"):
        raise OptionError(
            f"containers.{name}.mac_address", member.asked["mac_address"], "several replicas cannot have one address"
        )
    for network, addresses in member.addresses.items():
        raise OptionError(
            f"containers.{name}.networks.{network}", sorted(addresses), "several replicas cannot have one address"
        )
    for port in member.asked.get("ports", ()):
        if port.host:
            raise OptionError(
                f"containers.{name}.ports",
                str(port),
                "one host port cannot be published by several replicas; let a member before them publish it",
            )
