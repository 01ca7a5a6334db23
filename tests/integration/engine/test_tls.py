# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine over mutual TLS: a door in front of its socket that asks for a certificate, as ``dockerd --tlsverify`` does."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Daemon, Engine

pytestmark = pytest.mark.engine

ONE = {"one": {"image": "box:1"}}


SCRIPT = Path(__file__).parents[3] / "roles/container_host/files/hardshell-tls.sh"


class Authority:
    """A tenant's authority as the role container_host makes it, in a folder of its own, and an engine's certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ca.pem"
        self.client = str(folder / "cert.pem"), str(folder / "key.pem")
        self.request = folder.with_suffix(".csr")
        self.key = folder.with_suffix(".key")
        made = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        made += ["-subj", "/CN=shop", "-keyout", str(self.key), "-out", str(self.request)]
        subprocess.run(made, check=True, capture_output=True)

    def run(self, mode: str = "apply", names: str = "IP:127.0.0.1", renew_days: int = 30) -> str:
        command = ["sh", str(SCRIPT), mode, str(self.folder), "shop", names, "365", str(renew_days)]
        with self.request.open() as request:
            return subprocess.run(command, stdin=request, check=True, capture_output=True, text=True).stdout.strip()

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()} if self.folder.exists() else {}


def made(folder: Path) -> Authority:
    authority = Authority(folder)
    authority.run()
    return authority


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, target):
            end.close()


class Door:
    """Listens with TLS, lets in who has a certificate of the authority, and hands everything on to the engine's socket."""

    def __init__(self, authority: Authority, engine_socket: str) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(str(authority.folder / "shop.pem"), str(authority.key))
        self._context.load_verify_locations(authority.path)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._engine_socket = engine_socket
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                plain, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        try:
            client = self._context.wrap_socket(plain, server_side=True)
        except OSError:
            plain.close()
            return
        engine = socket.socket(socket.AF_UNIX)
        engine.connect(self._engine_socket)
        threading.Thread(target=pump, args=(engine, client), daemon=True).start()
        pump(client, engine)

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return made(tmp_path / "acme")


@pytest.fixture
def door(engine: Engine, daemon: Daemon, authority: Authority) -> t.Iterator[Door]:
    door = Door(authority, daemon.socket)
    engine.host = door.host
    yield door
    door.close()


def way(authority: Authority, client: Authority) -> dict[str, str]:
    """The options of a task that trusts one authority and shows the certificate of another."""
    certificate, key = client.client
    return {"docker_ca_path": str(authority.path), "docker_cert_path": certificate, "docker_key_path": key}


def test_a_set_is_deployed_over_mutual_tls_whatever_the_environment_says(
    engine: Engine, door: Door, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made(tmp_path / "another").path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    client = way(authority, authority)
    assert engine.deploy(ONE, **client).members["one"]["state"] == "running"
    assert not engine.deploy(ONE, **client).changed


def test_an_engine_of_another_authority_is_refused_even_if_the_environment_knows_it(
    engine: Engine, door: Door, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = made(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    with pytest.raises(HardshellError, match="certificate of .* is not accepted"):
        engine.deploy(ONE, **way(other, authority))


def test_a_client_without_the_tenants_certificate_is_not_let_in(
    engine: Engine, door: Door, authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(HardshellError):
        engine.deploy(ONE, docker_ca_path=str(authority.path))
    with pytest.raises(HardshellError):
        engine.deploy(ONE, **way(authority, made(tmp_path / "stranger")))
    assert engine.daemon.containers() == {}


def test_an_engine_that_is_not_verified_is_warned_of(engine: Engine, door: Door, authority: Authority) -> None:
    certificate, key = authority.client
    deployed = engine.deploy(ONE, docker_validate_certs=False, docker_cert_path=certificate, docker_key_path=key)
    assert any("is not verified" in warning for warning in deployed.warnings)
    finding = deployed.result["findings"][0]
    assert (finding["id"], finding["where"], finding["tenant"]) == (
        "unverified-engine",
        f"engine {engine.host}",
        "acme",
    )


def test_certificates_are_made_once_and_renewed_when_something_asks_for_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "acme")
    assert authority.run("check") == "changed"
    assert authority.files() == {}
    assert authority.run() == "changed"
    first = authority.files()
    assert set(first) == {"ca.pem", "ca-key.pem", "cert.pem", "key.pem", "shop.pem", "shop.names"}
    assert {path.name for path in authority.folder.iterdir() if path.stat().st_mode & 0o077} == set()
    assert (authority.run("check"), authority.run()) == ("same", "same")
    assert authority.files() == first

    # Other names: the engine's certificate alone. Soon to expire: all but the authority. Without its authority: all.
    for settings, kept in (({"names": "IP:127.0.0.2"}, {"ca.pem", "cert.pem"}), ({"renew_days": 366}, {"ca.pem"})):
        before = authority.files()
        assert authority.run("check", **settings) == "changed"
        assert authority.files() == before
        assert authority.run(**settings) == "changed"
        after = authority.files()
        assert {name for name in ("ca.pem", "cert.pem", "shop.pem") if after[name] == before[name]} == kept
    for name in ("ca.pem", "ca-key.pem"):
        (authority.folder / name).unlink()
    before = authority.files()
    assert authority.run() == "changed"
    assert [name for name, content in authority.files().items() if before.get(name) == content] == ["shop.names"]
    assert authority.run("check") == "same"
