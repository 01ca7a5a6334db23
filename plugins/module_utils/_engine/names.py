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
KNOWN_AS = "hardshell.known-as"
TRANSACTION = "hardshell.transaction"
ASKED = "hardshell.asked"
FILES = "hardshell.files"
FATE = "hardshell.fate"
ONE_SHOT = "hardshell.one-shot"
MAC_ADDRESS = "hardshell.mac-address"
ULIMITS = "hardshell.ulimits"
IMAGE_ID = "hardshell.image-id"
IMAGE_CONFIG = "hardshell.image-config"
PREFIX = "hardshell."

# What the label FATE says, by the value of the option fate_reaction. The service of the role container_host reads it.
REACTIONS = {"restart": "restart", "stop": "stop", "stop_vm": "stop-vm"}
# A set whose members fail one by one carries no label.
INDEPENDENT = ""

# Hexadecimal digits of the digest in the name of a network with options.
DIGEST_LENGTH = 8

STAGED = ".new"
RETIRED = ".old"


def container_name(set_name: str, member: str) -> str:
    """A set's name is a DNS label, so the first underscore keeps every pair apart."""
    return f"{set_name}_{member}"


def own_network(set_name: str, member: str) -> str:
    """The network that a member's consumers join."""
    return f"{set_name}_{member}"


def flat_network(set_name: str) -> str:
    return set_name


def declared_network(set_name: str, network: str, digest: str = "") -> str:
    """A network that members name themselves. ``digest`` is of its options, where it is no plain bridge."""
    return f"{set_name}_{network}" + (f".{digest}" if digest else "")


def volume_name(set_name: str, volume: str) -> str:
    return f"{set_name}_{volume}"


def image_volume_name(set_name: str, member: str, path: str) -> str:
    """The volume behind a path that the image declares and the definition does not mount. No declared volume's name holds a dot."""
    return f"{set_name}_{member}.{path.strip('/').replace('/', '-')}"


def told_fate(label: str) -> str:
    """The fate that a label stands for, as a person is told it."""
    reaction = next((reaction for reaction, value in REACTIONS.items() if value == label), label)
    return f"shared, {reaction}" if reaction else "independent"
