# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a container of a set can be told: each option once.

One entry gives the check of what is written (``parse``), the value when nothing is written (``inherit`` from the image, or ``default``),
the part of the engine's create request (``send``), what the engine reports in the same canonical form (``read``) and, where the engine
can change it under a running container, the update request (``update``).
Facts about what the engine reports: Docker Engine 20.10 and 28.5, API 1.41 to 1.51.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from . import names, parsers
from .mounts import parse_bind
from .ports import Port, plain_address

JSON = dict[str, t.Any]

BASE_CAPABILITIES = frozenset({"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"})
ENGINE_CAPABILITIES = BASE_CAPABILITIES | {
    "AUDIT_WRITE",
    "FSETID",
    "MKNOD",
    "NET_RAW",
    "SETFCAP",
    "SETPCAP",
    "SYS_CHROOT",
}
NO_NEW_PRIVILEGES = "no-new-privileges"


class EngineDefault:
    """The engine's own choice, which only the engine knows: nothing is sent and nothing compared, unless the option was asked for before."""

    def __repr__(self) -> str:
        return "the engine's default"


ENGINE_DEFAULT = EngineDefault()


@dataclass(frozen=True)
class Option:
    """One thing that a container can be told."""

    name: str
    read: t.Callable[[JSON], t.Any]
    send: t.Callable[[JSON, t.Any], None]
    parse: parsers.Parser | None = None
    default: t.Any = None
    inherit: t.Callable[[t.Any, JSON], t.Any] | None = None
    update: t.Callable[[t.Any], JSON | None] | None = None
    secret: bool = False


def _config(key: str) -> t.Callable[[JSON, t.Any], None]:
    def send(body: JSON, value: t.Any) -> None:
        body[key] = list(value) if isinstance(value, tuple) else value

    return send


def _host(key: str) -> t.Callable[[JSON, t.Any], None]:
    def send(body: JSON, value: t.Any) -> None:
        body["HostConfig"][key] = list(value) if isinstance(value, tuple) else value

    return send


def _plain(name: str, key: str, parse: parsers.Parser, default: t.Any, in_place: bool = False) -> Option:
    """An option that is a value of HostConfig under ``key``, which the engine reports as it was sent, or as null."""

    def read(inspect: JSON) -> t.Any:
        value = inspect["HostConfig"].get(key)
        return default if value is None else tuple(value) if isinstance(value, list) else value

    def update(value: t.Any) -> JSON | None:
        return {key: value} if value else None

    return Option(name, read, _host(key), parse, default, update=update if in_place else None)


def _sorted(name: str, key: str, parse: parsers.Parser) -> Option:
    return Option(name, lambda inspect: tuple(sorted(inspect["HostConfig"].get(key) or [])), _host(key), parse, ())


def _memory(value: int) -> JSON | None:
    # The engine refuses a limit above the swap limit it holds already.
    return {"Memory": value, "MemorySwap": 2 * value} if value else None


def _is_default_swap(found: t.Mapping[str, t.Any]) -> bool:
    # Twice the memory when nothing is asked; -1 or 0 where the kernel does not account for swap.
    return found["memory_swap"] in (0, -1, 2 * found["memory"])


def _inherited_command(entrypoint: tuple[str, ...] | None, image: JSON) -> tuple[str, ...]:
    # An entrypoint of one's own sets the image's command aside.
    return () if entrypoint is not None else tuple(image.get("Cmd") or [])


def _read_entrypoint(inspect: JSON) -> tuple[str, ...]:
    found = tuple(inspect["Config"].get("Entrypoint") or [])
    return () if found == ("",) else found


def read_environment(config: JSON) -> dict[str, str]:
    pairs = (item.partition("=") for item in config.get("Env") or [])
    return {key: value for key, _equals, value in pairs}


def _send_environment(body: JSON, value: dict[str, str]) -> None:
    body["Env"] = [f"{key}={value[key]}" for key in sorted(value)]


def _read_labels(inspect: JSON) -> dict[str, str]:
    return {
        key: value for key, value in (inspect["Config"].get("Labels") or {}).items() if not key.startswith("hardshell.")
    }


