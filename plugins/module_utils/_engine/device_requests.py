# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Devices that a container asks for by what they can do, such as GPUs, and not by their files.

API: HostConfig.DeviceRequests, since 1.40; https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

import typing as t

from .._errors import OptionError
from . import parsers

JSON = dict[str, t.Any]

ALL = -1
_KEYS = ("driver", "count", "device_ids", "capabilities", "options")


def parse_requests(option: str, value: t.Any) -> tuple[JSON, ...]:
    """A list of mappings with ``driver``, ``count`` (a number, or all) or ``device_ids``, ``capabilities`` and ``options``."""
    if not isinstance(value, list):
        raise OptionError(option, value, "write a list of mappings, such as [{capabilities: [gpu]}]")
    return tuple(_request(f"{option}[{index}]", item) for index, item in enumerate(value))


def _request(option: str, value: t.Any) -> JSON:
    given = {key: item for key, item in parsers.known_keys(option, value, _KEYS).items() if item is not None}
    identities = parsers.texts(f"{option}.device_ids", given.get("device_ids") or [])
    if identities and "count" in given:
        raise OptionError(f"{option}.count", given["count"], "device_ids says which ones already; keep one of them")
    capabilities = parsers.sorted_texts(f"{option}.capabilities", given.get("capabilities") or [])
    if not capabilities and given.get("driver") != "cdi":
        raise OptionError(f"{option}.capabilities", list(capabilities), "say what the devices can do, such as [gpu]")
    return {
        "driver": parsers.text(f"{option}.driver", given["driver"]) if given.get("driver") else "",
        "count": 0 if identities else _count(f"{option}.count", given.get("count", "all")),
        "device_ids": list(identities),
        "capabilities": list(capabilities),
        "options": {
            key: str(item) for key, item in parsers.mapping(f"{option}.options", given.get("options") or {}).items()
        },
    }


def _count(option: str, value: t.Any) -> int:
    return ALL if value in ("all", ALL, str(ALL)) else int(parsers.integer(1)(option, value))


def send(body: JSON, value: tuple[JSON, ...]) -> None:
    body["HostConfig"]["DeviceRequests"] = [
        {
            "Driver": item["driver"],
            "Count": item["count"],
            "DeviceIDs": item["device_ids"],
            # The outer list is of alternatives, the inner of what is needed together.
            "Capabilities": [item["capabilities"]] if item["capabilities"] else [],
            "Options": item["options"],
        }
        for item in value
    ]


def read(inspect: JSON) -> tuple[JSON, ...]:
    return tuple(
        {
            "driver": item.get("Driver") or "",
            "count": item.get("Count") or 0,
            "device_ids": list(item.get("DeviceIDs") or []),
            "capabilities": sorted(name for group in item.get("Capabilities") or [] for name in group),
            "options": item.get("Options") or {},
        }
        for item in inspect["HostConfig"].get("DeviceRequests") or []
    )
