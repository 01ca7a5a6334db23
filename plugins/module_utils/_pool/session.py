# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A session with a pool: log in, call, follow the coordinator, and say in one sentence what went wrong.

Only reads are sent again when the connection is lost. A call that changes something is not: ``ConnectionLost`` tells the caller
to look at the pool again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import http.client
import itertools
import time
import traceback
import typing as t
import xml.parsers.expat
import xmlrpc.client

from ansible.module_utils.basic import missing_required_lib

from .._errors import HardshellError
from .connection import Address, ConnectionOptions
from .transport import XapiTransport
from .xapi_errors import ConnectionLost, XapiError

try:
    import XenAPI
except ImportError:
    XenAPI = None
    XENAPI_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    XENAPI_IMPORT_ERROR = None

ORIGINATOR = "hardshell.xen"
API_VERSION = "2.21"
RECONNECT_SECONDS = 60
WITHOUT_COORDINATOR = ("HOST_IN_EMERGENCY_MODE", "HOST_STILL_BOOTING")
"""What a member answers, to any call, while it has no coordinator to name."""
NULL_REF = "OpaqueRef:NULL"

Record = dict[str, t.Any]


def is_read(method: str) -> bool:
    """Whether a call changes nothing in the pool, so that it may be sent twice."""
    message = method.rpartition(".")[2]
    return message.startswith("get_") or method == "event.from"