def _send_labels(body: JSON, value: dict[str, str]) -> None:
    body["Labels"] = {**body.get("Labels", {}), **value}


_HEALTH = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
    "retries": "Retries",
}


def read_healthcheck(config: JSON) -> dict[str, t.Any]:
    """Every key, 0 where the engine's own default holds; empty when there is no check."""
    found = config.get("Healthcheck") or {}
    test = tuple(found.get("Test") or [])
    if not test or test == ("NONE",):
        return {}
    return {"test": test, **{name: found.get(key) or 0 for name, key in _HEALTH.items()}}


def _inherit_healthcheck(asked: dict[str, t.Any] | None, image: JSON) -> dict[str, t.Any]:
    merged = {**dict.fromkeys(_HEALTH, 0), **read_healthcheck(image), **(asked or {})}
    return {} if merged.get("test", ("NONE",)) == ("NONE",) else merged


def _send_healthcheck(body: JSON, value: dict[str, t.Any]) -> None:
    sent = {key: value[name] for name, key in _HEALTH.items() if value.get(name)}
    body["Healthcheck"] = {"Test": list(value["test"]), **sent} if value else {"Test": ["NONE"]}


def _read_hostname(inspect: JSON) -> str:
    found: str = inspect["Config"].get("Hostname") or ""
    return "" if found == inspect["Id"][:12] else found


def _read_restart(inspect: JSON) -> str:
    policy = inspect["HostConfig"].get("RestartPolicy") or {}
    name, count = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{count}" if count else name


def _restart(value: str) -> JSON:
    name, _colon, count = value.partition(":")
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": int(count or 0)}}


def _read_ports(inspect: JSON) -> tuple[Port, ...]:
    found = []
    for inner, bindings in (inspect["HostConfig"].get("PortBindings") or {}).items():
        number, _slash, protocol = inner.partition("/")
        for binding in bindings or []:
            address = plain_address("ports", binding.get("HostIp") or "")
            found.append(Port(int(number), protocol or "tcp", int(binding.get("HostPort") or 0), address))
    return tuple(sorted(found))


def _send_ports(body: JSON, value: tuple[Port, ...]) -> None:
    bindings: dict[str, list[JSON]] = {}
    for port in value:
        outer = {"HostIp": port.address, "HostPort": str(port.host) if port.host else ""}
        bindings.setdefault(f"{port.container}/{port.protocol}", []).append(outer)
    body["ExposedPorts"] = {inner: {} for inner in bindings}
    body["HostConfig"]["PortBindings"] = bindings


def _read_volumes(inspect: JSON) -> tuple[t.Any, ...]:
    return tuple(sorted(parse_bind(bind) for bind in inspect["HostConfig"].get("Binds") or []))


def _send_volumes(body: JSON, value: tuple[t.Any, ...]) -> None:
    body["HostConfig"]["Binds"] = [mount.bind() for mount in value]


def _read_capabilities(inspect: JSON) -> tuple[str, ...]:
    host = inspect["HostConfig"]
    added = {parsers.capability("cap_add", name) for name in host.get("CapAdd") or []}
    dropped = {parsers.capability("cap_drop", name) for name in host.get("CapDrop") or []}
    base = set() if "ALL" in dropped else set(ENGINE_CAPABILITIES)
    return tuple(sorted((base | added) - dropped)) if "ALL" not in added else ("ALL",)


def effective_capabilities(added: t.Iterable[str], dropped: t.Iterable[str]) -> tuple[str, ...]:
    """What a container may do, out of the collection's own base, ``cap_add`` and ``cap_drop``."""
    if "ALL" in added:
        return ("ALL",)
    base = set() if "ALL" in dropped else set(BASE_CAPABILITIES) - set(dropped)
    return tuple(sorted(base | set(added)))


def _send_capabilities(body: JSON, value: tuple[str, ...]) -> None:
    body["HostConfig"]["CapDrop"] = [] if value == ("ALL",) else ["ALL"]
    body["HostConfig"]["CapAdd"] = list(value)


