# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What is published of a VM's containers, read out of its ``other_config``, whoever wrote it there. Pure.

xscontainer escapes texts twice, and knows neither health nor limits. A value may be cut short, or be no XML at all; that is a problem to be told,
and no failure.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

from .._pool import marks
from . import docker_keys

# What a name that XML does not allow is written as.
_SPECIAL = "SPECIAL_XS_ENCODED_ELEMENT"
Facts = dict[str, t.Any]


@dataclass(frozen=True)
class Published:
    """The facts of a VM's containers. ``problem`` says what of it cannot be read, and is empty where all can."""

    containers: tuple[Facts, ...] = ()
    problem: str = ""


def read_published(other_config: t.Mapping[str, str], uuid: str) -> Published:
    """What is published of the VM with that UUID. What a clone has copied from its original is not its own."""
    written = other_config.get(docker_keys.PS, "")
    if not written or other_config.get(marks.VM, uuid) != uuid:
        return Published()
    try:
        root = _parse(written)
    except ValueError as error:
        return Published(problem=f"{docker_keys.PS} cannot be read: {error}")
    facts = (_facts(entry) for entry in root.iter("entry"))
    return Published(tuple(sorted(facts, key=lambda container: (container["name"], container["id"]))))


def engine_facts(written: str) -> Facts:
    """What ``docker_info`` or ``docker_version`` says of the engine; nothing where it cannot be read."""
    try:
        root = _parse(written)
    except ValueError:
        return {}
    return {child.tag: _texts(child) if len(child) else unescape((child.text or "").strip()) for child in root}


def _texts(element: ElementTree.Element) -> list[str]:
    return [unescape((item.text or "").strip()) for item in element]


def _parse(written: str) -> ElementTree.Element:
    """The document's root. Raises ``ValueError``, also for one with definitions of its own, which could swell when they are read."""
    if "<!" in written:
        raise ValueError("it has definitions of its own")
    try:
        return ElementTree.fromstring(written)
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error  # pylint: disable=bad-exception-cause


def _facts(entry: ElementTree.Element) -> Facts:
    labels, limits = _children(entry.find("labels")), _children(entry.find("hostconfig"))
    status = _text(entry, "status")
    cpus = _number(limits.get("NanoCpus", ""))
    return {
        "id": _text(entry, "id"),
        "name": _text(entry, "names"),
        "image": _text(entry, "image"),
        "image_id": _text(entry, "imageid"),
        "command": _text(entry, "command"),
        "created": _number(_text(entry, "created")),
        "state": _text(entry, "state") or _state(status),
        "status": status,
        "health": _children(entry.find("health")).get("Status", "none"),
        "ports": [_port(_children(item)) for item in entry.iterfind("ports/item")],
        "set": labels.get("hardshell.set"),
        "member": labels.get("hardshell.member"),
        "tenant": labels.get("hardshell.tenant"),
        "links": [link for link in labels.get("hardshell.links", "").split(",") if link],
        "memory": _number(limits.get("Memory", "")),
        "cpus": None if cpus is None else cpus / 10**9,
        "privileged": {"True": True, "False": False}.get(limits.get("Privileged", "")),
    }


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _text(element: ElementTree.Element, name: str) -> str:
    return unescape((element.findtext(name) or "").strip())


def _children(element: ElementTree.Element | None) -> dict[str, str]:
    """The elements below one, as a mapping."""
    inner = element if element is not None else ()
    return {
        (child.get("name", "") if child.tag == _SPECIAL else child.tag): unescape((child.text or "").strip())
        for child in inner
    }


def _state(status: str) -> str:
    """The state behind a status of Docker's, for a writer that does not tell it. XenCenter reads it the same way."""
    if "Paused" in status:
        return "paused"
    known = {"Up": "running", "Removal": "removing"}
    word = (re.match(r"\w*", status) or [""])[0]
    return known.get(word, word.lower())


def _port(port: t.Mapping[str, str]) -> str:
    """As ``docker ps`` prints it: ``0.0.0.0:8080->80/tcp``, or ``80/tcp`` where it is not open to the outside."""
    inner = f"{port.get('PrivatePort', '')}/{port.get('Type', 'tcp')}"
    if not port.get("PublicPort"):
        return inner
    address = port.get("IP", "0.0.0.0")
    return f"{f'[{address}]' if ':' in address else address}:{port['PublicPort']}->{inner}"
