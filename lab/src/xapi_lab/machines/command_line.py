# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The QEMU command line of a machine: pure, so that it can be read and tested without a machine.

Every device has a fixed place on the PCI bus, so that a machine started again, or resumed with devices that were plugged
while it ran, has the same topology.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .accelerator import QEMU, Accelerator
from .contract import Disk, MachineError, MachineSpec, Nic

MIB = 1024 * 1024
OVMF_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")

# Slots 0 and 1 are the chipset's, 2 the display's.
RNG_SLOT, AGENT_SLOT, FIRST_DISK_SLOT, FIRST_NIC_SLOT, SLOTS = 3, 4, 5, 21, 32
MOST_DISKS = FIRST_NIC_SLOT - FIRST_DISK_SLOT
MOST_NICS = SLOTS - FIRST_NIC_SLOT
IDE_PLACES = 4
LONGEST_NAME = 200
"""Characters of a VM's name that QEMU is told; the kernel takes no argument of more than 128 KiB."""

# Names of files in the machine's folder.
PID_FILE = "pid"
QEMU_LOG = "qemu.log"
QMP_SOCKET = "qmp.sock"
CONSOLE_SOCKET = "console.sock"
CONSOLE_LOG = "console.log"
AGENT_SOCKET = "agent.sock"
DISPLAY_SOCKET = "display.sock"
FIRMWARE_VARIABLES = "efi-variables.fd"

AGENT_PORT = "agent-port"
"""Name of the device whose opening tells that an agent runs in the guest."""


def disk_node(device: int) -> str:
    return f"disk-{device}"


def disk_device(device: int) -> str:
    return f"disk-device-{device}"


def disk_number(qdev: str) -> int | None:
    """The device number in QEMU's path of a disk's device, such as /machine/peripheral/disk-device-0/virtio-backend."""
    found = re.search(r"\bdisk-device-(\d+)\b", qdev)
    return int(found[1]) if found else None


def nic_netdev(device: int) -> str:
    return f"net-{device}"


def nic_device(device: int) -> str:
    return f"nic-device-{device}"


def block_node(disk: Disk) -> dict[str, Any]:
    """The ``blockdev`` of a disk; its backing chain is opened from the file's own header."""
    return {
        "node-name": disk_node(disk.device),
        "driver": disk.format,
        "read-only": disk.read_only,
        "discard": "unmap",
        "detect-zeroes": "unmap",
        "file": {"driver": "file", "filename": str(disk.path), "discard": "unmap"},
    }


def disk_properties(disk: Disk) -> dict[str, Any]:
    """The virtio device of a disk that is not a CD."""
    if not 0 <= disk.device < MOST_DISKS:
        raise MachineError(f"disk {disk.device}: a machine of the lab has room for disks 0 to {MOST_DISKS - 1}")
    return {
        "driver": "virtio-blk-pci",
        "id": disk_device(disk.device),
        "drive": disk_node(disk.device),
        "serial": disk.uuid[:20],
        "bus": "pci.0",
        "addr": hex(FIRST_DISK_SLOT + disk.device),
    }


def nic_properties(nic: Nic) -> dict[str, Any]:
    if not 0 <= nic.device < MOST_NICS:
        raise MachineError(f"NIC {nic.device}: a machine of the lab has room for NICs 0 to {MOST_NICS - 1}")
    return {
        "driver": "virtio-net-pci",
        "id": nic_device(nic.device),
        "netdev": nic_netdev(nic.device),
        "mac": nic.mac,
        "romfile": "",
        "bus": "pci.0",
        "addr": hex(FIRST_NIC_SLOT + nic.device),
    }


def boot_indices(spec: MachineSpec) -> dict[int, int]:
    """Place in the boot order of each disk by device, from XAPI's letters c (disks) and d (CDs).

    The letter n has no place: no network of the lab offers anything to boot from.
    """
    order: list[int] = []
    for letter in spec.boot_order:
        if letter in "cd":
            order += [disk.device for disk in _by_device(spec.disks) if disk.cdrom == (letter == "d")]
    return {device: index for index, device in enumerate(dict.fromkeys(order))}