def _read_security(inspect: JSON) -> tuple[str, ...]:
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


def _read_ulimits(inspect: JSON) -> tuple[tuple[str, int, int], ...]:
    found = inspect["HostConfig"].get("Ulimits") or []
    return tuple(sorted((limit["Name"], limit["Soft"], limit["Hard"]) for limit in found))


def _send_ulimits(body: JSON, value: tuple[tuple[str, int, int], ...]) -> None:
    body["HostConfig"]["Ulimits"] = [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in value]


def _read_devices(inspect: JSON) -> tuple[tuple[str, str, str], ...]:
    found = inspect["HostConfig"].get("Devices") or []
    return tuple(sorted((item["PathOnHost"], item["PathInContainer"], item["CgroupPermissions"]) for item in found))


def _send_devices(body: JSON, value: tuple[tuple[str, str, str], ...]) -> None:
    body["HostConfig"]["Devices"] = [
        {"PathOnHost": outer, "PathInContainer": inner, "CgroupPermissions": access} for outer, inner, access in value
    ]


_BLKIO = {
    "device_read_bps": "BlkioDeviceReadBps",
    "device_write_bps": "BlkioDeviceWriteBps",
    "device_read_iops": "BlkioDeviceReadIOps",
    "device_write_iops": "BlkioDeviceWriteIOps",
}


def _read_blkio(inspect: JSON) -> dict[str, t.Any]:
    """The limits that there are: ``weight`` a number, the others by device."""
    host = inspect["HostConfig"]
    found = {name: {item["Path"]: item["Rate"] for item in host.get(key) or []} for name, key in _BLKIO.items()}
    return {name: value for name, value in {"weight": host.get("BlkioWeight"), **found}.items() if value}


def _send_blkio(body: JSON, value: dict[str, t.Any]) -> None:
    for name, limit in value.items():
        if name == "weight":
            body["HostConfig"]["BlkioWeight"] = limit
        else:
            body["HostConfig"][_BLKIO[name]] = [{"Path": path, "Rate": rate} for path, rate in sorted(limit.items())]


def _read_files(inspect: JSON) -> dict[str, str]:
    label = (inspect["Config"].get("Labels") or {}).get(names.FILES)
    try:
        return dict(json.loads(label)) if label else {}
    except (ValueError, TypeError):
        # Not what was written: the files are made anew.
        return {"": label or ""}


def _send_files(body: JSON, value: dict[str, str]) -> None:
    if value:
        body.setdefault("Labels", {})[names.FILES] = json.dumps(value, sort_keys=True, separators=(",", ":"))


def _read_one_shot(inspect: JSON) -> bool:
    return names.ONE_SHOT in (inspect["Config"].get("Labels") or {})


def _send_one_shot(body: JSON, value: bool) -> None:
    if value:
        body.setdefault("Labels", {})[names.ONE_SHOT] = "true"


def _read_log(inspect: JSON) -> dict[str, t.Any]:
    found = inspect["HostConfig"].get("LogConfig") or {}
    return {"driver": found.get("Type") or "", "options": found.get("Config") or {}}


def _send_log(body: JSON, value: dict[str, t.Any]) -> None:
    body["HostConfig"]["LogConfig"] = {"Type": value["driver"], "Config": value["options"]}