def to_wire(value: t.Any) -> t.Any:
    """A value as XML-RPC must carry it: XAPI's 64-bit integers travel as text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, t.Mapping):
        return {str(key): to_wire(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_wire(item) for item in value]
    return value


class NoCoordinator(ConnectionLost):
    """The member that was asked serves no calls now, and took no notice of this one."""


class Session:
    """Calls to one pool. Use it in a ``with`` statement: a session made here is ended there, one handed in lives on.

    Nothing is sent before the first call.
    """

    def __init__(self, options: ConnectionOptions, warn: t.Callable[[str], None] = lambda text: None) -> None:
        if XenAPI is None:
            raise HardshellError(missing_required_lib("XenAPI"), exception=XENAPI_IMPORT_ERROR)
        self.options = options
        self._reference: str | None = options.session
        self._made_here = False
        self._answered = False
        self._pool_is_there = False
        self._interrupted = False
        self._proxy: t.Any = None
        self._open(options.addresses[0])
        if not options.validate_certs:
            warn(
                "xapi_validate_certs is false: the pool's certificate is not verified, and the password can be read on the way"
            )

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._made_here:
            with contextlib.suppress(HardshellError):
                self.end()
        self.close()

    def log_in(self) -> str:
        """Make a session that outlives the ``with`` statement. Returns its reference, as good as the password."""
        self.call("session.get_uuid", self._handle, asked="log in")
        self._made_here = False
        return self._handle()

    def end(self) -> None:
        """End the session in the pool."""
        reference = self._handle()
        self._request("end the session", lambda: XenAPI.XenAPI._parse_result(self._proxy.session.logout(reference)))
        self._made_here = False

    def call(self, method: str, *arguments: t.Any, asked: str | None = None) -> t.Any:
        """Call ``Class.message`` and return its value. ``asked`` says in an error what was being done.

        An argument may be a function, called once the session is there. Raises ``XapiError``; ``ConnectionLost`` for a call that
        may have taken effect; ``TlsError``; ``HardshellError`` when something else than XAPI answers.

        While a member answers but no coordinator does, as after the loss of one, the members are asked again for a while.
        """
        asked = asked or method
        began = time.monotonic()
        others = [address for address in self.options.addresses if address != self.address]
        turns = [*others, self.address]
        tried: dict[Address, str] = {}
        for turn in itertools.count(1):
            try:
                value = self._follow(method, arguments, asked)
            except ConnectionLost as lost:
                if self._interrupted:
                    raise
                if self._answered and not is_read(method) and not isinstance(lost, NoCoordinator):
                    raise
                # Not whom we asked, where that one has sent us on.
                tried[self.address] = lost.message
                self._open(turns[(turn - 1) % len(turns)])
                if turn % len(turns) == 0:
                    patience = RECONNECT_SECONDS if self._answered or self._pool_is_there else 0
                    if time.monotonic() >= began + patience:
                        raise ConnectionLost(_unreachable(tried)) from lost  # pylint: disable=bad-exception-cause
                    time.sleep(1)
            else:
                self._answered = True
                return value
        raise AssertionError("not reached")

    def close(self) -> None:
        """Drop the connection; the next call makes a new one."""
        self._proxy("close")()

    def interrupt(self) -> None:
        """Let the call that another thread has under way end with ``ConnectionLost``, and no call be sent again from now on."""
        self._interrupted = True
        self._proxy("transport").interrupt()

    @property
    def reference(self) -> str:
        """The session's reference, for what travels beside the calls. As good as the password."""
        return self._handle()

    def _handle(self) -> str:
        return str(self._proxy.handle)

    def _open(self, address: Address) -> None:
        if self._proxy is not None:
            self.close()
        self.address = address
        self._proxy = XenAPI.Session(address.url, transport=XapiTransport(address, self.options))
        self._proxy._session = self._reference

    def _follow(self, method: str, arguments: tuple[t.Any, ...], asked: str) -> t.Any:
        """One call, at the coordinator whoever is asked first, with a new session where the old one has ended.

        Both errors are given before the call takes effect, so sending it again is safe.
        """
        asked_already: set[Address] = set()
        renewed = False
        while True:
            try:
                if self._proxy.handle is None:
                    self._log_in()
                wire = tuple(to_wire(item() if callable(item) else item) for item in arguments)
                return self._request(asked, functools.partial(self._proxy.xenapi_request, method, wire))
            except XapiError as error:
                if error.code in WITHOUT_COORDINATOR:
                    self._pool_is_there = True
                    raise NoCoordinator(f"{self.address}: {error.message}") from error  # pylint: disable=bad-exception-cause
                if error.code == "HOST_IS_SLAVE":
                    self._pool_is_there = True
                    asked_already.add(self.address)
                    coordinators = [a for a in self._coordinator(error.parameters[0]) if a not in asked_already]
                    if not coordinators:
                        raise
                    self._open(coordinators[0])
                elif error.code == "SESSION_INVALID" and self.options.password and not renewed:
                    renewed = True
                    self._reference = None
                    self._open(self.address)
                else:
                    raise

    def _log_in(self) -> None:
        account = (self.options.username, self.options.password, API_VERSION, ORIGINATOR)
        asked = f"log in to {self.address} as {self.options.username!r}"
        self._request(asked, lambda: self._proxy.login_with_password(*account))
        self._proxy.last_login_method = None  # an ended session is renewed here, not inside XenAPI
        self._reference = self._handle()
        self._made_here = self._answered = True

    def _request(self, asked: str, send: t.Callable[[], t.Any]) -> t.Any:
        """Send one request and turn what may go wrong into our errors."""
        try:
            return send()
        except XenAPI.Failure as failure:
            raise XapiError(asked, failure.details) from None
        except xmlrpc.client.Fault as fault:
            code = "SESSION_INVALID" if fault.faultCode == 401 else "INTERNAL_ERROR"
            raise XapiError(asked, [code, fault.faultString]) from None
        except (xmlrpc.client.Error, xml.parsers.expat.ExpatError, TypeError) as error:
            self.close()
            raise HardshellError(
                f"{asked}: what {self.address} answered is not XAPI's ({error}); is this a XenServer or XCP-ng host?"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise ConnectionLost(f"{asked}: {self.address} {_reason(error)}") from error

    def _coordinator(self, named: str) -> list[Address]:
        """Where the coordinator may answer. XAPI names it without a port: listed members of that name first, then the port we know."""
        listed = [address for address in self.options.addresses if address.host == named and address != self.address]
        return [*listed, dataclasses.replace(self.address, host=named)]


def _unreachable(tried: t.Mapping[Address, str]) -> str:
    told = "; ".join(tried.values())
    return f"xapi_host: no member of the pool can be reached ({told}). Check the addresses, that a host is up, and that its port is open"


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections"
    return str(error) or type(error).__name__
