# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where disks and drives are in a VM: XAPI names positions by number and by device, and takes both for the same."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import marks
from ansible_collections.hardshell.xen.plugins.module_utils._pool.disks import free_position
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import Pool
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vdis import POSITIONS, position_of
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import Disk, Vm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_observe import VmReader

OWNER = marks.Owner("acme", "shop")


@pytest.mark.parametrize(
    ("userdevice", "position"),
    [
        ("0", 0),
        ("254", 254),
        ("xvda", 0),
        ("hdd", 3),
        ("sdb", 1),
        ("xvdaa", 26),
        ("autodetect", None),
        ("", None),
        ("²", None),
    ],
)
def test_a_position_by_either_name(userdevice: str, position: int | None) -> None:
    assert position_of(userdevice) == position


def vbd(userdevice: str, kind: str) -> dict[str, t.Any]:
    return {"userdevice": userdevice, "type": kind, "VDI": "OpaqueRef:NULL", "empty": True}


def test_a_second_drive_and_a_floppy_have_positions_too() -> None:
    reader = VmReader(OWNER, Pool(), {})
    assert reader.occupied({"a": vbd("0", "CD"), "b": vbd("xvdb", "Floppy"), "c": vbd("2", "Disk")}) == {0, 1}


def test_a_new_disk_goes_where_nothing_is() -> None:
    disks = (Disk("root", 1, "local", device=0), Disk("data", 1, "local", device=2))
    vm = Vm("shop", OWNER, disks=disks, occupied=frozenset({1, 4}))
    assert free_position(vm, disks) == 5


def test_a_vm_that_is_full_takes_no_more() -> None:
    vm = Vm("shop", OWNER, occupied=frozenset(range(POSITIONS)))
    with pytest.raises(OptionError, match="disks: 255 "):
        free_position(vm, ())
    assert free_position(dataclasses.replace(vm, occupied=frozenset(range(POSITIONS - 1))), ()) == POSITIONS - 1
