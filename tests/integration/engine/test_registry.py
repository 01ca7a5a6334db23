# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Images of a private registry: a registry of our own beside the engine, which lets in only who knows the password."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import subprocess
import time
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Daemon, Engine, UnixConnection

pytestmark = pytest.mark.engine

# An address that the engine does not take for a registry without TLS, as it does those of the loopback network.
ADDRESS = "192.0.2.99"
REGISTRY = f"{ADDRESS}:5000"
PASSWORD = "correct-horse"  # noqa: S105
IMAGE = f"{REGISTRY}/shop/web:1"
ALLOWED = {"registry": REGISTRY, "username": "acme", "password": PASSWORD}


@pytest.fixture(scope="module")
def registry(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Path]:
    """The registry's own directory. It holds box:1 as shop/web:1."""
    if not shutil.which("docker-registry") or not shutil.which("htpasswd"):
        pytest.skip("docker-registry or htpasswd is not installed")
    directory = tmp_path_factory.mktemp("registry")
    entry = subprocess.run(["htpasswd", "-Bbn", "acme", PASSWORD], check=True, capture_output=True, text=True).stdout
    (directory / "htpasswd").write_text(entry)
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {
            "addr": REGISTRY,
            "tls": {"certificate": str(directory / "cert.pem"), "key": str(directory / "key.pem")},
        },
        "auth": {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}},
    }
    (directory / "config.json").write_text(json.dumps(settings))
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    name = ["-subj", "/CN=registry", "-addext", f"subjectAltName=IP:{ADDRESS}"]
    subprocess.run(["openssl", "req", "-x509", *kind, *name, *files], check=True, capture_output=True)
    inside = ["nsenter", f"--net=/proc/{daemon.pid}/ns/net", f"--mount=/proc/{daemon.pid}/ns/mnt"]
    ready = f"ip address add {ADDRESS}/32 dev lo && mkdir -p /etc/docker && mount -t tmpfs tmpfs /etc/docker"
    subprocess.run([*inside, "sh", "-c", ready], check=True)
    (directory / "engine").symlink_to(f"/proc/{daemon.pid}/root/etc/docker")
    _trust(directory)
    command = [*inside, "setpriv", "--pdeathsig", "TERM", "docker-registry", "serve", str(directory / "config.json")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _push(daemon, process, directory / "log")
        yield directory
    finally:
        process.terminate()
        process.wait(10)


def _trust(directory: Path) -> None:
    """Put the registry's authority where the role container_host puts it."""
    authority = directory / "engine/certs.d" / REGISTRY / "ca.crt"
    authority.parent.mkdir(parents=True, exist_ok=True)
    authority.write_bytes((directory / "cert.pem").read_bytes())


def _push(daemon: Daemon, process: subprocess.Popen[bytes], log: Path) -> None:
    told = base64.urlsafe_b64encode(json.dumps({"username": "acme", "password": PASSWORD}).encode()).decode()
    daemon.request("POST", f"/images/box:1/tag?repo={REGISTRY}/shop/web&tag=1")
    deadline = time.monotonic() + 30
    while True:
        connection: http.client.HTTPConnection = UnixConnection(daemon.socket)
        connection.request("POST", f"/v1.41/images/{REGISTRY}/shop/web/push?tag=1", headers={"X-Registry-Auth": told})
        answer = connection.getresponse().read().decode()
        connection.close()
        if ": digest: sha256:" in answer:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the registry does not take the image: {answer} {log.read_text()[-500:]}")
        time.sleep(0.1)


@pytest.fixture
def forgotten(engine: Engine, registry: Path) -> Engine:
    """An engine that does not hold the registry's image."""
    if IMAGE in str(engine.daemon.request("GET", "/images/json")):
        engine.daemon.request("DELETE", f"/images/{IMAGE}?force=1")
    return engine


def test_an_image_is_pulled_with_the_credentials_of_the_task(forgotten: Engine) -> None:
    # The set pulls nothing; the member does.
    options: dict[str, t.Any] = {"pull": "never", "registries": [ALLOWED]}
    definition = {"web": {"image": IMAGE, "pull": "missing"}, "db": {"image": "box:1"}}
    announced = forgotten.deploy(definition, check=True, **options)
    assert announced.actions[0] == ("pull", "image", IMAGE)
    done = forgotten.deploy(definition, **options)
    assert done.actions == announced.actions
    assert "shop_web" in forgotten.daemon.running()
    assert done.members["web"]["image_digest"] == announced.result["changes"][0]["after"]["digest"]
    assert not forgotten.deploy({**definition, "web": {"image": IMAGE, "pull": "always"}}, **options).changed
    assert PASSWORD not in f"{done.result}{done.said}{done.warnings}{forgotten.daemon.inspect('shop_web')}"


@pytest.mark.parametrize("registries", [[], [{**ALLOWED, "password": "wrong-horse"}]], ids=["none", "wrong"])
def test_without_the_right_credentials_nothing_is_begun(forgotten: Engine, registries: list[dict[str, str]]) -> None:
    with pytest.raises(HardshellError, match="its registry does not give it.*registries:") as failure:
        forgotten.deploy({"web": {"image": IMAGE}}, pull="missing", registries=registries)
    assert "horse" not in failure.value.message
    assert forgotten.daemon.containers() == {}


def test_a_registry_whose_authority_the_engine_does_not_know_is_told_as_that(forgotten: Engine, registry: Path) -> None:
    (registry / "engine/certs.d" / REGISTRY / "ca.crt").unlink()
    try:
        with pytest.raises(HardshellError, match="certificate.*container_host_registry_cas"):
            forgotten.deploy({"web": {"image": IMAGE}}, pull="missing", registries=[ALLOWED])
    finally:
        _trust(registry)
    assert forgotten.deploy({"web": {"image": IMAGE}}, pull="missing", registries=[ALLOWED]).changed
