# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The connection options of every pool module, and what they mean together."""

from __future__ import annotations

import re
import typing as t
import urllib.parse
from dataclasses import dataclass, replace

from ansible.module_utils.basic import env_fallback

from .._errors import OptionError
from .option_checks import refuse_unwritable, seconds

DEFAULT_PORT = 443


def connection_arguments() -> dict[str, t.Any]:
    """The argument spec of the doc fragment ``hardshell.xen.xapi``."""

    def from_environment(option: str) -> tuple[t.Any, list[str]]:
        return env_fallback, [option.upper()]

    return {
        "xapi_host": {"type": "list", "elements": "str", "required": True, "fallback": from_environment("xapi_host")},
        "xapi_username": {"type": "str", "default": "root", "fallback": from_environment("xapi_username")},
        "xapi_password": {"type": "str", "no_log": True, "fallback": from_environment("xapi_password")},
        "xapi_ca_path": {"type": "path", "fallback": from_environment("xapi_ca_path")},
        "xapi_fingerprint": {"type": "list", "elements": "str", "fallback": from_environment("xapi_fingerprint")},
        "xapi_validate_certs": {"type": "bool", "default": True, "fallback": from_environment("xapi_validate_certs")},
        "xapi_session": {"type": "str", "no_log": True, "fallback": from_environment("xapi_session")},
        "xapi_timeout": {"type": "int", "default": 60, "fallback": from_environment("xapi_timeout")},
    }


@dataclass(frozen=True)
class Address:
    """Where one pool member answers."""

    host: str
    port: int = DEFAULT_PORT

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}" if self.port == DEFAULT_PORT else f"https://{host}:{self.port}"

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True)
class ConnectionOptions:
    """How to reach a pool and whom to be there. ``timeout`` is seconds for one call."""

    addresses: tuple[Address, ...]
    username: str
    password: str | None
    session: str | None
    ca_path: str | None
    fingerprints: frozenset[str]
    validate_certs: bool
    timeout: int

    def fresh(self) -> ConnectionOptions:
        """The same, but logging in rather than using a session handed in."""
        return replace(self, session=None)

    def without_password(self) -> ConnectionOptions:
        """The same, but never making a session in place of the one handed in."""
        return replace(self, password=None)


def connection_options(parameters: t.Mapping[str, t.Any]) -> ConnectionOptions:
    """The connection options out of a module's parameters. Raises ``OptionError``."""
    refuse_unwritable({name: parameters[name] for name in connection_arguments()})
    if not parameters["xapi_password"] and not parameters["xapi_session"]:
        raise OptionError("xapi_password", None, "give the account's password, or xapi_session, or set XAPI_PASSWORD")
    addresses = tuple(_address(text) for text in parameters["xapi_host"] if text.strip())
    if not addresses:
        raise OptionError("xapi_host", parameters["xapi_host"], "name at least one member of the pool")
    return ConnectionOptions(
        addresses=addresses,
        username=parameters["xapi_username"],
        password=parameters["xapi_password"] or None,
        session=parameters["xapi_session"] or None,
        ca_path=parameters["xapi_ca_path"] or None,
        fingerprints=frozenset(_fingerprint(text) for text in parameters["xapi_fingerprint"] or ()),
        validate_certs=parameters["xapi_validate_certs"],
        timeout=seconds("xapi_timeout", parameters["xapi_timeout"]),
    )


def _address(text: str) -> Address:
    """A pool member as the user wrote it: ``host``, ``host:port``, ``[ipv6]:port``, a bare IPv6 address or an https URL."""
    expected = "give a host name, an address, host:port or an https URL"
    written = text.strip()
    if "://" not in written:
        written = f"https://[{written}]" if written.count(":") > 1 and "[" not in written else f"https://{written}"
    try:
        parts = urllib.parse.urlsplit(written)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise OptionError("xapi_host", text, expected) from None
    if parts.scheme != "https":
        raise OptionError("xapi_host", text, f"the password would travel in clear: use https://{host or 'HOST'}")
    if not host or "@" in parts.netloc:
        raise OptionError("xapi_host", text, expected)
    return Address(host, port or DEFAULT_PORT)


def _fingerprint(text: str) -> str:
    digits = re.sub(r"[:\s]", "", text.lower().removeprefix("sha256"))
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        expected = (
            "give a SHA-256 fingerprint of 64 hexadecimal digits, as `openssl x509 -fingerprint -sha256` prints it"
        )
        raise OptionError("xapi_fingerprint", text, expected)
    return digits
