# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The way to a Docker Engine: a unix socket, ssh, or TLS."""

from __future__ import annotations

import contextlib
import os
import re
import typing as t
import urllib.parse

from .._errors import HardshellError, OptionError

if t.TYPE_CHECKING:
    from .api import Engine

TRANSPORT_ARGUMENTS: dict[str, t.Any] = {
    "docker_host": {"type": "str", "required": True},
    "docker_ssh_key": {"type": "path"},
    "docker_ssh_host_key": {"type": "str", "no_log": False},
    "docker_ssh_options": {"type": "list", "elements": "str", "default": []},
    "docker_ca_path": {"type": "path"},
    "docker_cert_path": {"type": "path"},
    "docker_key_path": {"type": "path"},
    "docker_validate_certs": {"type": "bool", "default": True},
    "docker_timeout": {"type": "int", "default": 60},
}

_EXPECTED = "write unix:///path/of/the.sock, ssh://user@host:port or tcp://host:2376"
_SSH_ONLY = ("docker_ssh_key", "docker_ssh_host_key", "docker_ssh_options")
_TLS_ONLY = ("docker_ca_path", "docker_cert_path", "docker_key_path")


@contextlib.contextmanager
def connect(parameters: t.Mapping[str, t.Any], warn: t.Callable[[str], None]) -> t.Iterator[Engine]:
    """The engine that the parameters name, for as long as the block runs; API version agreed, nothing left behind.

    Raises ``OptionError`` for parameters that cannot be right and ``HardshellError`` when the engine cannot be reached.
    """
    from .api import Engine
    from .sdk import open_client

    host, timeout = parameters["docker_host"], parameters["docker_timeout"]
    target = urllib.parse.urlsplit(host)
    if timeout <= 0:
        raise OptionError("docker_timeout", timeout, "write a number of seconds above 0")
    _refuse_strangers(parameters, target.scheme)
    with contextlib.ExitStack() as stack:
        if target.scheme == "unix":
            path = host.removeprefix("unix://")
            if not path.startswith("/"):
                raise OptionError("docker_host", host, _EXPECTED)
            _check_socket(host, path)
            engine = Engine(open_client(f"unix://{path}", timeout), host)
        elif target.scheme == "ssh":
            from .ssh_forward import SshForward

            forward = stack.enter_context(SshForward.from_parameters(parameters))
            engine = Engine(
                open_client(f"unix://{forward.path}", timeout), host, explain=forward.explain, revive=forward.revive
            )
        elif target.scheme == "tcp" and target.hostname:
            engine = Engine(_open_tcp(parameters, target, warn), host)
            engine.verified = parameters["docker_validate_certs"]
        else:
            raise OptionError("docker_host", host, _EXPECTED)
        stack.callback(engine.close)
        engine.agree_on_version()
        yield engine


def _refuse_strangers(parameters: t.Mapping[str, t.Any], scheme: str) -> None:
    strangers = [*(_SSH_ONLY if scheme != "ssh" else ()), *(_TLS_ONLY if scheme != "tcp" else ())]
    for option in strangers:
        if parameters[option]:
            wanted = "ssh://" if option in _SSH_ONLY else "tcp://"
            raise OptionError(
                option,
                parameters[option],
                f"it belongs to a {wanted} engine, but docker_host is {parameters['docker_host']}",
            )


def _check_socket(host: str, path: str) -> None:
    if not os.path.exists(path):
        raise HardshellError(
            f"docker_host: there is no socket {path}; is the engine running, and is {host} the machine the task runs on?"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        raise HardshellError(
            f"docker_host: no permission to use {path}; run as root or as a member of the group that owns the socket"
        )


def _open_tcp(
    parameters: t.Mapping[str, t.Any], target: urllib.parse.SplitResult, warn: t.Callable[[str], None]
) -> t.Any:
    from .sdk import open_client

    for option in _TLS_ONLY:
        path = parameters[option]
        if path and not os.access(path, os.R_OK):
            raise OptionError(option, path, "there is no such file, or it cannot be read")
    cert, key = parameters["docker_cert_path"], parameters["docker_key_path"]
    if bool(cert) != bool(key):
        missing = "docker_key_path" if cert else "docker_cert_path"
        raise OptionError(missing, None, "a client certificate and its key go together")
    if parameters["docker_validate_certs"]:
        if not parameters["docker_ca_path"]:
            raise OptionError(
                "docker_ca_path", None, "a tcp:// engine is verified against a certificate authority; give its file"
            )
    else:
        warn(
            f"the certificate of {parameters['docker_host']} is not verified: whoever is on the network between can take the engine over"
        )
    port = target.port or 2376
    address = target.hostname or ""
    name = f"[{address}]" if re.search(":", address) else address
    verify = parameters["docker_ca_path"] if parameters["docker_validate_certs"] else False
    return open_client(
        f"https://{name}:{port}", parameters["docker_timeout"], certificate=(cert, key) if cert else None, verify=verify
    )
