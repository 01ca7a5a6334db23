# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Guests in namespaces: they boot, take their config drive, run Docker, keep their files, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import urllib.request
import uuid as uuids
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Listener
from xapi_lab.machines.contract import Disk, MachineError, MachineSpec, Nic
from xapi_lab.machines.namespace import cgroups, prerequisites
from xapi_lab.machines.namespace.backend import NamespaceMachines
from xapi_lab.machines.namespace.network import cable_name
from xapi_lab.machines.trees import TreeStorage
from xapi_lab.machines.vif_locking import locking

MISSING = prerequisites.missing()
pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

needs_docker = pytest.mark.skipif(shutil.which("dockerd", path="/usr/sbin") is None, reason="dockerd is not installed")
needs_genisoimage = pytest.mark.skipif(shutil.which("genisoimage") is None, reason="genisoimage is not installed")

ONE_PROGRAM = "tar -ch /bin/busybox 2>/dev/null | docker import - box"
SERVE = (
    "docker run -d --name web --restart unless-stopped --stop-signal KILL -p 8080:80 box /bin/busybox httpd -f -h /bin"
)


class World:
    """A backend, its disks, and a client's keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sr = folder / "sr"
        self.listener = Listener()
        self.storage = TreeStorage()
        self.machines = NamespaceMachines(folder / "machines", self.listener)
        self.specs: list[MachineSpec] = []
        for name in ("client", "host"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
            subprocess.run(command, check=True)

    async def spec(self, number: int, *nics: Nic, drive: bool = True) -> MachineSpec:
        address, root = f"127.90.0.{number}", f"root{number}"
        await self.storage.create(root, self.sr, 1 << 20)
        disks = [Disk(root, self.storage.path(root, self.sr), "raw", 0, False, False)]
        if drive:
            disks.append(Disk("", self._config_drive(number), "raw", 3, True, True))
        nat = Nic(str(uuids.uuid4()), 0, f"52:54:00:77:00:{number:02x}", "network", "nat", 0, address)
        uuid = str(uuids.uuid4())
        self.specs.append(MachineSpec(uuid, f"VM {number}", 1, 1 << 30, "bios", "cd", tuple(disks), (nat, *nics)))
        return self.specs[-1]

    def _config_drive(self, number: int) -> Path:
        seed = self.folder / f"seed{number}"
        seed.mkdir()
        public, host = (self.folder / "client.pub").read_text().strip(), self.folder / "host"
        config = {
            "hostname": f"guest{number}",
            "ssh_keys": {"ed25519_private": host.read_text(), "ed25519_public": (self.folder / "host.pub").read_text()},
            "users": [{"name": "root", "ssh_authorized_keys": [public]}, {"name": "tenant", "groups": "docker, tape"}],
            "write_files": [{"path": "/srv/note", "content": "written", "owner": "tenant:tenant", "defer": True}],
            "runcmd": [["sh", "-c", "echo run >> /srv/log"]],
        }
        network = {
            "version": 2,
            "ethernets": {
                "private": {
                    "match": {"macaddress": f"52:54:00:78:00:{number:02x}"},
                    "addresses": [f"10.9.0.{number}/24"],
                }
            },
        }
        (seed / "meta-data").write_text(f"instance-id: one-{number}\n")
        (seed / "user-data").write_text("#cloud-config\n" + json.dumps(config))
        (seed / "network-config").write_text(json.dumps(network))
        path = self.folder / f"config{number}.raw"
        subprocess.run(["genisoimage", "-quiet", "-V", "cidata", "-J", "-r", "-o", str(path), str(seed)], check=True)
        return path

    async def ssh(self, spec: MachineSpec, command: str) -> tuple[int, str]:
        """Exit code and output of a command in the guest, over SSH with the host key pinned; waits for the server."""
        address = spec.nics[0].address
        known = self.folder / "known_hosts"
        known.write_text(f"{address} {(self.folder / 'host.pub').read_text()}")
        options = [f"UserKnownHostsFile={known}", "StrictHostKeyChecking=yes", "BatchMode=yes", "LogLevel=ERROR"]
        words = [word for option in options for word in ("-o", option)]
        async with asyncio.timeout(30):
            while True:
                process = await asyncio.create_subprocess_exec(
                    "ssh", "-i", str(self.folder / "client"), *words, f"root@{address}", command,
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
                )  # fmt: skip
                output, _ = await process.communicate()
                if b"Connection refused" not in output:
                    return process.returncode or 0, output.decode()
                await asyncio.sleep(0.05)

    async def address(self) -> str:
        """The IPv4 address in the next report; the IPv6 one may be there already, or come later."""
        reported: Any = await self.listener.wait_for("addresses", 10)
        address: str = reported[0][0]
        return address

    async def output(self, spec: MachineSpec, command: str) -> str:
        code, output = await self.ssh(spec, command)
        assert code == 0, f"{command}: {output}"
        return output.strip()

    def left_over(self) -> list[str]:
        """What of the machines is still on this one, in words."""
        links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
        found = [f"link {cable_name(nic)}" for spec in self.specs for nic in spec.nics if cable_name(nic) in links]
        groups = [one.group(spec.uuid) for one in cgroups.of_this_machine() for spec in self.specs]
        found += [f"group {path}" for path in groups if path.exists()]
        found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.folder) in line]
        spaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
        found += [line for line in spaces.splitlines() if "xapi-lab-" in line and self.machines_switch() in line]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = path.read_bytes()
            except OSError:
                continue
            found += [f"process {path}" for spec in self.specs if spec.uuid.encode() in command]
        return found

    def machines_switch(self) -> str:
        return self.machines._cables.switch


def story(tell: Callable[[World], Coroutine[Any, Any, None]], folder: Path) -> None:
    """Run a test's story; whatever happens in it, its machines end, and nothing of them may be left."""

    async def run() -> World:
        world = World(folder)
        try:
            await tell(world)
        finally:
            for spec in world.specs:
                await world.machines.kill(spec.uuid)
            await world.machines.stop_all()
        return world

    assert asyncio.run(run()).left_over() == []


