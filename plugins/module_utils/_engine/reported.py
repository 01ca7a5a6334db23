# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What the engine reports of a container, option by option, in canonical form.

Each function takes what the engine answers to an inspect, or the configuration in it. Facts about what the engine reports: Docker Engine 20.10, 28.5 and 29.7,
API 1.41 to 1.55.
"""

from __future__ import annotations

import json
import posixpath
import typing as t

from .._errors import OptionError
from . import names, parsers
from .capabilities import ENGINE_CAPABILITIES
from .mounts import Mount, parse_bind
from .ports import Port, plain_address

JSON = dict[str, t.Any]

NO_NEW_PRIVILEGES = "no-new-privileges"
HEALTH_KEYS = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}
BLKIO_KEYS = {
    "device_read_bps": "BlkioDeviceReadBps",
    "device_write_bps": "BlkioDeviceWriteBps",
    "device_read_iops": "BlkioDeviceReadIOps",
    "device_write_iops": "BlkioDeviceWriteIOps",
}


def entrypoint(inspect: JSON) -> tuple[str, ...]:
    found = tuple(inspect["Config"].get("Entrypoint") or [])
    return () if found == ("",) else found


def environment(config: JSON) -> dict[str, str]:
    pairs = (item.partition("=") for item in config.get("Env") or [])
    return {key: value for key, _equals, value in pairs}


def labels(inspect: JSON) -> dict[str, str]:
    return {
        key: value for key, value in (inspect["Config"].get("Labels") or {}).items() if not key.startswith("hardshell.")
    }


def healthcheck(config: JSON) -> dict[str, t.Any]:
    """Every key, 0 where the engine's own default holds; empty when there is no check."""
    found = config.get("Healthcheck") or {}
    test = tuple(found.get("Test") or [])
    if not test or test == ("NONE",):
        return {}
    return {"test": test, **{name: found.get(key) or 0 for name, key in HEALTH_KEYS.items()}}


def _in_network_of_another(inspect: JSON) -> bool:
    # The engine then reports the other's names as those of the container.
    return (inspect["HostConfig"].get("NetworkMode") or "").startswith("container:")


def _asked_for(option: str, inspect: JSON) -> bool:
    return option in (inspect["Config"].get("Labels") or {}).get(names.ASKED, "").split(",")


def domainname(inspect: JSON) -> str:
    return "" if _in_network_of_another(inspect) else inspect["Config"].get("Domainname") or ""


def hostname(inspect: JSON) -> str:
    if _in_network_of_another(inspect):
        return ""
    if inspect["HostConfig"].get("NetworkMode") == "host" and not _asked_for("hostname", inspect):
        # The engine reports the name of its own machine.
        return ""
    found: str = inspect["Config"].get("Hostname") or ""
    return "" if found == inspect["Id"][:12] else found


def restart(inspect: JSON) -> str:
    policy = inspect["HostConfig"].get("RestartPolicy") or {}
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{count}" if count else name


def ports(inspect: JSON) -> tuple[Port, ...]:
    found = []
    for inner, bindings in (inspect["HostConfig"].get("PortBindings") or {}).items():
        number, _slash, protocol = inner.partition("/")
        for binding in bindings or []:
            address = plain_address("ports", binding.get("HostIp") or "")
            found.append(Port(int(number), protocol or "tcp", int(binding.get("HostPort") or 0), address))
    return tuple(sorted(found))


def volumes(inspect: JSON) -> tuple[Mount, ...]:
    """All of them, however they were asked for, and those that the image declares and nothing covers."""
    binds = [parse_bind(bind) for bind in inspect["HostConfig"].get("Binds") or []]
    asked = [
        _mount(item) for item in inspect["HostConfig"].get("Mounts") or [] if item.get("Type") in ("bind", "volume")
    ]
    found = {mount.target: mount for mount in [*asked, *binds] if mount.source}
    for item in inspect.get("Mounts") or []:
        target = posixpath.normpath(item["Destination"])
        if item.get("Type") == "volume":
            found.setdefault(target, Mount(target, item["Name"]))
    return tuple(sorted(found.values()))


def _mount(item: JSON) -> Mount:
    volume, bind = item.get("VolumeOptions") or {}, item.get("BindOptions") or {}
    modes = [
        "ro" if item.get("ReadOnly") else "",
        "nocopy" if volume.get("NoCopy") else "",
        bind.get("Propagation") or "",
    ]
    return Mount(
        posixpath.normpath(item["Target"]),
        item.get("Source") or "",
        tuple(sorted(filter(None, modes))),
        volume.get("Subpath") or "",
        item["Type"] == "bind" and not bind.get("CreateMountpoint"),
    )


def tmpfs(inspect: JSON) -> dict[str, str]:
    found = dict(inspect["HostConfig"].get("Tmpfs") or {})
    for item in inspect["HostConfig"].get("Mounts") or []:
        if item.get("Type") == "tmpfs":
            given = item.get("TmpfsOptions") or {}
            flags = [f"size={given['SizeBytes']}"] if given.get("SizeBytes") else []
            flags += [f"mode={given['Mode']:o}"] if given.get("Mode") else []
            found[posixpath.normpath(item["Target"])] = ",".join(flags)
    return found


