# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Making, attaching and destroying VDIs: what the disks of VMs, config drives and images have in common."""

from __future__ import annotations

import contextlib
import re
import time
import typing as t

from . import marks
from .session import Record, Session
from .tasks import Show, run_task
from .xapi_errors import XapiError

DETACH_SECONDS = 60
POSITIONS = 255
"""XAPI knows the positions 0 to 254 (device_number.ml)."""


def position_of(userdevice: str) -> int | None:
    """The position that a VBD's ``userdevice`` names: ``0``, or ``xvda`` and ``hda``, which XAPI takes for the same one (xapi_vm_helpers.ml)."""
    if re.fullmatch(r"[0-9]{1,3}", userdevice):
        return int(userdevice)
    named = re.fullmatch(r"(?:xvd|hd|sd)([a-z]{1,2})", userdevice)
    if named is None:
        return None
    position = 0
    for letter in named[1]:
        position = position * 26 + ord(letter) - ord("a") + 1
    return position - 1


def create_vdi(
    session: Session,
    *,
    name: str,
    description: str,
    repository: str,
    size: int,
    other_config: t.Mapping[str, str],
    asked: str,
    show: Show,
) -> str:
    """Create a VDI of ``size`` bytes that carries its marks from the first moment. Returns its reference."""
    record = {
        "name_label": name,
        "name_description": description,
        "SR": repository,
        "virtual_size": size,
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": other_config,
    }
    return run_task(session, "VDI.create", record, asked=asked, show=show)


def attach_vdi(
    session: Session,
    vm: str,
    vdi: str,
    *,
    position: int,
    bootable: bool,
    asked: str,
    other_config: t.Mapping[str, str] | None = None,
    qos: tuple[str, t.Mapping[str, str]] = ("", {}),
    cd: bool = False,
) -> str:
    """Create the VBD that gives a VDI to a VM, without plugging it. Returns its reference. ``qos``: XAPI's algorithm and its parameters."""
    record = {
        "VM": vm,
        "VDI": vdi,
        "userdevice": str(position),
        "bootable": bootable,
        "mode": "RO" if cd else "RW",  # an HVM guest refuses a read-only disk
        "type": "CD" if cd else "Disk",
        "unpluggable": True,
        "empty": False,
        "other_config": {**({} if cd else {"owner": "true"}), **(other_config or {})},
        "qos_algorithm_type": qos[0],
        "qos_algorithm_params": qos[1],
    }
    ref: str = session.call("VBD.create", record, asked=asked)
    return ref


def marks_of_its_own(session: Session, vdi: str) -> dict[str, str]:
    """The marks on a VDI, with its own uuid among them from now on: copies of it have them too."""
    record: Record = session.call("VDI.get_record", vdi)
    own = {**record["other_config"], marks.VDI: record["uuid"]}
    if own != record["other_config"]:
        session.call("VDI.set_other_config", vdi, own, asked="mark the disk")
    return marks.marks_in(own)


def destroy_vdi(session: Session, vdi: str, show: Show) -> None:
    """Destroy a VDI. The control domain may hold it for a moment after it was detached or written."""
    deadline = time.monotonic() + DETACH_SECONDS
    token = ""
    while True:
        try:
            with gone_already():
                run_task(session, "VDI.destroy", vdi, asked="destroy a disk", show=show)
            return
        except XapiError as error:
            if error.code != "VDI_IN_USE" or time.monotonic() > deadline:
                raise
        answer = session.call("event.from", [f"vdi/{vdi}"], token, 2.0)
        token = answer["token"]


@contextlib.contextmanager
def gone_already() -> t.Iterator[None]:
    """What is to be removed and is not there any more is as good as removed."""
    try:
        yield
    except XapiError as error:
        if error.code not in ("HANDLE_INVALID", "VDI_MISSING"):
            raise
