# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world of the end-to-end tests: a lab whose VMs boot, a copy of the demo's inventory, and playbooks run against it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import XenAPI
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# Another than the default one: a demo may run on the same machine.
NAT_SUBNET = "127.76.0.0/16"


@dataclass
class Run:
    """An ended playbook run."""

    returncode: int
    output: str
    changes: list[dict[str, Any]]

    def changed(self) -> dict[str, int]:
        counts = re.findall(r"^([\w.-]+)\s+: ok=\d+\s+changed=(\d+)", self.output, re.MULTILINE)
        return {host: int(count) for host, count in counts}


class World:
    """Everything lives below ``folder``: the inventory, the lab's state, keys, images."""

    def __init__(self, folder: Path) -> None:
        self.inventory = folder / "inventory"
        self.state = self.inventory / ".state"
        self.lab_state = self.state / "lab"
        self.record = folder / "changes.jsonl"

    def up(self) -> None:
        shutil.copytree(ROOT / "examples" / "demo", self.inventory, ignore=shutil.ignore_patterns(".state"))
        self.state.mkdir(mode=0o700)
        self._tool(
            "xapi-lab", "up", "--state-dir", str(self.lab_state), "--backend", "qemu", "--nat-subnet", NAT_SUBNET
        )
        self.lab = json.loads(self._tool("xapi-lab", "status", "--state-dir", str(self.lab_state), "--json"))
        (self.state / "lab.json").write_text(json.dumps(self.lab))
        key = self.state / "id_ed25519"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        images = ROOT / "examples" / "images" / "build_images.py"
        subprocess.run([sys.executable, str(images), "--output", str(self.state / "images")], check=True)

    def down(self) -> None:
        self._tool("xapi-lab", "down", "--state-dir", str(self.lab_state))

    def _tool(self, name: str, *arguments: str) -> str:
        return subprocess.run([str(BIN / name), *arguments], check=True, capture_output=True, text=True).stdout

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests" / "e2e" / "callback_plugins"),
            "ANSIBLE_CALLBACKS_ENABLED": "record_changes",
            "RECORD_CHANGES": str(self.record),
            "PYTHONUNBUFFERED": "1",
        }

    def _start(self, playbook: str, *arguments: str) -> subprocess.Popen[str]:
        command = [str(BIN / "ansible-playbook"), f"hardshell.xen.{playbook}", "-i", str(self.inventory), *arguments]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment(),
            start_new_session=True,
        )

    def play(self, playbook: str, *arguments: str) -> Run:
        """Run a playbook to its end."""
        self.record.unlink(missing_ok=True)
        with self._start(playbook, *arguments) as process:
            output, _errors = process.communicate()
        changes = [json.loads(line) for line in self.record.read_text().splitlines()] if self.record.exists() else []
        print(output)
        return Run(process.returncode, output, changes)

    def play_and_kill(self, playbook: str, moment: str, *arguments: str) -> str:
        """Run a playbook and kill it, with all of its children, at the first line that matches ``moment``."""
        seen = []
        with self._start(playbook, *arguments) as process:
            for line in process.stdout or ():
                seen.append(line)
                if re.search(moment, line):
                    os.killpg(process.pid, signal.SIGKILL)
                    break
            else:
                raise AssertionError(f"{playbook} ended without a line like {moment!r}:\n{''.join(seen)}")
        return "".join(seen)

    def edit(self, change: Any) -> None:
        """Change the inventory: ``change`` gets the tenants as data, and changes them in place."""
        path = self.inventory / "tenants.yml"
        tenants = yaml.safe_load(path.read_text())
        change(tenants)
        path.write_text(yaml.safe_dump(tenants, sort_keys=False))

    def pool(self) -> XenAPI.Session:
        context = ssl.create_default_context(cafile=self.lab["ca_path"])
        transport = _VerifyingTransport(context)
        session = XenAPI.Session(self.lab["url"], transport=transport)
        session.xenapi.login_with_password("root", Path(self.lab["password_file"]).read_text().strip())
        return session

    def docker(self, vm: str, *arguments: str) -> str:
        """Run docker in a VM through its pinned SSH connection."""
        row = next(row for row in self.report() if row["vm"] == vm)
        alias = f"{row['tenant']}-{row['vm']}"
        command = [
            "ssh", "-i", f"{self.state}/id_ed25519", "-o", f"UserKnownHostsFile={self.state}/known_hosts/{alias}",
            "-o", f"HostKeyAlias={alias}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
            f"{row['user']}@{row['address']}", "docker", *arguments,
        ]  # fmt: skip
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def report(self) -> list[dict[str, Any]]:
        target = self.state / "report.json"
        run = self.play("report", "-e", f"report_file={target}")
        assert run.returncode == 0, run.output
        rows: list[dict[str, Any]] = json.loads(target.read_text())["rows"]
        return rows

    def front(self, vm: str) -> str:
        row = next(row for row in self.report() if row["vm"] == vm)
        return f"http://{row['address']}:8080/"


class _VerifyingTransport(XenAPI.xmlrpclib.SafeTransport):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)


def ask(url: str, text: str | None = None, patience: float = 60) -> str:
    """The answer of a front; with ``text``, an entry is written to it."""
    data = urllib.parse.urlencode({"text": text}).encode() if text else None
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
