# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The Docker SDK for Python, as the carrier of requests. Versions: docker 7.1 and 7.2."""

from __future__ import annotations

import sys
import traceback
import typing as t

from ansible.module_utils.basic import missing_required_lib

from .._errors import HardshellError

docker: t.Any = None
requests: t.Any = None
CancellableStream: t.Any = None
try:
    import docker
    import requests  # noqa: F401  # pylint: disable=unused-import
    from docker.types import CancellableStream  # noqa: F401  # pylint: disable=unused-import
except ImportError:
    IMPORT_TRACEBACK: str | None = traceback.format_exc()
else:
    IMPORT_TRACEBACK = None

OLDEST = (7, 1)


def open_client(
    base_url: str,
    timeout: int,
    *,
    certificate: tuple[str, str] | None = None,
    verify: str | bool = True,
) -> t.Any:
    """An API client for ``base_url`` (unix:///path or https://host:port). ``timeout`` in seconds. ``verify`` is a file of authorities, or False for none."""
    if IMPORT_TRACEBACK is not None:
        raise HardshellError(missing_required_lib("docker >= 7.1.0"), exception=IMPORT_TRACEBACK)
    if tuple(int(part) for part in docker.__version__.split(".")[:2]) < OLDEST:
        raise HardshellError(
            f"the Python package docker is {docker.__version__} in {sys.executable}; version 7.1.0 or later is needed"
        )
    tls: t.Any = False
    if base_url.startswith("https:"):
        tls = docker.tls.TLSConfig(client_cert=certificate, ca_cert=verify or None, verify=bool(verify))
    # The version is given, so that the client asks nothing by itself; requests name their own.
    client = docker.APIClient(base_url=base_url, version="1.41", timeout=timeout, tls=tls)
    # Else REQUESTS_CA_BUNDLE would take the place of the given authority, and proxies that of the engine.
    client.trust_env = False
    return client


def wait_without_limit(client: t.Any, answer: t.Any) -> None:
    """Let what follows of a streamed answer take as long as it likes, once its head has come."""
    client._disable_socket_timeout(client._get_raw_response_socket(answer))
