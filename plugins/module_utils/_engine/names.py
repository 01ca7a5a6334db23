# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a set's things are called on the engine, and the labels that say whose they are."""

from __future__ import annotations

SET = "hardshell.set"
TENANT = "hardshell.tenant"
MEMBER = "hardshell.member"
LINKS = "hardshell.links"
TRANSACTION = "hardshell.transaction"
ASKED = "hardshell.asked"
FILES = "hardshell.files"
IMAGE_ID = "hardshell.image-id"
IMAGE_CONFIG = "hardshell.image-config"
PREFIX = "hardshell."

STAGED = ".new"
RETIRED = ".old"


def container_name(set_name: str, member: str) -> str:
    """Set and member are DNS labels, so the underscore keeps every pair apart."""
    return f"{set_name}_{member}"


def own_network(set_name: str, member: str) -> str:
    """The network that a member's consumers join."""
    return f"{set_name}_{member}"


def flat_network(set_name: str) -> str:
    return set_name


def declared_network(set_name: str, network: str) -> str:
    """A network that members name themselves."""
    return f"{set_name}_{network}"


def volume_name(set_name: str, volume: str) -> str:
    return f"{set_name}_{volume}"


def image_volume_name(set_name: str, member: str, path: str) -> str:
    """The volume behind a path that the image declares and the definition does not mount. No declared volume's name holds a dot."""
    return f"{set_name}_{member}.{path.strip('/').replace('/', '-')}"
