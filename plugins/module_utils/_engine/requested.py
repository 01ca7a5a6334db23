# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The engine's create request, option by option: each function puts one canonical value where the request has it.

API: https://docs.docker.com/reference/api/engine/version/v1.51/#tag/Container/operation/ContainerCreate
"""

from __future__ import annotations

import json
import typing as t

from . import names
from .mounts import Mount
from .ports import Port
from .reported import BLKIO_KEYS, HEALTH_KEYS

JSON = dict[str, t.Any]


def environment(body: JSON, value: dict[str, str]) -> None:
    body["Env"] = [f"{key}={value[key]}" for key in sorted(value)]


def labels(body: JSON, value: dict[str, str]) -> None:
    body["Labels"] = {**body.get("Labels", {}), **value}


def healthcheck(body: JSON, value: dict[str, t.Any]) -> None:
    sent = {key: value[name] for name, key in HEALTH_KEYS.items() if value.get(name)}
    body["Healthcheck"] = {"Test": list(value["test"]), **sent} if value else {"Test": ["NONE"]}


def restart_policy(value: str) -> JSON:
    name, _colon, count = value.partition(":")
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": int(count or 0)}}


def ports(body: JSON, value: tuple[Port, ...]) -> None:
    bindings: dict[str, list[JSON]] = {}
    for port in value:
        outer = {"HostIp": port.address, "HostPort": str(port.host) if port.host else ""}
        bindings.setdefault(f"{port.container}/{port.protocol}", []).append(outer)
    body["ExposedPorts"] = {inner: {} for inner in bindings}
    body["HostConfig"]["PortBindings"] = bindings


def volumes(body: JSON, value: tuple[Mount, ...]) -> None:
    body["HostConfig"]["Binds"] = [mount.bind() for mount in value if not mount.is_structured]
    structured = [mount.entry() for mount in value if mount.is_structured]
    if structured:
        body["HostConfig"]["Mounts"] = structured


def capabilities(body: JSON, value: tuple[str, ...]) -> None:
    body["HostConfig"]["CapDrop"] = [] if value == ("ALL",) else ["ALL"]
    body["HostConfig"]["CapAdd"] = list(value)


def ulimits(body: JSON, value: tuple[tuple[str, int, int], ...]) -> None:
    body["HostConfig"]["Ulimits"] = [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in value]
    if value:
        body.setdefault("Labels", {})[names.ULIMITS] = ",".join(name for name, _soft, _hard in value)


def devices(body: JSON, value: tuple[tuple[str, str, str], ...]) -> None:
    body["HostConfig"]["Devices"] = [
        {"PathOnHost": outer, "PathInContainer": inner, "CgroupPermissions": access} for outer, inner, access in value
    ]


def blkio(body: JSON, value: dict[str, t.Any]) -> None:
    for name, limit in value.items():
        if name == "weight":
            body["HostConfig"]["BlkioWeight"] = limit
        else:
            body["HostConfig"][BLKIO_KEYS[name]] = [
                {"Path": path, "Rate": rate} for path, rate in sorted(limit.items())
            ]


def files(body: JSON, value: dict[str, str]) -> None:
    if value:
        body.setdefault("Labels", {})[names.FILES] = json.dumps(value, sort_keys=True, separators=(",", ":"))


def mac_address(body: JSON, value: str) -> None:
    # The address itself goes to the network, at a place that depends on the engine's version.
    if value:
        body.setdefault("Labels", {})[names.MAC_ADDRESS] = value


def one_shot(body: JSON, value: bool) -> None:
    if value:
        body.setdefault("Labels", {})[names.ONE_SHOT] = "true"


def log(body: JSON, value: dict[str, t.Any]) -> None:
    body["HostConfig"]["LogConfig"] = {"Type": value["driver"], "Config": value["options"]}


def memory_limit(value: int) -> JSON | None:
    # The engine refuses a limit above the swap limit it holds already.
    return {"Memory": value, "MemorySwap": 2 * value} if value else None
