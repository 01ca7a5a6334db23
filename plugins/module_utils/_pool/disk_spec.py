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


@dataclass(frozen=True)
class DiskSpec:
    """A disk by name. ``size`` is bytes, a multiple of 2 MiB."""

    name: str
    size: int | None = None
    sr: str | None = None
    description: str | None = None


def disk_arguments() -> dict[str, t.Any]:
    """The argument spec of one disk."""
    return {
        "name": {"type": "str", "required": True},
        "size": {"type": "str"},
        "sr": {"type": "str"},
        "description": {"type": "str"},
    }


def disk_specs(values: t.Sequence[t.Mapping[str, t.Any]]) -> tuple[DiskSpec, ...]:
    """The disks out of the module's parameter ``disks``. Raises ``OptionError``."""
    disks = []
    for index, value in enumerate(values):
        option = f"disks[{index}]"
        name = usable_name(f"{option}.name", value["name"])
        if name == marks.CONFIG_DRIVE_DISK:
            raise OptionError(f"{option}.name", name, "this name is the config drive's; choose another")
        size = value["size"]
        size = None if size in (None, "") else rounded_to_vdi(parse_size(f"{option}.size", size))
        disks.append(DiskSpec(name, size, value["sr"] or None, value["description"]))
    refuse_twice("disks", [disk.name for disk in disks])
    return tuple(disks)
