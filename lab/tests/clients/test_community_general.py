# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The modules xenserver_guest, _info and _powerstate of community.general, unmodified, against the lab."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from xapi_lab.testing import Lab

PLAYBOOK = Path(__file__).with_name("xenserver_guest.yml")
TIMEOUT = 900
"""Seconds that a run of Ansible may take on a busy machine."""


@pytest.fixture
def ansible(cache: Path) -> Path:
    """The folder of the ansible package's commands."""
    commands = cache / "community" / "venv" / "bin"
    if not (commands / "ansible-playbook").exists():
        pytest.skip(f"the ansible package is not in {commands.parent}; lab/tests/clients/install.sh puts it there")
    return commands


def _run(lab: Lab, command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "SSL_CERT_FILE": str(lab.ca_path), "LAB_USERNAME": lab.username, "LAB_PASSWORD": lab.password, **environment,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_vm_is_made_reconfigured_cycled_and_removed(lab: Lab, ansible: Path, tmp_path: Path) -> None:
    before = {name: len(lab.records(name)) for name in ("VM", "VBD", "VIF", "VDI")}
    template = next(vm["uuid"] for vm in lab.records("VM").values() if vm["name_label"] == "Other install media")
    _run(lab, [str(ansible / "ansible-playbook"), str(PLAYBOOK)], tmp_path, LAB_URL=lab.url, LAB_TEMPLATE=template)
    assert {name: len(lab.records(name)) for name in before} == before


def _info(ansible: Path, arguments: str) -> list[str]:
    module = "community.general.xenserver_guest_info"
    return [str(ansible / "ansible"), "localhost", "-m", module, "-a", arguments]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_address_may_leave_out_the_scheme_or_the_ca(ansible: Path, tmp_path: Path, scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options: dict[str, Any] = {"http_port": port} if scheme == "http" else {}
    with Lab(backend="none", **options) as lab:
        name = next(vm["name_label"] for vm in lab.records("VM").values() if vm["is_control_domain"])
        where = f"hostname=127.0.0.1:{port}" if scheme == "http" else f"hostname={lab.url} validate_certs=false"
        arguments = f"{where} username={lab.username} password={lab.password} name='{name}'"
        output = _run(lab, _info(ansible, arguments), tmp_path, SSL_CERT_FILE="/nonexistent")
    assert '"state": "poweredon"' in output
