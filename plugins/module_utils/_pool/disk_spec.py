# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The disks that ``hardshell.xen.vm`` is asked for. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from . import marks
from .option_checks import refuse_twice, usable_name
from .sizes import parse_size, rounded_to_vdi

SCHEDULERS = ("real-time", "best-effort", "idle", "none")
CLASSES = ("highest", "high", "normal", "low", "lowest")


@dataclass(frozen=True)
class DiskQos:
    """What a disk gets of the storage's time: XAPI's ``ionice``. Its ``sched`` and ``class`` (xapi_xenops.ml)."""

    sched: str
    level: str

    def facts(self) -> dict[str, str]:
        return {"sched": self.sched, "class": self.level}


NO_QOS = DiskQos("none", "")


@dataclass(frozen=True)
class DiskSpec:
    """A disk by name. ``size`` is bytes, a multiple of 2 MiB. ``vdi``: name or UUID of one that exists. None leaves a thing as it is."""

    name: str
    size: int | None = None
    sr: str | None = None
    description: str | None = None
    vdi: str | None = None
    keep: bool | None = None
    qos: DiskQos | None = None
    wanted: bool = True


def disk_arguments() -> dict[str, t.Any]:
    """The argument spec of one disk."""
    return {
        "name": {"type": "str", "required": True},
        "size": {"type": "str"},
        "sr": {"type": "str"},
        "description": {"type": "str"},
        "vdi": {"type": "str"},
        "keep": {"type": "bool"},
        "qos": {
            "type": "dict",
            "options": {
                "sched": {"type": "str", "choices": list(SCHEDULERS), "default": "best-effort"},
                "class": {"type": "str", "default": "normal"},
            },
        },
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }


def disk_specs(values: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[DiskSpec, ...]:
    """The disks out of the module's parameter ``disks``. Raises ``OptionError``."""
    disks = tuple(_disk(f"disks[{index}]", value) for index, value in enumerate(values))
    refuse_twice("disks", [disk.name for disk in disks])
    refuse_twice("disks", [disk.vdi for disk in disks if disk.vdi], "vdi")
    return disks


def _disk(option: str, value: t.Mapping[str, t.Any]) -> DiskSpec:
    name = usable_name(f"{option}.name", value["name"])
    if name == marks.CONFIG_DRIVE_DISK:
        raise OptionError(f"{option}.name", name, "this name is the config drive's; choose another")
    wanted = value["state"] == "present"
    if name == marks.ROOT_DISK and not wanted:
        raise OptionError(f"{option}.state", "absent", "the VM starts from this disk; it goes with the VM only")
    size, vdi = value["size"], value["vdi"] or None
    if vdi is not None:
        usable_name(f"{option}.vdi", vdi)
        for other in ("size", "sr", "description"):
            if value[other] not in (None, ""):
                raise OptionError(
                    f"{option}.{other}", value[other], "the disk that vdi names is attached as it is; leave this out"
                )
    return DiskSpec(
        name=name,
        size=None if size in (None, "") else rounded_to_vdi(parse_size(f"{option}.size", size)),
        sr=value["sr"] or None,
        description=value["description"],
        vdi=vdi,
        keep=value["keep"],
        qos=_qos(f"{option}.qos", value["qos"]),
        wanted=wanted,
    )


def _qos(option: str, value: t.Mapping[str, t.Any] | None) -> DiskQos | None:
    if value is None:
        return None
    sched, level = value["sched"], str(value["class"])
    if level not in CLASSES and not (level.isdigit() and int(level) <= 7):
        raise OptionError(f"{option}.class", level, f"give {', '.join(CLASSES)}, or a number from 0 (first) to 7")
    return NO_QOS if sched == "none" else DiskQos(sched, level)
