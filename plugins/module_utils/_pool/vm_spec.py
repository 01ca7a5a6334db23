# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm`` is asked for: typed, normalised and validated. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import typing as t
from dataclasses import dataclass, field

from .._errors import OptionError
from . import marks
from .sizes import parse_size, rounded_to_vdi
from .vm_settings import SettingsSpec, settings_spec

IpNetwork = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]  # noqa: UP007  # read by pylint as Python 3.8


@dataclass(frozen=True)
class DiskSpec:
    """A disk by name. ``size`` is bytes, a multiple of 2 MiB."""

    name: str
    size: int | None = None
    sr: str | None = None
    description: str | None = None


@dataclass(frozen=True)
class NicSpec:
    name: str
    network: str
    mac: str | None = None


@dataclass(frozen=True)
class DriveSpec:
    """The config drive. ``wanted`` False means that it is to be removed."""

    wanted: bool
    user_data: str = ""
    meta_data: t.Mapping[str, t.Any] | None = None
    network_config: t.Mapping[str, t.Any] | None = None
    sr: str | None = None

    def sha256(self) -> str:
        """The sum of what the user gave: it tells whether the content changed without showing it."""
        content = [self.user_data, self.meta_data or {}, self.network_config or {}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class WaitSpec:
    """An address to wait for: in ``network``, or any that is not link-local; on the interface ``nic``, or on any."""

    network: IpNetwork | None
    nic: str | None
    timeout: int

    def accepts(self, address: str) -> bool:
        """Whether this is an address to wait for."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if self.network is None:
            return not parsed.is_link_local
        return parsed.version == self.network.version and parsed in self.network

    def __str__(self) -> str:
        where = f" on {self.nic!r}" if self.nic else ""
        return f"an address in {self.network}{where}" if self.network else f"an address{where}"


@dataclass(frozen=True)
class VmSpec:
    """One VM as it is asked for. None leaves a thing as it is. Sizes are bytes, times seconds."""

    name: str
    owner: marks.Owner
    state: str = "present"
    uuid: str | None = None
    description: str | None = None
    template: str | None = None
    settings: SettingsSpec = field(default_factory=SettingsSpec)
    sr: str | None = None
    disks: tuple[DiskSpec, ...] = ()
    networks: tuple[NicSpec, ...] | None = None
    planned_networks: tuple[str, ...] = ()
    drive: DriveSpec | None = None
    ssh_host_key: bool = False
    tags: tuple[str, ...] = ()
    adopt: bool = False
    allow_power_cycle: bool = False
    shutdown_timeout: int = 300
    force: bool = False
    wait: WaitSpec | None = None


def vm_spec(parameters: t.Mapping[str, t.Any]) -> VmSpec:
    """The spec out of the module's parameters. Raises ``OptionError`` for the first that cannot be used."""
    name = _name("name", parameters["name"])
    tenant = _dns_label("tenant", parameters["tenant"])
    host = _name("host", parameters["host"] or name)
    drive = _drive(parameters["config_drive"])
    if parameters["ssh_host_key"] and drive is None:
        raise OptionError("ssh_host_key", True, "the key travels on the config drive; give config_drive too")
    spec = VmSpec(
        name=name,
        owner=marks.Owner(tenant, host),
        state=parameters["state"],
        uuid=parameters["uuid"] or None,
        description=parameters["description"],
        template=parameters["template"] or None,
        settings=settings_spec(parameters),
        sr=parameters["sr"] or None,
        disks=_disks(parameters["disks"] or []),
        networks=None if parameters["networks"] is None else _nics(parameters["networks"]),
        planned_networks=tuple(parameters["planned_networks"]),
        drive=drive,
        ssh_host_key=parameters["ssh_host_key"],
        tags=_tags(parameters["tags"] or []),
        adopt=parameters["adopt"],
        allow_power_cycle=parameters["allow_power_cycle"],
        shutdown_timeout=_seconds("shutdown_timeout", parameters["shutdown_timeout"]),
        force=parameters["force"],
        wait=_wait(parameters["wait_for"]),
    )
    if spec.wait and spec.state not in ("running", "restarted", "present"):
        raise OptionError(
            "wait_for", parameters["wait_for"], f"a VM that is to be {spec.state} has no address; use state: running"
        )
    if (
        spec.wait
        and spec.wait.nic
        and spec.networks is not None
        and spec.wait.nic not in {nic.name for nic in spec.networks}
    ):
        raise OptionError(
            "wait_for.nic",
            spec.wait.nic,
            f"name one of the VM's networks: {', '.join(nic.name for nic in spec.networks)}",
        )
    return spec


def vm_named(parameters: t.Mapping[str, t.Any]) -> VmSpec:
    """Which VM is meant, by the options ``name``, ``tenant``, ``host`` and ``uuid`` alone, and nothing asked of it."""
    name = _name("name", parameters["name"])
    owner = marks.Owner(_dns_label("tenant", parameters["tenant"]), _name("host", parameters["host"] or name))
    return VmSpec(name=name, owner=owner, uuid=parameters["uuid"] or None)


def _name(option: str, value: str) -> str:
    if not value.strip() or '"' in value or not value.isprintable():
        raise OptionError(option, value, "give a name of printable characters without double quotes")
    return value


def _dns_label(option: str, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise OptionError(option, value, "give a DNS label: lower-case letters, digits and inner hyphens, at most 63")
    return value


def _seconds(option: str, value: int) -> int:
    if value < 1:
        raise OptionError(option, value, "give a number of seconds, 1 or more")
    return value


def _tags(values: t.Sequence[str]) -> tuple[str, ...]:
    for value in values:
        if value.startswith(marks.TENANT_TAG):
            raise OptionError("tags", value, f"the tag {marks.TENANT_TAG}NAME is set by the option tenant")
    return tuple(values)


def _disks(values: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[DiskSpec, ...]:
    disks = []
    for index, value in enumerate(values):
        option = f"disks[{index}]"
        name = _name(f"{option}.name", value["name"])
        if name == marks.CONFIG_DRIVE_DISK:
            raise OptionError(f"{option}.name", name, "this name is the config drive's; choose another")
        size = value["size"]
        size = None if size in (None, "") else rounded_to_vdi(parse_size(f"{option}.size", size))
        disks.append(DiskSpec(name, size, value["sr"] or None, value["description"]))
    _refuse_twice("disks", [disk.name for disk in disks])
    return tuple(disks)


def _nics(values: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[NicSpec, ...]:
    nics = []
    for index, value in enumerate(values):
        mac = (value["mac"] or "").lower().replace("-", ":") or None
        if mac is not None and not re.fullmatch(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}", mac):
            raise OptionError(
                f"networks[{index}].mac", value["mac"], "give a unicast MAC address such as 02:00:5e:10:00:01"
            )
        network = _name(f"networks[{index}].network", value["network"])
        nics.append(NicSpec(_name(f"networks[{index}].name", value["name"] or network), network, mac))
    _refuse_twice("networks", [nic.name for nic in nics])
    _refuse_twice("networks", [nic.mac for nic in nics if nic.mac], "mac")
    return tuple(nics)


def _refuse_twice(option: str, names: t.Sequence[str], key: str = "name") -> None:
    for name in names:
        if names.count(name) > 1:
            raise OptionError(option, name, f"each needs a {key} of its own")


def _drive(value: t.Mapping[str, t.Any] | None) -> DriveSpec | None:
    if value is None:
        return None
    wanted = value["state"] == "present"
    if wanted and value["user_data"] is None:
        raise OptionError("config_drive.user_data", None, "a config drive needs user_data; it may be '#cloud-config'")
    return DriveSpec(
        wanted=wanted,
        user_data=value["user_data"] or "",
        meta_data=value["meta_data"],
        network_config=value["network_config"],
        sr=value["sr"] or None,
    )


def _wait(value: t.Mapping[str, t.Any] | None) -> WaitSpec | None:
    if value is None:
        return None
    written = str(value["address"]).strip()
    network: IpNetwork | None = None
    if written.lower() not in ("true", "yes", "any"):
        try:
            network = ipaddress.ip_network(written, strict=False)
        except ValueError:
            expected = "give true, or a network such as 10.1.0.0/16 or 2001:db8::/32"
            raise OptionError("wait_for.address", value["address"], expected) from None
    return WaitSpec(network, value["nic"] or None, _seconds("wait_for.timeout", value["timeout"]))
