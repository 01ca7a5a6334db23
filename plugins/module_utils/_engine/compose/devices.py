# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a service asks of its VM's devices: which it is given, in what way, and how fast it may use a disk."""

from __future__ import annotations

import typing as t

from ..._errors import OptionError
from .. import parsers
from ..device_requests import parse_requests

JSON = dict[str, t.Any]


def blkio(path: str, given: JSON) -> JSON:
    found: JSON = {}
    for key, item in given.items():
        if key == "weight":
            found[key] = item
        elif item:
            found[key] = {}
            for index, limit in enumerate(item):
                option = f"{path}.blkio_config.{key}[{index}]"
                if not isinstance(limit, dict):
                    raise OptionError(option, limit, "write a mapping with path and rate")
                for name in ("path", "rate"):
                    if limit.get(name) is None:
                        raise OptionError(f"{option}.{name}", None, "say the device and its limit for a second")
                found[key][str(limit["path"])] = limit["rate"]
    return {key: item for key, item in found.items() if item is not None and str(item) != "0"}


def devices(path: str, given: list[t.Any]) -> list[str]:
    found = []
    for item in given:
        text = item
        if isinstance(item, dict):
            source = item.get("source")
            text = ":".join([str(source), str(item.get("target") or source), str(item.get("permissions") or "rwm")])
        if not _is_cdi(text):
            found.append(text)
    parsers.devices(f"{path}.devices", found)
    return found


def _is_cdi(item: t.Any) -> bool:
    """Whether it is a name of the Container Device Interface, such as ``nvidia.com/gpu=all``."""
    return isinstance(item, str) and not item.startswith("/") and "=" in item


def device_requests(path: str, given: JSON) -> list[JSON]:
    named = [item.get("source") if isinstance(item, dict) else item for item in given.get("devices") or []]
    cdi = [item for item in named if _is_cdi(item)]
    reservations = ((given.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    reserved, gpus = reservations.get("devices") or [], given.get("gpus") or []
    parse_requests(f"{path}.deploy.resources.reservations.devices", reserved)
    # What is asked for as a GPU can do what one can.
    gpus = [{}] if gpus == "all" else gpus
    wanted = [{"capabilities": ["gpu"], **item} if isinstance(item, dict) else item for item in gpus]
    parse_requests(f"{path}.gpus", wanted)
    return [*([{"driver": "cdi", "device_ids": cdi}] if cdi else []), *reserved, *wanted]
