# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What tenants may have and what their VMs ask for: typed and checked. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .._pool import marks
from .._pool.option_checks import refuse_unwritable
from .._pool.sizes import parse_size, rounded_to_vdi

RESOURCES = ("vcpus", "memory", "disk", "vms")
SIZES = ("memory", "disk")
STATES = ("present", "running", "halted", "suspended", "paused", "restarted")
Arguments = dict[str, t.Any]


@dataclass(frozen=True)
class AskedDisk:
    """``size`` is bytes, None where it stays as it is."""

    name: str
    size: int | None
    sr: str | None


@dataclass(frozen=True)
class AskedVm:
    """A VM as a run is to leave it. None leaves a thing as it is, or as the template has it.

    ``memory_dynamic_min`` is what the pool may take its memory down to, and needs to have free to start it.
    """

    name: str
    owner: marks.Owner
    state: str = "running"
    vcpus: int | None = None
    memory: int | None = None
    memory_dynamic_min: int | None = None
    template: str | None = None
    source: str | None = None
    full_copy: bool = False
    sr: str | None = None
    disks: tuple[AskedDisk, ...] = ()
    adopt: bool = False


@dataclass(frozen=True)
class QuotaSpec:
    """``quotas`` maps a tenant to its limits, by resource; one that is not there is not limited."""

    quotas: t.Mapping[str, t.Mapping[str, int]]
    vms: tuple[AskedVm, ...]


def quota_arguments() -> Arguments:
    """The argument spec, without the connection."""
    quota: Arguments = {"name": {"type": "str", "required": True}, "vcpus": {"type": "int"}, "vms": {"type": "int"}}
    disk: Arguments = {"name": {"type": "str", "required": True}, "size": {"type": "str"}, "sr": {"type": "str"}}
    vm: Arguments = {
        "name": {"type": "str", "required": True},
        "tenant": {"type": "str", "required": True},
        "host": {"type": "str"},
        "state": {"type": "str", "choices": list(STATES), "default": "running"},
        "vcpus": {"type": "int"},
        "memory": {"type": "str"},
        "memory_dynamic_min": {"type": "str"},
        "template": {"type": "str"},
        "source": {"type": "str"},
        "clone": {"type": "str", "choices": ["fast", "full"], "default": "fast"},
        "sr": {"type": "str"},
        "disks": {"type": "list", "elements": "dict", "options": disk, "default": []},
        "adopt": {"type": "bool", "default": False},
    }
    return {
        "tenants": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {**quota, "memory": {"type": "str"}, "disk": {"type": "str"}},
        },
        "vms": {"type": "list", "elements": "dict", "options": vm, "default": []},
    }


def quota_spec(parameters: t.Mapping[str, t.Any]) -> QuotaSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    refuse_unwritable(parameters)
    quotas: dict[str, dict[str, int]] = {}
    for index, given in enumerate(parameters["tenants"]):
        option = f"tenants[{index}]"
        quota = _quota(option, given)
        tenant = _dns_label(f"{option}.name", given["name"])
        if quotas.setdefault(tenant, quota) != quota:
            raise OptionError(option, tenant, "this tenant is there already with another quota; give it once")
    vms = tuple(_vm(f"vms[{index}]", given) for index, given in enumerate(parameters["vms"]))
    owners = [vm.owner for vm in vms]
    for index, owner in enumerate(owners):
        if owner in owners[:index]:
            raise OptionError(f"vms[{index}]", str(owner), "this VM is in the list already; give it once")
    return QuotaSpec(quotas, vms)


def _quota(option: str, given: t.Mapping[str, t.Any]) -> dict[str, int]:
    quota: dict[str, int] = {}
    for resource in RESOURCES:
        value = given[resource]
        if value is None or value == "":
            continue
        if resource in SIZES:
            quota[resource] = parse_size(f"{option}.{resource}", value)
        elif value < 0:
            raise OptionError(f"{option}.{resource}", value, "give a number from 0")
        else:
            quota[resource] = value
    return quota


def _vm(option: str, given: t.Mapping[str, t.Any]) -> AskedVm:
    if given["vcpus"] is not None and given["vcpus"] < 1:
        raise OptionError(f"{option}.vcpus", given["vcpus"], "give a number from 1")
    disks = tuple(
        AskedDisk(
            disk["name"],
            rounded_to_vdi(parse_size(f"{option}.disks[{index}].size", disk["size"])) if disk["size"] else None,
            disk["sr"] or None,
        )
        for index, disk in enumerate(given["disks"])
    )
    return AskedVm(
        name=given["name"],
        owner=marks.Owner(_dns_label(f"{option}.tenant", given["tenant"]), given["host"] or given["name"]),
        state=given["state"],
        vcpus=given["vcpus"],
        memory=_size(option, "memory", given),
        memory_dynamic_min=_size(option, "memory_dynamic_min", given),
        template=given["template"] or None,
        source=given["source"] or None,
        full_copy=given["clone"] == "full",
        sr=given["sr"] or None,
        disks=disks,
        adopt=given["adopt"],
    )


def _size(option: str, key: str, given: t.Mapping[str, t.Any]) -> int | None:
    return parse_size(f"{option}.{key}", given[key]) if given[key] else None


def _dns_label(option: str, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise OptionError(option, value, "give a DNS label: lower-case letters, digits and inner hyphens, at most 63")
    return value
