# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The shape of a lab's pool, from a YAML file or the defaults."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

GIB = 2**30
BACKENDS = ("qemu", "namespace", "none")


class ConfigError(Exception):
    """The configuration is wrong; the message names the option and what would be right."""


@dataclass(frozen=True)
class HostShape:
    name: str = "xapi-lab"
    cpus: int = 0
    """0: as many as this machine has, 4 at least (16 without machines)."""
    memory: int = 0
    """Bytes; 0: as much as this machine has (64 GiB without machines)."""
    address: str = ""
    """Loopback address that the host answers on; empty: the pool's `address` for the first, the next ones for the others."""


@dataclass(frozen=True)
class SrShape:
    name: str = "Local storage"
    type: str = "ext"
    content_type: str = "user"
    capacity: int = 200 * GIB
    """Bytes."""
    shared: bool = False
    """Attached to every host; otherwise to one."""
    host: str = ""
    """Name of the host that an SR which is not shared belongs to; empty: the first."""
    default: bool = False


@dataclass(frozen=True)
class NetworkShape:
    name: str
    kind: str = "private"
    """`nat`: reached from this machine at an address of its own; `private`: between the lab's VMs only."""
    bridge: str = ""


@dataclass(frozen=True)
class AccountShape:
    name: str
    password: str
    role: str = "read-only"


@dataclass(frozen=True)
class Config:
    backend: str = ""
    """What a VM is unless its other_config `xapi-lab:backend` says otherwise; empty: as when the pool was made, `qemu` at first."""
    port: int = 0
    """TLS port on loopback; 0: the one used before, else a free one."""
    address: str = "127.0.0.1"
    """Loopback address of the first host, which is the coordinator at first."""
    http_port: int = 0
    """Plain HTTP port on loopback; 0: none."""
    pool_name: str = "xapi-lab"
    hosts: tuple[HostShape, ...] = (HostShape(),)
    srs: tuple[SrShape, ...] = (
        SrShape(default=True),
        SrShape("ISO library", "iso", "iso", 20 * GIB),
    )
    networks: tuple[NetworkShape, ...] = (
        NetworkShape("Pool-wide network associated with eth0", "nat", "xenbr0"),
        NetworkShape("Host internal management network", "private", "xenapi"),
    )
    accounts: tuple[AccountShape, ...] = ()
    nat_subnet: str = "127.77.0.0/16"
    """Loopback addresses that VMs on `nat` networks are reached at."""
    nat_ports: tuple[str, ...] = ("22", "80", "443", "2376", "8000", "8080", "8443")
    """Ports of a VM that its address forwards. QEMU polls every one of them at each turn of its loop: a hundred halve a machine's speed under TCG."""
    nat_outgoing: bool = False
    """Whether VMs on `nat` networks may open connections of their own (`qemu` only: others reach this machine and no further)."""
    failed_login_delay: float = 5.0
    """Seconds before a wrong password is refused."""
    agent_delay: float = 0.3
    """Seconds from Running to the record in VM_guest_metrics, and of the `none` backend from there to an address."""
    guest: str = "agent"
    """What VMs run unless their xenstore_data `FIST/guest` says otherwise: agent, kernel or silent."""
    shutdown_timeout: float = 1200.0
    """Seconds that VM.clean_shutdown waits for the guest."""
    host_assumed_dead_after: float = 10.0
    """Seconds from the loss of a host to what the others do about it (XAPI: 600 without HA)."""
    event_from_delay: float = 0.05
    """Seconds that event.from gives changes to gather (the option of that name in xapi.conf)."""
    faults: tuple[dict[str, Any], ...] = field(default=())


_NESTED: dict[str, Any] = {"hosts": HostShape, "srs": SrShape, "networks": NetworkShape, "accounts": AccountShape}
_SIZES = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
T = TypeVar("T")


def load(path: Path) -> Config:
    """The configuration in a YAML file; raises ConfigError."""
    try:
        source = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(source, dict):
        raise ConfigError(f"{path}: a mapping of options is needed")
    return from_mapping(source, str(path))


def from_mapping(source: dict[str, Any], where: str = "configuration") -> Config:
    """The configuration that a mapping describes; sizes may be written as `20 GiB`."""
    values = dict(source)
    for name, shape in _NESTED.items():
        if name in values:
            values[name] = tuple(_shape(shape, item, f"{where}: {name}") for item in values[name])
    for name in ("nat_ports", "faults"):
        if name in values:
            values[name] = tuple(str(item) if name == "nat_ports" else item for item in values[name])
    config = _shape(Config, values, where)
    return validated(config, where)


def validated(config: Config, where: str = "configuration") -> Config:
    if config.backend and config.backend not in BACKENDS:
        raise ConfigError(f"{where}: backend is one of {', '.join(BACKENDS)}, not {config.backend!r}")
    if not config.hosts or not config.srs or not config.networks:
        raise ConfigError(f"{where}: a pool needs at least one of each of hosts, srs and networks")
    if config.guest not in {"agent", "kernel", "silent"}:
        raise ConfigError(f"{where}: guest is agent, kernel or silent, not {config.guest!r}")
    names = [host.name for host in config.hosts]
    for sr in config.srs:
        if sr.host and sr.host not in names:
            raise ConfigError(f"{where}: srs: host is one of {', '.join(names)}, not {sr.host!r}")
        if sr.host and sr.shared:
            raise ConfigError(f"{where}: srs: {sr.name} is shared, so it belongs to no host")
    addresses = host_addresses(config, where)
    if len(set(names)) < len(names) or len(set(addresses)) < len(addresses):
        raise ConfigError(f"{where}: hosts: every host needs a name and an address of its own")
    for network in config.networks:
        if network.kind not in {"nat", "private"}:
            raise ConfigError(f"{where}: networks: kind is nat or private, not {network.kind!r}")
    return config


def host_addresses(config: Config, where: str = "configuration") -> list[str]:
    """The loopback address of each host, in order; raises ConfigError."""
    try:
        first = ipaddress.ip_address(config.address)
        addresses = [ipaddress.ip_address(host.address or first + n) for n, host in enumerate(config.hosts)]
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
    for address in addresses:
        if not address.is_loopback:
            raise ConfigError(
                f"{where}: the lab answers on loopback addresses such as 127.0.0.2 only, not on {address}"
            )
    return [str(address) for address in addresses]


def with_this_machine(config: Config) -> Config:
    """Fill in the capacity of hosts that leave it to the machine they run on."""
    real = config.backend != "none"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if real else 64 * GIB
    cpus = max(4, os.cpu_count() or 1) if real else 16
    hosts = tuple(replace(host, cpus=host.cpus or cpus, memory=host.memory or memory) for host in config.hosts)
    return replace(config, hosts=hosts)


def _shape(shape: type[T], source: Any, where: str) -> T:
    if not isinstance(source, dict):
        raise ConfigError(f"{where}: a mapping is needed, not {source!r}")
    known = {item.name for item in fields(shape)}  # type: ignore[arg-type]
    unknown = set(source) - known
    if unknown:
        raise ConfigError(f"{where}: unknown option {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    values = {name: _size(value, where) if name in {"memory", "capacity"} else value for name, value in source.items()}
    try:
        return shape(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None


def _size(value: Any, where: str) -> int:
    if isinstance(value, int):
        return value
    number, _, unit = str(value).partition(" ")
    if unit in _SIZES and number.replace(".", "", 1).isdigit():
        return int(float(number) * _SIZES[unit])
    raise ConfigError(f"{where}: a size is a number of bytes or such as '20 GiB', not {value!r}")
