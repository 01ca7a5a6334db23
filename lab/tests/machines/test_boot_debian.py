# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""A Debian guest image really boots, takes its config drive, is reached by SSH and runs a container.

Give the image with XAPI_LAB_GUEST_IMAGE; with emulation it takes some minutes.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Listener, spec
from xapi_lab.machines.contract import Disk, MachineSpec, Nic
from xapi_lab.machines.qemu import QemuMachines
from xapi_lab.machines.storage import QcowStorage

IMAGE = os.environ.get("XAPI_LAB_GUEST_IMAGE", "")
ADDRESS = "127.77.99.2"
BOOT_SECONDS = 900

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not IMAGE, reason="XAPI_LAB_GUEST_IMAGE names no guest image"),
]

ONE_PROGRAM_IMAGE = (
    "sudo tar -ch /usr/bin/echo /lib64/ld-linux-x86-64.so.2 /lib/x86_64-linux-gnu/libc.so.6 | docker import - echo "
    "&& docker run --rm --network none echo /usr/bin/echo ran in a container"
)


class Guest:
    """The guest's SSH, with its host key made beforehand and pinned."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("client", "host"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True
            )
        (folder / "known_hosts").write_text(f"{ADDRESS} {(folder / 'host.pub').read_text()}")

    def config_drive(self) -> Path:
        """A NoCloud drive, ISO 9660 with the label cidata."""
        seed = self._folder / "seed"
        seed.mkdir()
        (seed / "meta-data").write_text("instance-id: one\nlocal-hostname: guest\n")
        config = {
            "ssh_keys": {
                "ed25519_private": (self._folder / "host").read_text(),
                "ed25519_public": (self._folder / "host.pub").read_text().strip(),
            },
            "users": [
                {
                    "name": "debian",
                    "sudo": "ALL=(ALL) NOPASSWD:ALL",
                    "groups": ["docker"],
                    "shell": "/bin/bash",
                    "ssh_authorized_keys": [(self._folder / "client.pub").read_text().strip()],
                }
            ],
        }
        (seed / "user-data").write_text("#cloud-config\n" + json.dumps(config))
        path = self._folder / "config.iso"
        subprocess.run(["genisoimage", "-quiet", "-V", "cidata", "-J", "-r", "-o", str(path), str(seed)], check=True)
        return path

    async def run(self, command: str) -> str | None:
        """Output of a command in the guest; None when it could not be run or failed."""
        process = await asyncio.create_subprocess_exec(
            "ssh", "-i", str(self._folder / "client"), "-o", f"UserKnownHostsFile={self._folder / 'known_hosts'}",
            "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR",
            "-o", "IdentitiesOnly=yes", f"debian@{ADDRESS}", command,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        return output.decode() if process.returncode == 0 else None

    async def until(self, command: str, timeout: float = BOOT_SECONDS) -> str:
        """Try a command until it works."""
        async with asyncio.timeout(timeout):
            while (output := await self.run(command)) is None:
                await asyncio.sleep(1)
            return output


async def file_chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            yield chunk


@pytest.fixture
def clock() -> Iterator[dict[str, float]]:
    times: dict[str, float] = {}
    yield times
    print("\n" + "\n".join(f"{seconds:7.1f} s  {what}" for what, seconds in times.items()))


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
def test_debian_boots_and_runs_a_container(tmp_path: Path, clock: dict[str, float], firmware: str) -> None:
    asyncio.run(_boot_and_use(tmp_path, clock, firmware))


async def _boot_and_use(folder: Path, clock: dict[str, float], firmware: str) -> None:
    storage, listener, guest = QcowStorage(), Listener(), Guest(folder)
    sr, image = folder / "sr", Path(IMAGE)
    await storage.create("image", sr, image.stat().st_size)
    begin = time.monotonic()
    await storage.write_stream("image", sr, "raw", file_chunks(image), image.stat().st_size)
    clock["image imported"] = time.monotonic() - begin
    begin = time.monotonic()
    await storage.clone("image", sr, "root")
    clock["disk cloned"] = time.monotonic() - begin
    await storage.resize("root", sr, 4 << 30)
    machine = _spec(storage, sr, guest.config_drive(), firmware)
    machines = QemuMachines(folder / "machines", listener, nat_ports=("22", "2376"))
    begin = time.monotonic()
    await machines.start(machine)
    try:
        await guest.until("true")
        clock["SSH answers"] = time.monotonic() - begin
        assert await listener.wait_for("addresses", 10) == {0: (ADDRESS,)}
        await guest.until("docker version")
        clock["Docker answers"] = time.monotonic() - begin
        assert "ran in a container" in (await guest.run(ONE_PROGRAM_IMAGE) or "")
        clock["container ran"] = time.monotonic() - begin
        assert int(await guest.run("df --output=size -B1 / | tail -1") or 0) > 3 << 30, "the root did not grow"
        await guest.until("cloud-init status --wait", 300)
        clock["cloud-init is done"] = time.monotonic() - begin

        await machines.change_medium(machine.uuid, 3, None)
        assert await guest.run("test $(cat /sys/block/sr0/size) -le 0 || ! sudo head -c 1 /dev/sr0") is not None
        await storage.create("data", sr, 64 << 20)
        data = Disk("data", storage.path("data", sr), "raw", 5, False, False)
        await machines.plug_disk(machine.uuid, data)
        await guest.until("grep -q data /sys/block/vd*/serial", 60)
        await machines.unplug_disk(machine.uuid, 5)
        clock["disk plugged and unplugged"] = time.monotonic() - begin
        begin = time.monotonic()
        assert await machines.shutdown(machine.uuid, 300)
        clock["switched off by the power button"] = time.monotonic() - begin
    finally:
        await machines.kill(machine.uuid)


def _spec(storage: QcowStorage, sr: Path, config: Path, firmware: str) -> MachineSpec:
    root = Disk("root", storage.path("root", sr), "qcow2", 0, False, False)
    drive = Disk("config", config, "raw", 3, True, True)
    nic = Nic("vif", 0, "52:54:00:77:00:01", "network", "nat", 0, ADDRESS)
    return replace(spec(root, drive, nics=(nic,), firmware=firmware), memory=1 << 30, boot_order="cd")