@needs_genisoimage
@needs_docker
def test_a_guest_takes_its_config_drive_and_serves_from_a_container(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        spec = await world.spec(2)
        await world.machines.start(spec)
        assert await world.address() == "127.90.0.2"
        assert "status: done" in await world.output(spec, "cloud-init status --wait --long")
        assert await world.output(spec, "hostname; id -nG tenant; cat /srv/note /srv/log") == (
            "guest2\ntenant tape docker\nwrittenrun"
        )
        assert await world.output(spec, "ls /home") == "tenant"
        assert await world.output(spec, "readlink /proc/1/ns/pid") != str(Path("/proc/self/ns/pid").readlink())
        await world.output(spec, f"{ONE_PROGRAM} && {SERVE}")
        page = await asyncio.to_thread(_fetch, "http://127.90.0.2:8080/busybox")
        assert len(page) > 1 << 20
        usage = await world.machines.usage(spec.uuid)
        assert usage.nics[0][1] > len(page)
        assert usage.cpu_seconds[0] > 0
        assert 1 << 20 < usage.memory < spec.memory

        await world.output(spec, "reboot")
        await world.listener.wait_for("rebooted", 30)
        assert await world.output(spec, "docker ps --format '{{.Names}}'; cat /srv/log") == "web\nrun"
        await world.output(spec, "poweroff")
        await world.listener.wait_for("powered_off", 30)
        assert world.left_over() == []

    story(tell, tmp_path)


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
    return content


@needs_genisoimage
def test_files_belong_to_the_root_disk(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        spec = await world.spec(3)
        await world.machines.start(spec)
        await world.output(
            spec, "cloud-init status --wait; echo kept > /root/file; rm /usr/bin/who; echo new > /etc/new"
        )
        assert await world.machines.shutdown(spec.uuid, 20)
        without_drive = replace(spec, disks=spec.disks[:1])
        await world.machines.start(without_drive)
        assert await world.output(spec, "cat /root/file /etc/new; test ! -e /usr/bin/who") == "kept\nnew"
        assert await world.machines.shutdown(spec.uuid, 20)
        assert Path("/usr/bin/who").exists()
        assert not Path("/etc/new").exists()

        before = await world.storage.used(world.sr)
        await world.storage.clone("root3", world.sr, "copy")
        copied = Disk("copy", world.storage.path("copy", world.sr), "qcow2", 0, False, False)
        await world.machines.start(replace(without_drive, disks=(copied,)))
        assert await world.output(spec, "cat /root/file; echo other > /root/file; test ! -e /usr/bin/who") == "kept"
        await world.machines.kill(spec.uuid)
        assert await world.storage.physical("copy", world.sr) > 0
        await world.storage.destroy("copy", world.sr)
        assert await world.storage.used(world.sr) <= before + (1 << 20)
        assert (world.sr / "root3.tree/root/root/file").read_text() == "kept\n"
        await world.storage.destroy("root3", world.sr)
        assert not list(world.sr.glob("root3*"))

    story(tell, tmp_path)


@needs_genisoimage
def test_a_later_lab_takes_a_guest_over_and_pauses_and_resets_it(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        spec = await world.spec(4)
        await world.machines.start(spec, paused=True)
        with pytest.raises(asyncio.TimeoutError):
            await world.listener.wait_for("addresses", 0.5)
        await world.machines.unpause(spec.uuid)
        assert await world.address() == "127.90.0.4"
        boot = await world.output(spec, "cat /proc/sys/kernel/random/boot_id")

        await world.machines.release()
        world.machines = NamespaceMachines(tmp_path / "machines", world.listener)
        assert await world.machines.adopt(spec)
        await world.listener.wait_for("addresses", 10)
        await world.machines.reset(spec.uuid)
        await world.listener.wait_for("guest_info", 10)
        assert await world.output(spec, "cat /proc/sys/kernel/random/boot_id") != boot
        with pytest.raises(MachineError, match="cannot be written to a disk"):
            await world.machines.suspend(spec.uuid, tmp_path / "image")

        await world.machines.pause(spec.uuid)
        await world.machines.kill(spec.uuid)
        assert world.left_over() == []
        assert not await world.machines.adopt(spec)

    story(tell, tmp_path)


def greeting(source: str, seconds: float = 1) -> str:
    """A command that prints how the other guest's SSH server greets one who comes from an address."""
    connection = f"socket.create_connection(('10.9.0.6', 22), {seconds}, ('{source}', 0))"
    return f'python3 -c "import socket; print({connection}.recv(4).decode())"'


@needs_genisoimage
def test_nics_and_disks_come_and_go_and_a_locked_nic_sends_only_as_itself(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        specs = [await world.spec(number) for number in (5, 6)]
        cables = [
            Nic(str(uuids.uuid4()), 1, f"52:54:00:78:00:{number:02x}", "tenants", "private", 7, None)
            for number in (5, 6)
        ]
        first = replace(specs[0], nics=(*specs[0].nics, cables[0]))
        world.specs = [first, replace(specs[1], nics=(*specs[1].nics, cables[1]))]
        await asyncio.gather(*(world.machines.start(spec) for spec in world.specs))
        assert await world.output(first, greeting("10.9.0.5", 5)) == "SSH-"

        await world.output(first, "ip address add 10.9.0.50/24 dev eth1")
        assert await world.output(first, greeting("10.9.0.50")) == "SSH-"
        await world.machines.lock_nic(first.uuid, replace(cables[0], locking=locking("locked", "", ["10.9.0.5"], [])))
        assert "timed out" in (await world.ssh(first, greeting("10.9.0.50")))[1]
        assert await world.output(first, greeting("10.9.0.5")) == "SSH-"
        await world.machines.lock_nic(first.uuid, cables[0])
        assert await world.output(first, greeting("10.9.0.50")) == "SSH-"
        await world.machines.unplug_nic(first.uuid, 1)
        assert "eth1" not in await world.output(first, "ip -br link")

        await world.storage.create("data", world.sr, 1 << 20)
        data = Disk("data", world.storage.path("data", world.sr), "raw", 1, False, False)
        await world.machines.plug_disk(first.uuid, data)
        await world.output(first, "echo on the disk > /media/xvdb/file")
        await world.machines.unplug_disk(first.uuid, 1)
        assert await world.output(first, "ls /media/xvdb") == ""
        await world.machines.kill(first.uuid)
        await world.machines.start(replace(first, disks=(*first.disks, data)))
        assert await world.output(first, "cat /media/xvdb/file") == "on the disk"

    story(tell, tmp_path)


def test_two_labs_with_the_same_addresses_are_told(tmp_path: Path) -> None:
    async def tell(world: World) -> None:
        spec = await world.spec(9, drive=False)
        route = ["ip", "route", "add", "table", "local", "unicast", f"{spec.nics[0].address}/32", "dev", "lo"]
        subprocess.run(route, check=True)
        try:
            with pytest.raises(MachineError, match=r"127\.90\.0\.9 .*--nat-subnet"):
                await world.machines.start(spec)
        finally:
            subprocess.run(["ip", "route", "del", *route[3:]], check=True)
        await world.machines.start(spec)

    story(tell, tmp_path)
