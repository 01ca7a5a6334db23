# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Reading from a pool by HTTP what is too large for a call: ``GET /export`` and ``GET /export_raw_vdi``.

XAPI answers 200 before it reads anything and ends with the connection; whether all was sent is known from the task alone.
"""

from __future__ import annotations

import http.client
import time
import typing as t
import urllib.parse

from .._errors import HardshellError
from .session import Session
from .sizes import MIB, shown
from .tasks import SHOW_EVERY_SECONDS, Show, wait_for_task
from .transport import VerifiedConnection
from .upload import REDIRECTS, redirected

CHUNK = 4 * MIB
# The task ends with the connection.
VERDICT_SECONDS = 60


def download(
    session: Session,
    path: str,
    query: t.Mapping[str, str],
    target: t.BinaryIO,
    *,
    asked: str,
    show: Show,
) -> None:
    """Write what a handler sends into ``target``, and wait until the pool has said that it was all.

    Raises ``XapiError`` with the task's error, ``TaskTimeout`` or ``HardshellError``.
    """
    task = session.call("task.create", asked, "hardshell.xen", asked=asked)
    problem = ""
    try:
        _receive(session, f"{path}?{urllib.parse.urlencode({**query, 'task_id': task})}", target, asked, show)
    except (OSError, http.client.HTTPException) as error:
        # The pool hangs up when it cannot go on; the task says why.
        problem = str(error) or type(error).__name__
    try:
        wait_for_task(session, task, asked=asked, show=show, timeout=VERDICT_SECONDS)
    except HardshellError as error:
        if problem and not hasattr(error, "code"):
            raise HardshellError(f"{asked}: the connection broke off ({problem})") from error
        raise
    if problem:
        raise HardshellError(f"{asked}: the connection broke off ({problem})")


def _receive(session: Session, path: str, target: t.BinaryIO, asked: str, show: Show) -> None:
    address = session.address
    for _attempt in range(REDIRECTS):
        connection = VerifiedConnection(address, session.options)
        try:
            connection.request("GET", path, headers={"Cookie": f"session_id={session.reference}"})
            answer = connection.getresponse()
            if answer.status in (301, 302, 307):
                address = redirected(address, answer.getheader("Location") or "", asked)
                continue
            if answer.status != 200:
                raise http.client.HTTPException(f"{address} answered HTTP {answer.status} {answer.reason}")
            _copy(answer, target, asked, show)
            return
        finally:
            connection.close()
    raise HardshellError(f"{asked}: the pool sends us from host to host without end")


def _copy(answer: http.client.HTTPResponse, target: t.BinaryIO, asked: str, show: Show) -> None:
    began = shown_at = time.monotonic()
    received = 0
    while chunk := answer.read(CHUNK):
        target.write(chunk)
        received += len(chunk)
        now = time.monotonic()
        if now - shown_at >= SHOW_EVERY_SECONDS:
            shown_at = now
            show(f"{asked}: {shown(received)}, {received / (now - began) / MIB:.0f} MiB/s, {now - began:.0f} s")
