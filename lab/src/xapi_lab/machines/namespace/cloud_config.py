# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What a guest's cloud-init would do with a NoCloud config drive: a plain list of what to set. Pure.

Known: hostname, fqdn, users, ssh_authorized_keys, ssh_keys, write_files, bootcmd, runcmd; scripts as user-data; static
addresses of network-config, versions 1 and 2. What else stands in the configuration is named in ``ignored``.
"""

from __future__ import annotations

import base64
import gzip
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

DEFAULT_USER = {"name": "debian", "gecos": "Debian", "shell": "/bin/bash", "sudo": "ALL=(ALL) NOPASSWD:ALL"}
KNOWN = frozenset({
    "hostname", "fqdn", "preserve_hostname", "users", "ssh_authorized_keys", "ssh_keys", "ssh_deletekeys", "ssh_pwauth",
    "disable_root", "write_files", "bootcmd", "runcmd", "manage_etc_hosts",
})  # fmt: skip


@dataclass(frozen=True)
class User:
    name: str
    gecos: str = ""
    shell: str = "/bin/sh"
    home: str = ""
    uid: str = ""
    primary_group: str = ""
    groups: tuple[str, ...] = ()
    system: bool = False
    password_hash: str = "*"
    sudo: tuple[str, ...] = ()
    authorized_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class File:
    path: str
    content: str
    """Base64."""
    mode: int = 0o644
    owner: str = "root:root"
    append: bool = False
    defer: bool = False
    """Written once the users are there."""


@dataclass(frozen=True)
class CloudConfig:
    """All that process 1 sets in a guest."""

    instance_id: str = ""
    hostname: str = ""
    users: tuple[User, ...] = ()
    host_keys: Mapping[str, str] = field(default_factory=dict)
    """File in /etc/ssh, and its content."""
    files: tuple[File, ...] = ()
    bootcmd: tuple[Any, ...] = ()
    """Commands, a list of words or a line for sh, of each boot."""
    runcmd: tuple[Any, ...] = ()
    script: str = ""
    """Base64; run once."""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Lines for ip(8), with DEV for the interface, by MAC address."""
    ignored: tuple[str, ...] = ()

    def as_plain_data(self) -> dict[str, Any]:
        return asdict(self)


def from_drive(files: Mapping[str, bytes]) -> CloudConfig:
    """The configuration on a NoCloud drive. Raises ValueError that says what is wrong."""
    try:
        return _from_drive(files)
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(
            f"a value on the config drive is not of the type that cloud-init wants there: {error}"
        ) from error
    except RecursionError:
        raise ValueError("the YAML of the config drive is nested too deeply") from None


def _from_drive(files: Mapping[str, bytes]) -> CloudConfig:
    meta = _mapping(files, "meta-data")
    vendor, user_data = _cloud_config(files, "vendor-data"), files.get("user-data", b"")
    script = user_data if user_data.startswith(b"#!") else b""
    config = {**vendor, **({} if script else _cloud_config(files, "user-data"))}
    keys = [*_words(config.get("ssh_authorized_keys")), *_public_keys(meta)]
    return CloudConfig(
        instance_id=str(meta.get("instance-id", "nocloud")),
        hostname=str(config.get("hostname") or config.get("fqdn") or meta.get("local-hostname") or ""),
        users=tuple(_users(config.get("users", ["default"] if keys else []), keys)),
        host_keys=dict(_host_keys(config.get("ssh_keys") or {})),
        files=tuple(_file(item) for item in config.get("write_files") or ()),
        bootcmd=tuple(config.get("bootcmd") or ()),
        runcmd=tuple(config.get("runcmd") or ()),
        script=base64.b64encode(script).decode(),
        addresses=addresses(_mapping(files, "network-config")),
        ignored=tuple(sorted(set(map(str, config)) - KNOWN)),
    )


