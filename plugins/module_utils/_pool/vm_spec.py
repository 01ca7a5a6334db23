# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm`` is asked for: typed, normalised and validated. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field

from .._errors import OptionError
from . import marks
from .disk_spec import DiskSpec, disk_specs
from .drive_spec import DriveSpec, drive_spec
from .nic_spec import NicSpec, nic_specs
from .option_checks import refuse_unwritable, seconds, usable_name
from .vm_settings import SettingsSpec, settings_spec
from .wait_spec import WaitSpec, wait_spec


@dataclass(frozen=True)
class VmSpec:
    """One VM as it is asked for. None leaves a thing as it is. Sizes are bytes, times seconds."""

    name: str
    owner: marks.Owner
    state: str = "present"
    uuid: str | None = None
    description: str | None = None
    template: str | None = None
    source: str | None = None
    full_copy: bool = False
    settings: SettingsSpec = field(default_factory=SettingsSpec)
    sr: str | None = None
    disks: tuple[DiskSpec, ...] = ()
    remove_unmanaged_disks: bool = False
    iso: str | None = None
    networks: tuple[NicSpec, ...] | None = None
    planned_networks: tuple[str, ...] = ()
    drive: DriveSpec | None = None
    ssh_host_key: bool = False
    tags: tuple[str, ...] = ()
    adopt: bool = False
    allow_power_cycle: bool = False
    allow_replace: bool = False
    shutdown_timeout: int = 300
    force: bool = False
    wait: WaitSpec | None = None


def vm_spec(parameters: t.Mapping[str, t.Any]) -> VmSpec:
    """The spec out of the module's parameters. Raises ``OptionError`` for the first that cannot be used."""
    refuse_unwritable(parameters)
    name = usable_name("name", parameters["name"])
    tenant = _dns_label("tenant", parameters["tenant"])
    host = usable_name("host", parameters["host"] or name)
    drive = drive_spec(parameters["config_drive"])
    if parameters["ssh_host_key"] and drive is None:
        raise OptionError("ssh_host_key", True, "the key travels on the config drive; give config_drive too")
    if parameters["source"] and parameters["template"]:
        raise OptionError("source", parameters["source"], "template is given too; a new VM is made from one of both")
    spec = VmSpec(
        name=name,
        owner=marks.Owner(tenant, host),
        state=parameters["state"],
        uuid=_uuid(parameters),
        description=parameters["description"],
        template=parameters["template"] or None,
        source=parameters["source"] or None,
        full_copy=parameters["clone"] == "full",
        settings=settings_spec(parameters),
        sr=parameters["sr"] or None,
        disks=disk_specs(parameters["disks"] or []),
        remove_unmanaged_disks=_remove_unmanaged(parameters),
        iso=_iso(parameters["iso"]),
        networks=None if parameters["networks"] is None else nic_specs(parameters["networks"]),
        planned_networks=tuple(parameters["planned_networks"]),
        drive=drive,
        ssh_host_key=parameters["ssh_host_key"],
        tags=_tags(parameters["tags"] or []),
        adopt=parameters["adopt"],
        allow_power_cycle=parameters["allow_power_cycle"],
        allow_replace=parameters["allow_replace"],
        shutdown_timeout=seconds("shutdown_timeout", parameters["shutdown_timeout"]),
        force=parameters["force"],
        wait=wait_spec(parameters["wait_for"]),
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
    name = usable_name("name", parameters["name"])
    owner = marks.Owner(_dns_label("tenant", parameters["tenant"]), usable_name("host", parameters["host"] or name))
    return VmSpec(name=name, owner=owner, uuid=_uuid(parameters))


def _uuid(parameters: t.Mapping[str, t.Any]) -> str | None:
    return usable_name("uuid", parameters["uuid"]) if parameters["uuid"] else None


def _dns_label(option: str, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise OptionError(option, value, "give a DNS label: lower-case letters, digits and inner hyphens, at most 63")
    return value


def _tags(values: t.Sequence[str]) -> tuple[str, ...]:
    for value in values:
        if value.startswith(marks.TENANT_TAG):
            raise OptionError("tags", value, f"the tag {marks.TENANT_TAG}NAME is set by the option tenant")
    return tuple(values)


def _remove_unmanaged(parameters: t.Mapping[str, t.Any]) -> bool:
    if parameters["remove_unmanaged_disks"] and parameters["disks"] is None:
        raise OptionError("remove_unmanaged_disks", True, "list the disks that stay in disks; an empty list is one")
    return bool(parameters["remove_unmanaged_disks"])


def _iso(value: str | None) -> str | None:
    """An empty text asks for an empty drive; None for nothing."""
    return value if not value else usable_name("iso", value)
