# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The config drive that ``hardshell.xen.vm`` is asked for. Pure."""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .ignition import read_ignition


@dataclass(frozen=True)
class DriveSpec:
    """The config drive. ``wanted`` False means that it is to be removed."""

    wanted: bool
    user_data: str = ""
    meta_data: t.Mapping[str, t.Any] | None = None
    network_config: t.Mapping[str, t.Any] | None = None
    sr: str | None = None
    vendor_data: str = ""

    def sha256(self) -> str:
        """The sum of what the user gave: it tells whether the content changed without showing it."""
        content = [self.user_data, self.meta_data or {}, self.network_config or {}]
        content += [self.vendor_data] if self.vendor_data else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def drive_spec(value: t.Mapping[str, t.Any] | None) -> DriveSpec | None:
    """The drive out of the module's parameter ``config_drive``. Raises ``OptionError``."""
    if value is None:
        return None
    wanted = value["state"] == "present"
    if wanted and value["user_data"] is None:
        raise OptionError("config_drive.user_data", None, "a config drive needs user_data; it may be '#cloud-config'")
    ignition = read_ignition(value["user_data"] or "") is not None
    if ignition and value["vendor_data"]:
        raise OptionError("config_drive.vendor_data", "(given)", "Ignition reads none; merge it into user_data")
    if ignition and value["network_config"]:
        raise OptionError(
            "config_drive.network_config",
            "(given)",
            "Ignition reads none; write the guest's own network files into storage.files of user_data",
        )
    return DriveSpec(
        wanted=wanted,
        user_data=value["user_data"] or "",
        meta_data=value["meta_data"],
        network_config=value["network_config"],
        sr=value["sr"] or None,
        vendor_data=value["vendor_data"] or "",
    )
