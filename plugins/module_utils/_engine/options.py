# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a container of a set can be told: each option once.

One entry gives the check of what is written (``parse``), the value when nothing is written (``inherit`` from the image, or ``default``),
the part of the engine's create request (``send``), what the engine reports in the same canonical form (``read``) and, where the engine
can change it under a running container, the update request (``update``).
``reported`` and ``requested`` hold what is more than a line.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from . import device_requests, namespaces, parsers, reported, requested
from .capabilities import effective_capabilities

JSON = dict[str, t.Any]


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


def _is_default_swap(found: t.Mapping[str, t.Any]) -> bool:
    # Twice the memory when nothing is asked; -1 or 0 where the kernel does not account for swap.
    return found["memory_swap"] in (0, -1, 2 * found["memory"])


def _inherited_command(entrypoint: tuple[str, ...] | None, image: JSON) -> tuple[str, ...]:
    # An entrypoint of one's own sets the image's command aside.
    return () if entrypoint is not None else tuple(image.get("Cmd") or [])


def _inherit_healthcheck(asked: dict[str, t.Any] | None, image: JSON) -> dict[str, t.Any]:
    merged = {**dict.fromkeys(reported.HEALTH_KEYS, 0), **reported.healthcheck(image), **(asked or {})}
    return {} if merged.get("test", ("NONE",)) == ("NONE",) else merged


OPTIONS: tuple[Option, ...] = (
    Option(
        "entrypoint",
        reported.entrypoint,
        lambda body, value: body.update(Entrypoint=list(value) or [""]),
        parsers.words,
        inherit=lambda asked, image: tuple(image.get("Entrypoint") or []) if asked is None else asked,
    ),
    Option("command", lambda inspect: tuple(inspect["Config"].get("Cmd") or []), _config("Cmd"), parsers.words),
    Option(
        "environment",
        lambda inspect: reported.environment(inspect["Config"]),
        requested.environment,
        parsers.environment,
        secret=True,
        inherit=lambda asked, image: {**reported.environment(image), **(asked or {})},
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
    Option("hostname", reported.hostname, _config("Hostname"), parsers.text, ""),
    Option("domainname", reported.domainname, _config("Domainname"), parsers.text, ""),
    Option(
        "labels",
        reported.labels,
        requested.labels,
        parsers.labels,
        inherit=lambda asked, image: {**(image.get("Labels") or {}), **(asked or {})},
    ),
    Option(
        "healthcheck",
        lambda inspect: reported.healthcheck(inspect["Config"]),
        requested.healthcheck,
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
        reported.restart,
        lambda body, value: body["HostConfig"].update(requested.restart_policy(value)),
        parsers.restart_policy,
        "unless-stopped",
        update=requested.restart_policy,
    ),
    Option("ports", reported.ports, requested.ports, default=()),
    Option("volumes", reported.volumes, requested.volumes, default=()),
    Option("tmpfs", reported.tmpfs, _host("Tmpfs"), parsers.tmpfs, {}),
    Option(
        "memory",
        lambda inspect: inspect["HostConfig"].get("Memory") or 0,
        _host("Memory"),
        parsers.memory,
        0,
        update=requested.memory_limit,
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
    Option("ulimits", reported.ulimits, requested.ulimits, parsers.ulimits, ()),
    Option(
        "sysctls", lambda inspect: inspect["HostConfig"].get("Sysctls") or {}, _host("Sysctls"), parsers.sysctls, {}
    ),
    Option("devices", reported.devices, requested.devices, parsers.devices, ()),
    _plain("device_cgroup_rules", "DeviceCgroupRules", parsers.device_rules, ()),
    Option("device_requests", device_requests.read, device_requests.send, device_requests.parse_requests, ()),
    Option("blkio", reported.blkio, requested.blkio, parsers.blkio, {}),
    _plain("ipc_mode", "IpcMode", namespaces.mode("private", "shareable", "none", "host"), ENGINE_DEFAULT),
    _plain("pid_mode", "PidMode", namespaces.mode("host"), ""),
    _plain("uts_mode", "UTSMode", parsers.one_of("host"), ""),
    _plain("userns_mode", "UsernsMode", parsers.one_of("host"), ""),
    # HostConfig.CgroupnsMode: API 1.41.
    _plain("cgroupns_mode", "CgroupnsMode", parsers.one_of("private", "host"), ENGINE_DEFAULT),
    Option("runtime", reported.runtime, _host("Runtime"), parsers.runtime, ENGINE_DEFAULT),
    _plain("read_only", "ReadonlyRootfs", parsers.boolean, False),
    _plain("privileged", "Privileged", parsers.boolean, False),
    Option("capabilities", reported.capabilities, requested.capabilities, default=effective_capabilities((), ())),
    Option(
        "security_opt", reported.security, _host("SecurityOpt"), parsers.security_options, (reported.NO_NEW_PRIVILEGES,)
    ),
    Option("init", lambda inspect: inspect["HostConfig"].get("Init"), _host("Init"), parsers.boolean),
    _sorted("extra_hosts", "ExtraHosts", parsers.extra_hosts),
    Option("dns", reported.dns, _host("Dns"), parsers.addresses, ()),
    _plain("dns_search", "DnsSearch", parsers.texts, ()),
    _plain("dns_opt", "DnsOptions", parsers.texts, ()),
    # HostConfig.Annotations: API 1.43, Docker Engine 24.
    Option(
        "annotations",
        lambda inspect: inspect["HostConfig"].get("Annotations") or {},
        _host("Annotations"),
        parsers.runtime_annotations,
        {},
    ),
    Option("mac_address", reported.mac_address, requested.mac_address, parsers.mac_address, ""),
    Option("one_shot", reported.one_shot, requested.one_shot, parsers.boolean, False),
    Option("files", reported.files, requested.files, default={}, secret=True),
    Option("log", reported.log, requested.log, parsers.log, ENGINE_DEFAULT),
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
