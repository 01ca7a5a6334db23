# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Each member as its container shall be: what is asked for, what its image brings, and the networks that its links lead to. Pure."""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass

from . import names, options
from .links import Link
from .member_spec import MemberSpec
from .mounts import Mount
from .observe import Attachment
from .references import Reference
from .spec import SetSpec


@dataclass(frozen=True)
class ImageFacts:
    """An image as the engine holds it, or will once it is loaded. In check mode, of an image that is yet to be pulled, both are empty."""

    id: str = ""
    config: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """A member as its container shall be: every option settled, every network known."""

    spec: MemberSpec
    image: ImageFacts
    values: t.Mapping[str, t.Any]
    network: str
    attachments: t.Mapping[str, Attachment]

    @property
    def volumes(self) -> list[str]:
        return [mount.source for mount in self.values["volumes"] if mount.is_volume]

    @property
    def links(self) -> tuple[str, ...]:
        return tuple(str(link) for link in self.spec.links)


def settle(spec: SetSpec, images: t.Mapping[Reference, ImageFacts], api: tuple[int, int]) -> dict[str, Wanted]:
    """Every member with all its options, providers first. ``api`` is the engine's version."""
    wanted = {}
    for name in spec.order():
        member = spec.members[name]
        image = images[member.reference]
        values = options.settle(member.asked, dict(image.config))
        values["volumes"] = _with_image_volumes(spec.name, name, values, image)
        if api < (1, 44) and values["healthcheck"]:
            values["healthcheck"] = {**values["healthcheck"], "start_interval": 0}
        wanted[name] = Wanted(member, image, values, spec.own_network(name), attachments(spec, member))
    return wanted


def _with_image_volumes(
    set_name: str, member: str, values: t.Mapping[str, t.Any], image: ImageFacts
) -> tuple[Mount, ...]:
    """The mounts, and a volume of the set for each path that the image declares and nothing covers: data there outlives the container."""
    taken = {mount.target for mount in values["volumes"]} | set(values["tmpfs"])
    declared = [path.rstrip("/") for path in image.config.get("Volumes") or {}]
    extra = [
        Mount(path, names.image_volume_name(set_name, member, path)) for path in declared if path and path not in taken
    ]
    return tuple(sorted([*values["volumes"], *extra]))


def attachments(spec: SetSpec, member: MemberSpec) -> dict[str, Attachment]:
    """The networks of a member, its own first. An alias of a link is known to the consumer alone."""
    own = spec.own_network(member.name)
    if member.network_mode:
        return {}
    if spec.network == "flat":
        return {own: Attachment(frozenset({member.known_as}), frozenset(map(str, _renamed(member))))}
    if spec.network == "declared":
        return _declared_attachments(spec, member)
    found = {own: Attachment(frozenset({member.known_as}))}
    for link in member.links:
        network = names.own_network(spec.name, link.provider)
        before = found.get(network, Attachment())
        private = {str(link)} if link in _renamed(member) else set()
        found[network] = Attachment(links=before.links | private)
    return found


def _renamed(member: MemberSpec) -> list[Link]:
    """The links under another name than the provider's own."""
    return [link for link in member.links if link.alias != link.provider]


def _declared_attachments(spec: SetSpec, member: MemberSpec) -> dict[str, Attachment]:
    """The networks that a member names. An alias of a link is known in the first network that consumer and provider share."""
    private: dict[str, set[str]] = {network: set() for network in member.networks}
    for link in _renamed(member):
        provider = next(other for other in spec.members.values() if other.known_as == link.provider)
        shared = [network for network in member.networks if network in provider.networks]
        if shared:
            private[shared[0]].add(str(link))
    return {
        spec.network_name(network): Attachment(
            frozenset({member.known_as, *aliases}),
            frozenset(private[network]),
            member.addresses.get(network, frozenset()),
        )
        for network, aliases in member.networks.items()
    }
