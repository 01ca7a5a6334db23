# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""TLS to a pool member, verified against a CA or a pinned fingerprint, with a limit on the time of each call."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import ssl
import typing as t
import xmlrpc.client

from .connection import Address, ConnectionOptions
from .xapi_errors import TlsError

CONNECT_SECONDS = 10


def tls_context(options: ConnectionOptions) -> ssl.SSLContext:
    """What is verified by TLS itself. A pinned fingerprint without a CA is compared by ``VerifiedConnection`` instead."""
    try:
        context = ssl.create_default_context(cafile=options.ca_path)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(f"xapi_ca_path: {options.ca_path!r} cannot be read as PEM certificates: {error}") from error
    if not options.validate_certs or (options.fingerprints and not options.ca_path):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class VerifiedConnection(http.client.HTTPSConnection):
    """An HTTPS connection that is refused before the first byte of a request unless its certificate is trusted."""

    def __init__(self, address: Address, options: ConnectionOptions) -> None:
        super().__init__(address.host, address.port, timeout=options.timeout, context=tls_context(options))
        self._address = address
        self._options = options

    def connect(self) -> None:
        self.timeout = min(CONNECT_SECONDS, self._options.timeout)
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise TlsError(_untrusted(self._address, error.verify_message)) from error
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.settimeout(self._options.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._options.validate_certs and self._options.fingerprints:
            seen = hashlib.sha256(self.sock.getpeercert(binary_form=True) or b"").hexdigest()
            if seen not in self._options.fingerprints:
                self.close()
                raise TlsError(
                    f"{self._address}: the certificate's SHA-256 fingerprint is {seen}, which xapi_fingerprint does not list. "
                    "If the certificate was renewed, check this value on the host and list it; if not, somebody is between"
                )


def _untrusted(address: Address, why: str) -> str:
    seen = ""
    try:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((address.host, address.port), CONNECT_SECONDS) as raw,
            context.wrap_socket(raw) as wrapped,
        ):
            seen = hashlib.sha256(wrapped.getpeercert(binary_form=True) or b"").hexdigest()
    except OSError:
        pass
    shown = f" The server shows the SHA-256 fingerprint {seen}." if seen else ""
    return (
        f"{address}: the certificate is not trusted ({why}).{shown} "
        "Set xapi_ca_path to the pool's CA, or compare the fingerprint on the host and set xapi_fingerprint"
    )


class XapiTransport(xmlrpc.client.SafeTransport):
    """XML-RPC over one kept ``VerifiedConnection``. Never sends a request twice: only the caller knows whether that is safe."""

    user_agent = "hardshell.xen"

    def __init__(self, address: Address, options: ConnectionOptions) -> None:
        super().__init__()
        self._address = address
        self._options = options

    def make_connection(self, host: t.Any) -> http.client.HTTPSConnection:
        if self._connection and self._connection[1]:
            return t.cast(http.client.HTTPSConnection, self._connection[1])
        connection = VerifiedConnection(self._address, self._options)
        self._extra_headers: list[tuple[str, str]] = []
        self._connection = host, connection
        return connection

    def request(self, host: t.Any, handler: str, request_body: t.Any, verbose: bool = False) -> t.Any:
        return self.single_request(host, handler, request_body, verbose)

    def interrupt(self) -> None:
        """End the connection under a request that waits in another thread."""
        connection = self._connection[1]
        sock = connection.sock if isinstance(connection, http.client.HTTPConnection) else None
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(
                    sock, socket.SHUT_RDWR
                )  # not SSLSocket's own, which takes the reader's state away