def _mapping(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(files.get(name, b"")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{name} of the config drive is no YAML: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{name} of the config drive is no mapping")
    return value


def _cloud_config(files: Mapping[str, bytes], name: str) -> dict[str, Any]:
    content = files.get(name, b"").strip()
    if content and not content.startswith(b"#cloud-config"):
        raise ValueError(f"{name} of the config drive starts with neither #cloud-config nor #!")
    return _mapping(files, name)


def _words(value: Any) -> list[str]:
    """A list, or one string with commas between."""
    if value is None or value is False:
        return []
    items = value.split(",") if isinstance(value, str) else value
    return [str(item).strip() for item in items]


def _lines(value: Any) -> list[str]:
    if value is None or value is False:
        return []
    return [value] if isinstance(value, str) else [str(item) for item in value]


def _public_keys(meta: Mapping[str, Any]) -> list[str]:
    keys = meta.get("public-keys") or []
    return [str(key) for key in (keys.values() if isinstance(keys, dict) else _lines(keys))]


def _users(given: Iterable[Any], keys: list[str]) -> Iterable[User]:
    first = True
    for item in given:
        entry = DEFAULT_USER if item == "default" else item if isinstance(item, dict) else {"name": item}
        if not entry.get("name"):
            raise ValueError(f"users of the config drive: {item!r} has no name")
        name = str(entry["name"])
        yield User(
            name=name,
            gecos=str(entry.get("gecos", "")),
            shell=str(entry.get("shell", "/bin/sh")),
            home=str(entry.get("homedir", "")),
            uid=str(entry.get("uid", "")),
            primary_group=str(entry.get("primary_group", "")),
            groups=tuple(_words(entry.get("groups"))),
            system=bool(entry.get("system")),
            password_hash=str(entry.get("passwd", "*")),
            sudo=tuple(f"{name} {line}" for line in _lines(entry.get("sudo"))),
            authorized_keys=(*_lines(entry.get("ssh_authorized_keys")), *(keys if first else [])),
        )
        first = False


def _host_keys(keys: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, content in keys.items():
        kind, _, part = str(name).partition("_")
        if part in ("private", "public"):
            suffix = ".pub" if part == "public" else ""
            yield f"ssh_host_{kind}_key{suffix}", str(content).rstrip("\n") + "\n"


def _file(item: Mapping[str, Any]) -> File:
    if not str(item.get("path", "")).startswith("/"):
        raise ValueError(f"write_files of the config drive: path is absolute, not {item.get('path')!r}")
    raw = item.get("content", "")
    content = raw if isinstance(raw, bytes) else str(raw).encode()
    encoding = str(item.get("encoding", ""))
    if encoding in ("b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"):
        content = base64.b64decode(content)
    if encoding.startswith("gz"):
        content = gzip.decompress(content)
    mode = item.get("permissions", "0644")
    return File(
        path=str(item["path"]),
        content=base64.b64encode(content).decode(),
        mode=mode if isinstance(mode, int) else int(str(mode), 8),
        owner=str(item.get("owner", "root:root")),
        append=bool(item.get("append")),
        defer=bool(item.get("defer")),
    )


# --- network


def addresses(network: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Static addresses and routes of a network-config as lines for ip(8), by MAC address in lower case."""
    network = network.get("network", network)
    if network.get("version") == 1:
        found = [_version_1(item) for item in network.get("config") or () if item.get("type") == "physical"]
    else:
        found = [_version_2(item or {}) for item in (network.get("ethernets") or {}).values()]
    return {mac.lower(): tuple(lines) for mac, lines in found if mac and lines}


def _version_2(item: Mapping[str, Any]) -> tuple[str, list[str]]:
    mac = str((item.get("match") or {}).get("macaddress", ""))
    lines = [_address(next(iter(one)) if isinstance(one, dict) else one) for one in item.get("addresses") or ()]
    lines += [_route("default", item[name]) for name in ("gateway4", "gateway6") if item.get(name)]
    lines += [_route(route["to"], route["via"]) for route in item.get("routes") or () if route.get("via")]
    return mac, lines


def _version_1(item: Mapping[str, Any]) -> tuple[str, list[str]]:
    lines = []
    for subnet in item.get("subnets") or ():
        if not str(subnet.get("type", "")).startswith("static"):
            continue
        mask = f"/{subnet['netmask']}" if subnet.get("netmask") and "/" not in str(subnet["address"]) else ""
        lines.append(_address(f"{subnet['address']}{mask}"))
        lines += [_route("default", subnet["gateway"])] if subnet.get("gateway") else []
    return str(item.get("mac_address", "")), lines


def _address(text: Any) -> str:
    return f"addr replace {ipaddress.ip_interface(str(text)).with_prefixlen} dev DEV"


def _route(to: Any, via: Any) -> str:
    gateway = ipaddress.ip_address(str(via))
    return f"{'-6 ' if gateway.version == 6 else ''}route replace {to} via {gateway} dev DEV"