OPTIONS: tuple[Option, ...] = (
    Option(
        "entrypoint",
        _read_entrypoint,
        lambda body, value: body.update(Entrypoint=list(value) or [""]),
        parsers.words,
        inherit=lambda asked, image: tuple(image.get("Entrypoint") or []) if asked is None else asked,
    ),
    Option("command", lambda inspect: tuple(inspect["Config"].get("Cmd") or []), _config("Cmd"), parsers.words),
    Option(
        "environment",
        lambda inspect: read_environment(inspect["Config"]),
        _send_environment,
        parsers.environment,
        secret=True,
        inherit=lambda asked, image: {**read_environment(image), **(asked or {})},
    ),
    Option(
        "user",
        lambda inspect: inspect["Config"].get("User") or "",
        _config("User"),
        parsers.text,
        inherit=lambda asked, image: asked or image.get("User") or "",
    ),
    _sorted("group_add", "GroupAdd", parsers.sorted_texts),
    Option(
        "working_dir",
        lambda inspect: (inspect["Config"].get("WorkingDir") or "/").rstrip("/") or "/",
        _config("WorkingDir"),
        parsers.directory,
        inherit=lambda asked, image: asked or (image.get("WorkingDir") or "/").rstrip("/") or "/",
    ),
    Option("hostname", _read_hostname, _config("Hostname"), parsers.text, ""),
    Option(
        "domainname", lambda inspect: inspect["Config"].get("Domainname") or "", _config("Domainname"), parsers.text, ""
    ),
    Option(
        "labels",
        _read_labels,
        _send_labels,
        parsers.labels,
        inherit=lambda asked, image: {**(image.get("Labels") or {}), **(asked or {})},
    ),
    Option(
        "healthcheck",
        lambda inspect: read_healthcheck(inspect["Config"]),
        _send_healthcheck,
        parsers.healthcheck,
        inherit=_inherit_healthcheck,
    ),
    Option(
        "stop_signal",
        lambda inspect: inspect["Config"].get("StopSignal") or "SIGTERM",
        _config("StopSignal"),
        parsers.signal,
        inherit=lambda asked, image: asked or image.get("StopSignal") or "SIGTERM",
    ),
    Option(
        "stop_grace_period", lambda inspect: inspect["Config"].get("StopTimeout"), _config("StopTimeout"), parsers.grace
    ),
    Option("tty", lambda inspect: bool(inspect["Config"].get("Tty")), _config("Tty"), parsers.boolean, False),
    Option(
        "stdin_open",
        lambda inspect: bool(inspect["Config"].get("OpenStdin")),
        _config("OpenStdin"),
        parsers.boolean,
        False,
    ),
    Option(
        "restart",
        _read_restart,
        lambda body, value: body["HostConfig"].update(_restart(value)),
        parsers.restart_policy,
        "unless-stopped",
        update=_restart,
    ),
    Option("ports", _read_ports, _send_ports, default=()),
    Option("volumes", _read_volumes, _send_volumes, default=()),
    Option("tmpfs", lambda inspect: inspect["HostConfig"].get("Tmpfs") or {}, _host("Tmpfs"), parsers.tmpfs, {}),
    Option(
        "memory",
        lambda inspect: inspect["HostConfig"].get("Memory") or 0,
        _host("Memory"),
        parsers.memory,
        0,
        update=_memory,
    ),
    Option(
        "memory_swap",
        lambda inspect: inspect["HostConfig"].get("MemorySwap") or 0,
        _host("MemorySwap"),
        parsers.swap,
        ENGINE_DEFAULT,
        update=lambda value: {"MemorySwap": value},
    ),
    _plain("memory_reservation", "MemoryReservation", parsers.memory, 0, in_place=True),
    _plain("cpus", "NanoCpus", parsers.cores, 0, in_place=True),
    _plain("cpu_shares", "CpuShares", parsers.integer(2, 262144), 0, in_place=True),
    _plain("cpuset", "CpusetCpus", parsers.text, "", in_place=True),
    _plain("pids_limit", "PidsLimit", parsers.integer(1), 0, in_place=True),
    _plain("oom_score_adj", "OomScoreAdj", parsers.integer(-1000, 1000), 0),
    _plain("shm_size", "ShmSize", parsers.memory, ENGINE_DEFAULT),
    Option("ulimits", _read_ulimits, _send_ulimits, parsers.ulimits, ()),
    Option(
        "sysctls", lambda inspect: inspect["HostConfig"].get("Sysctls") or {}, _host("Sysctls"), parsers.sysctls, {}
    ),
    Option("devices", _read_devices, _send_devices, parsers.devices, ()),
    Option("blkio", _read_blkio, _send_blkio, parsers.blkio, {}),
    _plain("ipc_mode", "IpcMode", parsers.one_of("private", "shareable", "none", "host"), ENGINE_DEFAULT),
    _plain("pid_mode", "PidMode", parsers.one_of("host"), ""),
    _plain("uts_mode", "UTSMode", parsers.one_of("host"), ""),
    _plain("userns_mode", "UsernsMode", parsers.one_of("host"), ""),
    _plain("read_only", "ReadonlyRootfs", parsers.boolean, False),
    _plain("privileged", "Privileged", parsers.boolean, False),
    Option("capabilities", _read_capabilities, _send_capabilities, default=effective_capabilities((), ())),
    Option("security_opt", _read_security, _host("SecurityOpt"), parsers.security_options, (NO_NEW_PRIVILEGES,)),
    Option("init", lambda inspect: inspect["HostConfig"].get("Init"), _host("Init"), parsers.boolean),
    _sorted("extra_hosts", "ExtraHosts", parsers.extra_hosts),
    _plain("dns", "Dns", parsers.texts, ()),
    _plain("dns_search", "DnsSearch", parsers.texts, ()),
    Option("one_shot", _read_one_shot, _send_one_shot, parsers.boolean, False),
    Option("files", _read_files, _send_files, default={}, secret=True),
    Option("log", _read_log, _send_log, parsers.log, ENGINE_DEFAULT),
)

