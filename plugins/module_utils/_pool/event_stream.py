# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A pool's events without end: over cut connections, ended sessions, toolstacks that restart and coordinators that move."""

from __future__ import annotations

import threading
import typing as t

from .._errors import HardshellError
from .connection import ConnectionOptions
from .event_watch import Event, Watch, WatchSpec
from .session import Session
from .tasks import EVENT_SECONDS
from .xapi_errors import TlsError, XapiError

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
IN_VAIN = (
    "SESSION_AUTHENTICATION_FAILED",
    "SESSION_AUTHORIZATION_FAILED",
    "RBAC_PERMISSION_DENIED",
    "MESSAGE_METHOD_UNKNOWN",
)
"""Codes that waiting does not cure; an account that is refused again and again would be locked."""

Deliver = t.Callable[[list[Event]], None]


class EventStream:
    """The events of one pool, by blocking calls: ``run`` it in a thread of its own, ``end`` it from another.

    A token of ``event.from`` is advanced only by an answer that arrived, and asked again otherwise, so that a cut connection loses and repeats
    nothing. It means nothing to another coordinator, nor to a toolstack that has restarted and forgotten what was removed: where the
    session ended, the pool is read whole and held against what is known.
    """

    def __init__(self, options: ConnectionOptions, spec: WatchSpec, warn: t.Callable[[str], None]) -> None:
        self._options = options
        self._watch = Watch(spec)
        self._warn = warn
        self._ending = threading.Event()
        self._asked: Session | None = None
        self._token = ""
        self._reference = ""

    def run(self, deliver: Deliver) -> None:
        """Deliver events until ``end`` is called. Raises ``HardshellError`` where the first answer fails, or where waiting is in vain."""
        pause = FIRST_PAUSE
        began = False
        with Session(self._options, self._warn) as session:
            while not self._ending.is_set():
                try:
                    events = self._next(session, silent=not began and not self._watch.spec.existing)
                except HardshellError as error:
                    if self._ending.is_set():
                        return
                    if not began or _is_in_vain(error):
                        raise
                    self._warn(f"{error.message}; trying again in {pause:.0f} s")
                    self._ending.wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    continue
                began, pause = True, FIRST_PAUSE
                if events:
                    deliver(events)

    def end(self) -> None:
        """Let ``run`` return: soon where it waits for an answer. To be called again where it makes a connection just now."""
        self._ending.set()
        if self._asked is not None:
            self._asked.interrupt()

    def _next(self, session: Session, silent: bool) -> list[Event]:
        """What one answer tells, or a whole reading where the answer does not follow from the one before."""
        token = self._token
        answer = self._ask(session, token)
        whole = token == ""
        if not whole and session.reference != self._reference:
            answer, whole = self._ask(session, ""), True
        told = self._watch.take(answer["events"], whole=whole, silent=silent)
        self._token, self._reference = answer["token"], session.reference
        if self._watch.has_gap(answer["valid_ref_counts"]) and not whole:
            self._token = ""
        return told

    def _ask(self, session: Session, token: str) -> dict[str, t.Any]:
        patience = float(min(EVENT_SECONDS, session.options.timeout / 2))
        classes = list(self._watch.spec.subscription)
        self._asked = session
        try:
            answer: dict[str, t.Any] = session.call("event.from", classes, token, patience, asked="wait for events")
        finally:
            self._asked = None
        return answer


def _is_in_vain(error: HardshellError) -> bool:
    return isinstance(error, TlsError) or (isinstance(error, XapiError) and error.code in IN_VAIN)
