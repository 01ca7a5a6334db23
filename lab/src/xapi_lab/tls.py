# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The lab's own certificate authority and the server's certificate, made at the first start."""

from __future__ import annotations

import datetime
import ipaddress
import os
import ssl
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_FILE = "ca.pem"
CERTIFICATE = "server.pem"
"""Name of the file with the certificate of the hosts, under the state directory."""
_VALID_DAYS = 3650
_CIPHERS = "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"
"""Those of XAPI, as are version and curve (tls_policy.ml)."""


def server_context(state_dir: Path, addresses: Sequence[str]) -> ssl.SSLContext:
    """A server's TLS context; makes CA, key and certificate for `addresses` under `state_dir` when they are not there."""
    certificate, key = state_dir / CERTIFICATE, state_dir / "server.key"
    if not certificate.exists() or not key.exists() or not (state_dir / CA_FILE).exists():
        _make(state_dir, certificate, key, addresses)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.set_ecdh_curve("secp384r1")
    context.load_cert_chain(certificate, key)
    return context


@cache
def _host_key() -> rsa.RSAPrivateKey:
    """A key like those of XAPI's hosts (gencert, lib.ml); making one may take a second, so labs of one process share it."""
    return rsa.generate_private_key(65537, 2048)


def server_certificate(state_dir: Path) -> x509.Certificate:
    """The server's own certificate, without those that vouch for it."""
    return x509.load_pem_x509_certificates((state_dir / CERTIFICATE).read_bytes())[0]


def fingerprint(state_dir: Path) -> str:
    """SHA-256 of the server's certificate, in pairs of hex digits with colons."""
    return server_certificate(state_dir).fingerprint(hashes.SHA256()).hex(":").upper()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: str, issuer: str, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _make(state_dir: Path, certificate_path: Path, key_path: Path, addresses: Sequence[str]) -> None:
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), _host_key()
    ca_name = "xapi-lab CA"
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names = [
        x509.DNSName("localhost"),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(["127.0.0.1", "::1", *addresses])),
    ]
    certificate = (
        _builder("xapi-lab", ca_name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(key_path, key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ), 0o600)  # fmt: skip
    pem = serialization.Encoding.PEM
    _write(certificate_path, certificate.public_bytes(pem) + ca.public_bytes(pem), 0o644)
    _write(state_dir / CA_FILE, ca.public_bytes(pem), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