def build(
    spec: MachineSpec, accelerator: Accelerator, netdevs: Mapping[int, Mapping[str, Any]], *, incoming: bool = False
) -> list[str]:
    """The whole command line; QEMU is to be started in the machine's folder, so that socket paths stay short.

    ``netdevs`` holds the ``netdev`` of each NIC by device. The machine does not run until it is told to continue;
    with ``incoming`` it first waits for the state of a suspended machine.
    """
    arguments = [
        QEMU, "-nodefaults", "-no-user-config", "-S", "-daemonize", "-pidfile", PID_FILE, "-D", QEMU_LOG,
        "-name", f"guest={(spec.name or spec.uuid)[:LONGEST_NAME].replace(',', ',,')}", "-uuid", spec.uuid,
        "-machine", "pc", "-accel", accelerator.option, "-cpu", accelerator.cpu,
        "-smp", str(spec.vcpus), "-m", f"size={max(1, spec.memory // MIB)}M",
        "-rtc", "base=utc", "-display", "none", "-vnc", f"unix:{DISPLAY_SOCKET}", "-vga", "std",
        "-action", "panic=shutdown", "-device", "pvpanic",
        "-object", "rng-random,id=random,filename=/dev/urandom",
        "-device", f"virtio-rng-pci,rng=random,bus=pci.0,addr={RNG_SLOT:#x}",
        "-chardev", f"socket,id=qmp,path={QMP_SOCKET},server=on,wait=off", "-mon", "chardev=qmp,mode=control",
        "-chardev", f"socket,id=console,path={CONSOLE_SOCKET},server=on,wait=off,logfile={CONSOLE_LOG},logappend=on",
        "-serial", "chardev:console",
        "-device", f"virtio-serial-pci,id=agent-bus,bus=pci.0,addr={AGENT_SLOT:#x}",
        "-chardev", f"socket,id=agent,path={AGENT_SOCKET},server=on,wait=off",
        "-device", f"virtserialport,id={AGENT_PORT},chardev=agent,name=org.qemu.guest_agent.0",
    ]  # fmt: skip
    if incoming:
        arguments += ["-incoming", "defer"]
    if spec.firmware == "uefi":
        arguments += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF_CODE}"]
        arguments += ["-drive", f"if=pflash,format=raw,file={FIRMWARE_VARIABLES}"]
    indices = boot_indices(spec)
    for disk in _by_device(spec.disks):
        if disk.path is not None:
            arguments += ["-blockdev", json.dumps(block_node(disk))]
        properties = _ide_properties(disk, spec) if disk.cdrom else disk_properties(disk)
        if disk.device in indices:
            properties["bootindex"] = indices[disk.device]
        arguments += ["-device", json.dumps(properties)]
    for nic in sorted(spec.nics, key=lambda nic: nic.device):
        arguments += ["-netdev", json.dumps(netdevs[nic.device]), "-device", json.dumps(nic_properties(nic))]
    return arguments


def _ide_properties(disk: Disk, spec: MachineSpec) -> dict[str, Any]:
    place = [other.device for other in _by_device(spec.disks) if other.cdrom].index(disk.device)
    if place >= IDE_PLACES:
        raise MachineError(f"CD {disk.device}: a machine of the lab has room for {IDE_PLACES} CD drives")
    properties: dict[str, Any] = {
        "driver": "ide-cd",
        "id": disk_device(disk.device),
        "bus": f"ide.{place // 2}",
        "unit": place % 2,
    }
    if disk.path is not None:
        properties["drive"] = disk_node(disk.device)
    return properties


def _by_device(disks: tuple[Disk, ...]) -> list[Disk]:
    return sorted(disks, key=lambda disk: disk.device)
