# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The keys of a VM's ``other_config`` in which clients of a pool look for its containers, and how they are written. Pure.

The schema is that of xscontainer (``src/xscontainer/docker.py`` and ``util/__init__.py``), the extension of XenServer's control domain that wrote them
up to 8.1: the engine's answers as XML, of a container the outer keys in lower case. Xen Orchestra reads ``docker_ps``, ``docker_info`` and
``docker_version`` where ``xscontainer-monitor`` is ``True``, XenCenter reads ``docker_ps`` alone.

XAPI cuts a value at the first character that XML does not allow, and a client that finds half a document fails; so nothing but printable
characters is written. What differs from one moment to the next (how long a container is up, its addresses, its size) is not written at all.
"""

from __future__ import annotations

import re
import typing as t
from xml.sax.saxutils import escape

from .._engine import lasting_facts

JSON = t.Mapping[str, t.Any]

PS = "docker_ps"
INFO = "docker_info"
VERSION = "docker_version"
MONITOR = "xscontainer-monitor"
KEYS = (PS, INFO, VERSION, MONITOR)

# A pool hands every value to everyone who reads the VM, and keeps it in its database: a hundred containers or so.
MOST_BYTES = 64 * 1024
_MOST_TEXT = 512
_MOST_PORTS = 64

_DECLARATION = '<?xml version="1.0" ?>'
_LABELS = ("hardshell.set", "hardshell.tenant", "hardshell.member", "hardshell.links")
_HOST_CONFIG = ("NetworkMode", "Memory", "NanoCpus", "Privileged")
_PORT = ("IP", "PrivatePort", "PublicPort", "Type")

_STATUS_OF = {
    "created": "Created",
    "running": "Up",
    "paused": "Up (Paused)",
    "dead": "Dead",
    "removing": "Removal In Progress",
}


def published_containers(containers: t.Iterable[JSON]) -> list[dict[str, t.Any]]:
    """What is told of each container, by name, in the schema of ``docker_ps``. Takes entries of ``GET /containers/json``."""
    return sorted((_entry(each) for each in containers), key=lambda entry: (str(entry["names"]), str(entry["id"])))


def document(root: str, value: t.Any) -> str:
    """A value as xscontainer writes it: a mapping becomes elements, a list ``item`` elements."""
    return f"{_DECLARATION}{_element(root, value)}"


def ps_document(entries: t.Sequence[JSON]) -> tuple[str, int]:
    """``docker_ps`` of as many containers as it may hold, and how many it leaves out."""
    fitting: list[JSON] = []
    room = MOST_BYTES - len(document(PS, "x").encode())
    for entry in entries:
        room -= len(_element("item", {"entry": entry}).encode())
        if room < 0:
            break
        fitting.append({"entry": entry})
    return document(PS, fitting), len(entries) - len(fitting)


def info_document(info: JSON) -> str:
    """``docker_info``, of ``GET /info`` what stays as long as it is the same engine."""
    return document(INFO, _picked(info, lasting_facts.INFO))


def version_document(version: JSON) -> str:
    """``docker_version``, likewise of ``GET /version``."""
    return document(VERSION, _picked(version, lasting_facts.VERSION))


def _entry(container: JSON) -> dict[str, t.Any]:
    identity = str(container.get("Id") or "")
    names = container.get("Names") or []
    state = str(container.get("State") or "").lower()
    status = str(container.get("Status") or "")
    return {
        "id": identity,
        "names": str(names[0]).removeprefix("/") if names else identity[:10],
        "image": str(container.get("Image") or ""),
        "imageid": str(container.get("ImageID") or ""),
        # Arguments may hold secrets, and whoever may read the pool can read this.
        "command": str(container.get("Command") or "").partition(" ")[0],
        "created": str(container.get("Created") or 0),
        "state": state,
        "status": _status(state, status),
        "health": {"Status": _health(status)},
        "ports": _ports(container.get("Ports") or []),
        "labels": _picked(container.get("Labels") or {}, _LABELS),
        "hostconfig": _picked(container.get("HostConfig") or {}, _HOST_CONFIG),
        "container": identity[:10],
    }


def _status(state: str, told: str) -> str:
    """The words that clients know, without the time that Docker adds."""
    with_code = re.match(r"(Exited|Restarting) \(\d+\)", told)
    return with_code[0] if with_code else _STATUS_OF.get(state, state.capitalize())


def _health(told: str) -> str:
    """Docker tells it at the end of the status: ``Up 5 minutes (healthy)``."""
    found = re.search(r"\((healthy|unhealthy|health: starting)\)$", told)
    return found[1].removeprefix("health: ") if found else "none"


def _ports(ports: t.Sequence[JSON]) -> list[dict[str, t.Any]]:
    """The ports in an order of their own, since the engine's changes."""
    picked = [_picked(port, _PORT) for port in ports]
    by_number = ("PrivatePort", "PublicPort", "Type", "IP")
    return sorted(picked, key=lambda port: [str(port.get(key, "")).rjust(5) for key in by_number])[:_MOST_PORTS]


def _picked(value: JSON, keys: t.Iterable[str]) -> dict[str, t.Any]:
    """What of it is written: a text or a list of texts each, whatever it was."""
    given = {key: value[key] for key in keys if value.get(key) not in (None, "")}
    return {key: [str(item) for item in each] if isinstance(each, list) else str(each) for key, each in given.items()}


def _element(name: str, value: t.Any) -> str:
    if isinstance(value, t.Mapping):
        inner = "".join(_element(key, each) for key, each in value.items())
    elif isinstance(value, (list, tuple)):
        inner = "".join(_element("item", each) for each in value)
    else:
        inner = escape(_printable(value))
    return f"<{name}>{inner}</{name}>" if inner else f"<{name}/>"


def _printable(text: str) -> str:
    """A text that XML and XAPI keep as it is."""
    return "".join(character if character.isprintable() else " " for character in text[:_MOST_TEXT]).strip()
