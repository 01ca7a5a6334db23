# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Writing a disk image into a VDI: ``PUT /import_raw_vdi``.

XAPI answers 200 before it reads the body, so the answer only says that it will read; whether the disk was written is known from the
task alone. It sends us elsewhere with 302 when another member holds the storage repository.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import time
import typing as t
import urllib.parse

from .._errors import HardshellError
from .connection import DEFAULT_PORT, Address
from .session import Session
from .sizes import MIB, shown
from .tasks import SHOW_EVERY_SECONDS, Show, TaskTimeout, wait_for_task
from .transport import VerifiedConnection

EARLY_ANSWER_SECONDS = 2
REDIRECTS = 3
VERDICT_SECONDS = 60
"""How long the pool may take to say why it hung up."""


class _OutOfTime(Exception):
    """The last byte was not sent in the time given."""


def upload(
    session: Session,
    vdi: str,
    chunks: t.Iterable[bytes],
    length: int,
    *,
    image_format: str,
    asked: str,
    show: Show,
    timeout: float,
) -> None:
    """Send ``length`` bytes of a ``raw`` or ``vhd`` image into the VDI and wait until the pool has written them.

    Raises ``XapiError`` with the task's error, ``TaskTimeout`` where that takes more than ``timeout`` seconds in all, or ``HardshellError``.
    """
    ends = time.monotonic() + timeout
    task = session.call("task.create", asked, "hardshell.xen", asked=asked)
    query = urllib.parse.urlencode({"vdi": vdi, "format": image_format, "task_id": task})
    problem = ""
    try:
        _send(session, f"/import_raw_vdi?{query}", chunks, length, asked, show, ends)
    except _OutOfTime:
        with contextlib.suppress(HardshellError):
            session.call("task.cancel", task)
            session.call("task.destroy", task)
        raise TaskTimeout(f"{asked}: not done within {timeout:.0f} seconds") from None
    except (OSError, http.client.HTTPException) as error:
        # The pool hangs up when it cannot go on; the task says why.
        problem = str(error) or type(error).__name__
    try:
        wait_for_task(
            session,
            task,
            asked=asked,
            show=show,
            timeout=VERDICT_SECONDS if problem else max(1.0, ends - time.monotonic()),
        )
    except HardshellError as error:
        if problem and not hasattr(error, "code"):
            raise HardshellError(f"{asked}: the connection broke off ({problem})") from error
        raise


def _send(
    session: Session, path: str, chunks: t.Iterable[bytes], length: int, asked: str, show: Show, ends: float
) -> None:
    address = session.address
    for _attempt in range(REDIRECTS):
        connection = VerifiedConnection(address, session.options)
        try:
            connection.putrequest("PUT", path)
            connection.putheader("Cookie", f"session_id={session.reference}")
            connection.putheader("Content-Length", str(length))
            connection.putheader("Content-Type", "application/octet-stream")
            connection.endheaders()
            answer = _early_answer(connection)
            if answer is not None and answer.status in (301, 302, 307):
                address = redirected(address, answer.getheader("Location") or "", asked)
                continue
            if answer is not None and answer.status != 200:
                raise HardshellError(f"{asked}: {address} answered HTTP {answer.status} {answer.reason}")
            _send_body(connection, chunks, length, asked, show, ends)
            if answer is None:
                answer = connection.getresponse()
            if answer.status != 200:
                raise HardshellError(f"{asked}: {address} answered HTTP {answer.status} {answer.reason}")
            _await_hangup(connection, max(1.0, ends - time.monotonic()))
            return
        finally:
            connection.close()
    raise HardshellError(f"{asked}: the pool sends us from host to host without end")


def _early_answer(connection: VerifiedConnection) -> http.client.HTTPResponse | None:
    """The head of the answer that comes before the body is read; None where the server waits for the body first."""
    readable, _writable, _failed = select.select([connection.sock], [], [], EARLY_ANSWER_SECONDS)
    if not readable:
        return None
    answer = http.client.HTTPResponse(connection.sock, method="PUT")
    answer.begin()
    return answer


def _send_body(
    connection: VerifiedConnection, chunks: t.Iterable[bytes], length: int, asked: str, show: Show, ends: float
) -> None:
    began = shown_at = time.monotonic()
    sent = 0
    for chunk in chunks:
        connection.send(chunk)
        sent += len(chunk)
        now = time.monotonic()
        if now > ends:
            raise _OutOfTime
        if now - shown_at >= SHOW_EVERY_SECONDS:
            shown_at = now
            rate = sent / (now - began) / MIB
            show(f"{asked}: {sent / length:.0%} of {shown(length)}, {rate:.0f} MiB/s, {now - began:.0f} s")


def _await_hangup(connection: VerifiedConnection, timeout: float) -> None:
    """The pool hangs up when it has read the last byte: a connection closed earlier from here may lose what is still under way."""
    connection.sock.settimeout(timeout)
    with contextlib.suppress(OSError):
        while connection.sock.recv(4096):
            pass


def redirected(address: Address, location: str, asked: str) -> Address:
    """Where an answer sends us. Raises ``HardshellError`` for what is no https address."""
    parts = urllib.parse.urlsplit(location)
    if parts.scheme != "https" or not parts.hostname:
        raise HardshellError(f"{asked}: {address} sends us to {location!r}, which is no https address")
    return Address(parts.hostname, parts.port or (address.port if parts.hostname == address.host else DEFAULT_PORT))
