# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine over mutual TLS: a door in front of its socket that asks for a certificate, as ``dockerd --tlsverify`` does."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .conftest import Daemon, Engine

pytestmark = pytest.mark.engine

ONE = {"one": {"image": "box:1"}}


class Authority:
    """A certificate authority of a tenant, its files in one folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.path = folder / f"{name}-ca.pem"
        certificate = self._sign(self._name, self._key.public_key(), authority=True)
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, name: str) -> tuple[str, str]:
        """The paths of a new certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key.public_key(), authority=False)
        paths = self._folder / f"{name}.pem", self._folder / f"{name}-key.pem"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(paths[0]), str(paths[1])


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
        self._context.load_cert_chain(*authority.issue("engine"))
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
    return Authority(tmp_path, "acme")


@pytest.fixture
def door(engine: Engine, daemon: Daemon, authority: Authority) -> t.Iterator[Door]:
    door = Door(authority, daemon.socket)
    engine.host = door.host
    yield door
    door.close()


def way(authority: Authority, certificate: tuple[str, str]) -> dict[str, str]:
    return {
        "docker_ca_path": str(authority.path),
        "docker_cert_path": certificate[0],
        "docker_key_path": certificate[1],
    }


def test_a_set_is_deployed_over_mutual_tls_whatever_the_environment_says(
    engine: Engine, door: Door, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(Authority(tmp_path, "another").path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    client = way(authority, authority.issue("client"))
    assert engine.deploy(ONE, **client).members["one"]["state"] == "running"
    assert not engine.deploy(ONE, **client).changed


def test_an_engine_of_another_authority_is_refused_even_if_the_environment_knows_it(
    engine: Engine, door: Door, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path, "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    with pytest.raises(HardshellError, match="certificate of .* is not accepted"):
        engine.deploy(ONE, **way(other, authority.issue("client")))


def test_a_client_without_the_tenants_certificate_is_not_let_in(
    engine: Engine, door: Door, authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(HardshellError):
        engine.deploy(ONE, docker_ca_path=str(authority.path))
    with pytest.raises(HardshellError):
        engine.deploy(ONE, **way(authority, Authority(tmp_path, "stranger").issue("client")))
    assert engine.daemon.containers() == {}


def test_an_engine_that_is_not_verified_is_warned_of(engine: Engine, door: Door, authority: Authority) -> None:
    certificate, key = authority.issue("client")
    deployed = engine.deploy(ONE, docker_validate_certs=False, docker_cert_path=certificate, docker_key_path=key)
    assert any("is not verified" in warning for warning in deployed.warnings)
