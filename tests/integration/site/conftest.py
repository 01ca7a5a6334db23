# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A pool whose VMs are namespaces with an SSH server and a Docker Engine of their own, and an inventory of tenants for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import typing as t
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import XenAPI
from xapi_lab.machines.namespace import prerequisites
from xapi_lab.testing import Lab

from ..engine.conftest import BUSYBOX, archive

GIB = 2**30
TEMPLATE = "namespace-guest"
CONTAINERS = {
    "web": {"image": "box:1", "links": ["store:database"], "ports": ["8080:80"]},
    "store": {"image": "box:1", "command": ["httpd", "-f", "-p", "80", "-h", "/etc"]},
}


class Fleet:
    """Tenants with a VM each; ``site.yml`` and the other playbooks are run over them."""

    def __init__(self, folder: Path, lab: Lab, count: int) -> None:
        self.lab = lab
        self.names = [f"shop-{number}" for number in range(1, count + 1)]
        self._folder = folder
        self._key = folder / "client"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._key)], check=True)
        _make_template(lab)
        (folder / "box.tar").write_bytes(archive("box:1"))
        (folder / "inventory.json").write_text(json.dumps(self._inventory()))

    def _inventory(self) -> dict[str, t.Any]:
        variables = {
            "xapi_host": [self.lab.url],
            "xapi_username": self.lab.username,
            "xapi_password": self.lab.password,
            "xapi_ca_path": str(self.lab.ca_path),
            "vm_template": TEMPLATE,
            "vm_memory": "512MiB",
            "vm_ssh_authorized_keys": [self._key.with_suffix(".pub").read_text().strip()],
            "vm_ssh_private_key": str(self._key),
            "vm_known_hosts_dir": str(self._folder / "known_hosts"),
            "container_set_images": [{"image": "box:1", "archive": str(self._folder / "box.tar")}],
            "container_set_containers": CONTAINERS,
        }
        tenants = {
            f"tenant{number}": {"hosts": {name: {}}, "vars": {"tenant_name": f"tenant{number}"}}
            for number, name in enumerate(self.names, 1)
        }
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        return {"all": {"vars": variables, "hosts": {"localhost": local}, "children": tenants}}

    def play(self, playbook: str, *flags: str) -> tuple[dict[str, int], str]:
        """The number of changed tasks by host, of a run that must succeed; and its output."""
        began = time.monotonic()
        command = [str(Path(sys.executable).with_name("ansible-playbook")), f"hardshell.xen.{playbook}"]
        done = subprocess.run(
            [*command, "-i", str(self._folder / "inventory.json"), *flags],
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_FORKS": "10",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._folder / "cp"),
                "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=10s",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == 0, output
        print(f"{playbook} over {len(self.names)} VMs: {time.monotonic() - began:.0f} s")
        return {
            host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", output, re.M)
        }, output

    def in_containers(self, command: str) -> dict[str, str]:
        """The first word that a command says in each container, which the inventory plugin knows from the pool alone."""
        source = self._folder / "containers.xapi.yml"
        source.write_text(f"plugin: hardshell.xen.xapi\nxapi_host: ['{self.lab.url}']\ncontainer_hosts: true\n")
        program = str(Path(sys.executable).with_name("ansible"))
        user = ["--user", "hardshell", "--private-key", str(self._key), "--one-line"]
        known = f"-o UserKnownHostsFile={self._folder / 'seen'} -o StrictHostKeyChecking=accept-new"
        done = subprocess.run(
            [program, "containers", "-i", str(source), *user, "-m", "ansible.builtin.raw", "-a", command],
            env={
                **os.environ,
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_SSH_ARGS": known,
                "XAPI_PASSWORD": self.lab.password,
                "XAPI_CA_PATH": str(self.lab.ca_path),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        said = re.findall(r"^(\S+) \| CHANGED \| rc=0 \| \(stdout\) (\S+)", done.stdout, re.M)
        return dict(said) or {"failed": done.stdout + done.stderr}

    def address(self, name: str) -> str:
        """Where a VM is reached, by what its guest's agent reports."""
        vm = next(record for record in self.lab.records("VM").values() if record["name_label"] == name)
        return t.cast("str", self.lab.records("VM_guest_metrics")[vm["guest_metrics"]]["networks"]["0/ip"])

    def published(self, name: str) -> dict[str | None, str | None]:
        """The containers that the pool shows of a VM, by name, with their status."""
        vm = next(record for record in self.lab.records("VM").values() if record["name_label"] == name)
        written = vm["other_config"].get("docker_ps", "<docker_ps/>")
        return {
            entry.findtext("names"): entry.findtext("status") for entry in ElementTree.fromstring(written).iter("entry")
        }

    def forget_published(self, name: str) -> None:
        """Somebody takes from the VM what the pool shows of its containers."""
        session = XenAPI.Session(self.lab.url, ignore_ssl=True)
        session.xenapi.login_with_password(self.lab.username, self.lab.password)
        (vm,) = session.xenapi.VM.get_by_name_label(name)
        for key in ("docker_ps", "docker_info", "docker_version", "xscontainer-monitor"):
            session.xenapi.VM.remove_from_other_config(vm, key)
        session.xenapi.session.logout()


def _make_template(lab: Lab) -> None:
    """A template with a root disk. Nothing is on it: a guest's files appear with its first start."""
    session = XenAPI.Session(lab.url, ignore_ssl=True)
    session.xenapi.login_with_password(lab.username, lab.password)
    xapi = session.xenapi
    template = xapi.VM.clone(xapi.VM.get_by_name_label("Debian Bookworm 12")[0], TEMPLATE)
    xapi.VM.remove_from_other_config(template, "disks")
    disk = {
        "name_label": "root",
        "SR": xapi.pool.get_default_SR(xapi.pool.get_all()[0]),
        "virtual_size": str(4 * GIB),
        "type": "user",
        "sharable": False,
        "read_only": False,
        "other_config": {},
    }
    connection = {
        "VM": template,
        "VDI": xapi.VDI.create(disk),
        "userdevice": "0",
        "bootable": True,
        "mode": "RW",
        "type": "Disk",
        "empty": False,
        "other_config": {},
        "qos_algorithm_type": "",
        "qos_algorithm_params": {},
    }
    xapi.VBD.create(connection)
    xapi.session.logout()


def fleet(folder: Path, count: int) -> t.Iterator[Fleet]:
    missing = prerequisites.missing()
    if missing is not None:
        pytest.skip(missing)
    for program in ("dockerd", "docker", "ssh", "sudo"):
        if not shutil.which(program, path=prerequisites.SYSTEM_PATH):
            pytest.skip(f"{program} is not installed")
    if not BUSYBOX.exists():
        pytest.skip("the test image is made from busybox-static, which is not installed")
    with Lab(backend="namespace", hosts=[{"name": "one", "cpus": 2 * count + 2, "memory": (count + 8) * GIB}]) as lab:
        yield Fleet(folder, lab, count)


@pytest.fixture(scope="module")
def vms(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fleet]:
    """Two VMs, or as many as SITE_VMS says, to measure a fleet."""
    yield from fleet(tmp_path_factory.mktemp("fleet"), int(os.environ.get("SITE_VMS", "2")))