BY_NAME: dict[str, Option] = {option.name: option for option in OPTIONS}

# Image configuration that a container inherits, or that decides what it inherits.
_INHERITED = ("Entrypoint", "Cmd", "Env", "User", "WorkingDir", "Labels", "Healthcheck", "StopSignal", "Volumes")


def inherited_config(config: JSON) -> str:
    """The part of an image's configuration that containers inherit, as a label's value."""
    kept = {key: config[key] for key in _INHERITED if config.get(key)}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def settle(asked: t.Mapping[str, t.Any], image: JSON) -> dict[str, t.Any]:
    """The canonical value of every option: what is asked, over what the image says, over the default."""
    values: dict[str, t.Any] = {}
    for option in OPTIONS:
        if option.name == "command":
            inherited = _inherited_command(asked.get("entrypoint"), image)
            values["command"] = asked.get("command", inherited)
        elif option.inherit:
            values[option.name] = option.inherit(asked.get(option.name), image)
        else:
            values[option.name] = asked.get(option.name, option.default)
    return values


def read_all(inspect: JSON) -> dict[str, t.Any]:
    """The canonical value of every option as the engine reports it."""
    return {option.name: option.read(inspect) for option in OPTIONS}


def create_body(values: t.Mapping[str, t.Any]) -> JSON:
    """The engine's create request for these values, without image, networks and the collection's labels."""
    body: JSON = {"HostConfig": {}}
    for option in OPTIONS:
        value = values[option.name]
        if value is not None and value is not ENGINE_DEFAULT:
            option.send(body, value)
    return body


def update_body(wanted: t.Mapping[str, t.Any], names: t.Iterable[str]) -> JSON | None:
    """The engine's update request that brings these options about, or None when one of them cannot be changed in place."""
    body: JSON = {}
    for name in sorted(names, key=lambda name: name == "memory_swap"):
        change = BY_NAME[name].update
        value = wanted[name]
        part = change(value) if change and value is not ENGINE_DEFAULT else None
        if part is None:
            return None
        body.update(part)
    if "Memory" in body and wanted["memory_swap"] is not ENGINE_DEFAULT:
        body["MemorySwap"] = wanted["memory_swap"]
    return body


def differences(
    wanted: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any], asked_before: t.Container[str]
) -> tuple[str, ...]:
    """The names of the options that differ. One that is left to the engine differs when it was asked for when the container was made."""

    def differs(name: str) -> bool:
        if wanted[name] is not ENGINE_DEFAULT:
            return bool(wanted[name] != found[name])
        return name in asked_before or (name == "memory_swap" and not _is_default_swap(found))

    return tuple(option.name for option in OPTIONS if differs(option.name))