# What a container can have that no option says, by its place in the engine's report.
_UNSAID = {
    "CgroupParent": "its cgroup's parent",
    "CpuPeriod": "its CPU period",
    "CpuQuota": "its CPU quota",
    "CpuRealtimePeriod": "its real-time period",
    "CpuRealtimeRuntime": "its real-time run time",
    "OomKillDisable": "that it is never killed for memory",
    "StorageOpt": "options of its storage driver",
    "VolumesFrom": "volumes of another container",
}


def runtime(inspect: JSON) -> str:
    found = inspect["HostConfig"].get("Runtime") or ""
    return "runc" if found in parsers.PLAIN_RUNTIMES else str(found)


def unsaid(inspect: JSON) -> tuple[str, ...]:
    """What the container has that no option says, in words."""
    host = inspect["HostConfig"]
    found = [words for key, words in _UNSAID.items() if host.get(key)]
    if inspect["Config"].get("MacAddress") and not mac_address(inspect):
        found.append(f"its MAC address {inspect['Config']['MacAddress']}")
    for name, endpoint in (inspect["NetworkSettings"].get("Networks") or {}).items():
        fixed = endpoint.get("IPAMConfig") or {}
        found += [f"its address {fixed[key]} in {name}" for key in ("IPv4Address", "IPv6Address") if fixed.get(key)]
    found += [
        f"its mount of type {item['Type']} at {item['Target']}"
        for item in host.get("Mounts") or []
        if item.get("Type") not in ("bind", "volume", "tmpfs")
    ]
    return tuple(found)


def capabilities(inspect: JSON) -> tuple[str, ...]:
    host = inspect["HostConfig"]
    added = {parsers.capability("cap_add", name) for name in host.get("CapAdd") or []}
    dropped = {parsers.capability("cap_drop", name) for name in host.get("CapDrop") or []}
    base = set() if "ALL" in dropped else set(ENGINE_CAPABILITIES)
    return tuple(sorted((base | added) - dropped)) if "ALL" not in added else ("ALL",)


def security(inspect: JSON) -> tuple[str, ...]:
    host = inspect["HostConfig"]
    found = set(host.get("SecurityOpt") or [])
    if host.get("Privileged") or "host" in (host.get("IpcMode"), host.get("PidMode")):
        # The engine adds it to every container that is privileged, or in one of these namespaces of its machine.
        found.discard("label=disable")
    plain = {
        NO_NEW_PRIVILEGES if item in (f"{NO_NEW_PRIVILEGES}:true", f"{NO_NEW_PRIVILEGES}=true") else item
        for item in found
    }
    return tuple(sorted(item for item in plain if item != f"{NO_NEW_PRIVILEGES}:false"))


def dns(inspect: JSON) -> tuple[str, ...]:
    found: list[str] = inspect["HostConfig"].get("Dns") or []
    try:
        return tuple(plain_address("dns", address) for address in found)
    except OptionError:
        # No address: not what was written.
        return tuple(found)


def ulimits(inspect: JSON) -> tuple[tuple[str, int, int], ...]:
    """Those that were asked for. When it starts a container the engine adds its own ``default-ulimits``, and reports them in the same place."""
    found = inspect["HostConfig"].get("Ulimits") or []
    told = inspect["Config"].get("Labels") or {}
    asked = told[names.ULIMITS].split(",") if names.ULIMITS in told else None
    if asked is None and names.MEMBER in told and "ulimits" not in told.get(names.ASKED, "").split(","):
        asked = []
    return tuple(
        sorted(
            (limit["Name"], limit["Soft"], limit["Hard"]) for limit in found if asked is None or limit["Name"] in asked
        )
    )


def devices(inspect: JSON) -> tuple[tuple[str, str, str], ...]:
    found = inspect["HostConfig"].get("Devices") or []
    return tuple(sorted((item["PathOnHost"], item["PathInContainer"], item["CgroupPermissions"]) for item in found))


def blkio(inspect: JSON) -> dict[str, t.Any]:
    """The limits that there are: ``weight`` a number, the others by device."""
    host = inspect["HostConfig"]
    found = {name: {item["Path"]: item["Rate"] for item in host.get(key) or []} for name, key in BLKIO_KEYS.items()}
    return {name: value for name, value in {"weight": host.get("BlkioWeight"), **found}.items() if value}


def files(inspect: JSON) -> dict[str, str]:
    label = (inspect["Config"].get("Labels") or {}).get(names.FILES)
    try:
        return dict(json.loads(label)) if label else {}
    except (ValueError, TypeError):
        # Not what was written: the files are made anew.
        return {"": label or ""}


def mac_address(inspect: JSON) -> str:
    """What was asked for: the engine reports the address that it chose itself in the same place, and none of a container that does not run."""
    return str((inspect["Config"].get("Labels") or {}).get(names.MAC_ADDRESS, ""))


def one_shot(inspect: JSON) -> bool:
    return names.ONE_SHOT in (inspect["Config"].get("Labels") or {})


def log(inspect: JSON) -> dict[str, t.Any]:
    found = inspect["HostConfig"].get("LogConfig") or {}
    return {"driver": found.get("Type") or "", "options": found.get("Config") or {}}
