# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The npm package xen-api, the client of Xen Orchestra, unmodified, against the lab."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from xapi_lab.testing import Lab

DRIVER = Path(__file__).with_name("xen_api.mjs")
TIMEOUT = 60
"""Seconds that one scenario may take."""


class Scenario:
    """A run of the client, and the facts that it tells."""

    def __init__(self, lab: Lab, modules: Path, name: str) -> None:
        environment = {
            **os.environ,
            "NODE_EXTRA_CA_CERTS": str(lab.ca_path),
            "LAB_USERNAME": lab.username,
            "LAB_PASSWORD": lab.password,
        }
        self._process = subprocess.Popen(
            ["node", str(DRIVER), str(modules), lab.url, name],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def fact(self) -> dict[str, Any]:
        """The next fact; fails with what the client wrote when it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"the client ended: {self._process.communicate(timeout=TIMEOUT)[1]}")
        fact: dict[str, Any] = json.loads(line)
        return fact

    def end(self) -> str:
        """Wait for the end; what the client wrote to standard error."""
        errors = self._process.communicate(timeout=TIMEOUT)[1]
        assert self._process.returncode == 0, errors
        return errors

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def scenario(lab: Lab, cache: Path) -> Any:
    modules = cache / "npm"
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (modules / "node_modules" / "xen-api").is_dir():
        pytest.skip(f"xen-api is not in {modules}; lab/tests/clients/install.sh puts it there")
    started: list[Scenario] = []

    def start(name: str) -> Scenario:
        started.append(Scenario(lab, modules, name))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_a_watching_client_makes_starts_stops_and_removes_a_vm(lab: Lab, scenario: Any) -> None:
    lab.reset_calls()
    client = scenario("life")
    first = client.fact()
    assert first["types"] > 50
    assert first["pool"] == lab.config.pool_name
    assert client.fact() == {"host": first["hosts"], "other": "another", "vcpus": 2, "tags": ["tagged"]}
    assert client.fact() == {"code": "VM_BAD_POWER_STATE", "params": ["halted", "running"]}
    assert client.fact() == {"state": "Halted"}
    assert client.fact() == {"tasks": 0}
    assert client.end() == ""
    calls = lab.calls()
    assert calls["event.inject"] == 1
    assert calls["event.from"] > 3
    assert calls["Async.VM.start"] == 2


def test_a_watching_client_survives_the_loss_of_its_session(lab: Lab, scenario: Any) -> None:
    client = scenario("expiry")
    before = client.fact()
    lab.run(lambda inside: (inside.sessions.logout_all(), inside.wake()))
    after = client.fact()
    assert after["renamed"] == "renamed after expiry"
    assert after["session"] != before["session"]
    assert client.end() == ""


def _digest(lab: Lab, vdi: str) -> str | None:
    digest: str | None = lab.run(
        lambda inside: inside.storage.digests.get(inside.database.get("VDI", vdi, "uuid"))  # type: ignore[attr-defined]
    )
    return digest


def test_a_disk_is_imported_from_a_stream_and_exported(scenario: Any, backend: str) -> None:
    if backend == "none":
        pytest.skip("the none backend does not keep what is in a disk")
    client = scenario("disk")
    fact = client.fact()
    assert fact["result"] == fact["vdi"]
    assert client.fact() == {"size": 4 * 2**20, "sha256": fact["sha256"]}
    assert client.end() == ""


@pytest.mark.parametrize("lab", ["none"], indirect=True)
def test_a_disk_is_imported_from_a_stream_of_unknown_length(lab: Lab, scenario: Any) -> None:
    client = scenario("disk_of_unknown_length")
    fact = client.fact()
    assert _digest(lab, fact["vdi"]) == fact["sha256"]
    assert "VDI_IO_ERROR" in client.end()


def test_an_image_larger_than_its_disk_fails_the_task(scenario: Any) -> None:
    client = scenario("disk_too_large")
    assert client.fact() == {"code": "VDI_IO_ERROR"}
    client.end()


def test_a_wrong_password_is_told(scenario: Any) -> None:
    client = scenario("wrong_password")
    assert client.fact() == {
        "code": "SESSION_AUTHENTICATION_FAILED",
        "params": ["root", "Authentication failure"],
    }
    client.end()


def test_the_xml_rpc_transport_gives_numbers_as_text(scenario: Any) -> None:
    client = scenario("xml_rpc")
    assert client.fact() == {"memory": "string"}
    client.end()
