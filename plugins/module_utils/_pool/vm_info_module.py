# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm_info`` does."""

from __future__ import annotations

import typing as t

from .._module import Context
from .connection import connection_options
from .fleet_observe import read_fleet
from .session import Session
from .vm_filter import vm_filter


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Tell of the VMs that are asked for."""
    wanted = vm_filter(parameters)
    with Session(connection_options(parameters), context.warn) as session:
        return {"changed": False, "vms": [each.facts() for each in read_fleet(session, wanted)]}
