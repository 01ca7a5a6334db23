# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Reading what was measured of VMs: ``GET /rrd_updates`` from the host that they run on, ``GET /vm_rrd`` for one that does not run.

A VM's archives go with it when it moves to another host, and to the coordinator when it halts (rrdd_proxy.ml). Each host tells only of its own.
"""

from __future__ import annotations

import dataclasses
import http.client
import typing as t
import urllib.parse

from .._errors import HardshellError
from .connection import Address
from .rrd import Archive, NotAnArchive, parse_dump, parse_updates
from .session import Session
from .transport import VerifiedConnection
from .upload import REDIRECTS, redirected
from .xapi_errors import TlsError


class Unreadable(HardshellError):
    """What was measured cannot be read now; the message says why."""


def read_host(session: Session, host: str, step: int, start: int, vm: str = "all") -> dict[str, Archive]:
    """The archives with rows of ``step`` seconds of all VMs that run on the host of that address, or of one. Raises ``Unreadable``."""
    # XAPI names hosts without a port: that of the coordinator holds for all.
    address = dataclasses.replace(session.address, host=host)
    query = {"start": str(start), "interval": str(step), "cf": "AVERAGE", "vm_uuid": vm}
    text = _get(session, address, "/rrd_updates", query)
    return _parsed(address, parse_updates, text) if text is not None else {}


def read_vm(session: Session, uuid: str) -> tuple[Archive, ...]:
    """The archives of one VM, wherever they are; none where nothing was ever measured of it. Raises ``Unreadable``."""
    text = _get(session, session.address, "/vm_rrd", {"uuid": uuid})
    return _parsed(session.address, parse_dump, text) if text is not None else ()


Parsed = t.TypeVar("Parsed")


def _parsed(address: Address, parse: t.Callable[[str], Parsed], text: str) -> Parsed:
    try:
        return parse(text)
    except NotAnArchive as error:
        raise Unreadable(f"what {address} answered is none of XAPI's archives: {error}") from error  # pylint: disable=bad-exception-cause


def _get(session: Session, address: Address, path: str, query: t.Mapping[str, str]) -> str | None:
    """The document, None where there is none (404)."""
    for _attempt in range(REDIRECTS):
        connection = VerifiedConnection(address, session.options)
        try:
            # The Accept header decides on the format, and without it a parameter of its own (client_prefers_json).
            headers = {"Cookie": f"session_id={session.reference}", "Accept": "text/xml"}
            connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}", headers=headers)
            answer = connection.getresponse()
            if answer.status in (301, 302, 307):
                address = redirected(address, answer.getheader("Location") or "", "read what was measured")
                continue
            if answer.status == 404:
                return None
            if answer.status != 200:
                raise Unreadable(f"{address} answered HTTP {answer.status} {answer.reason}")
            return answer.read().decode()
        except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
            raise Unreadable(f"{address} cannot be read: {str(error) or type(error).__name__}") from error
        except TlsError as error:
            raise Unreadable(error.message) from error  # pylint: disable=bad-exception-cause
        finally:
            connection.close()
    raise Unreadable(f"{address} sends us from host to host without end")
