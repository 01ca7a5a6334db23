# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Who may use a handler: session reference or basic authentication; and XAPI's error pages."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable, Coroutine
from html import escape
from typing import Any

from aiohttp import web

from xapi_lab.connections import Request
from xapi_lab.errors import XapiError
from xapi_lab.lab import Lab
from xapi_lab.model import roles_from

_LOG = logging.getLogger(__name__)
NO_CACHE = "no-cache, no-store"
Handler = Callable[[Lab, Request], Coroutine[Any, Any, web.StreamResponse]]
Guarded = Callable[[Lab, Request, str], Coroutine[Any, Any, web.StreamResponse]]
"""A handler that is given the session it works for."""


def parameter(request: Request, name: str) -> str | None:
    """A parameter from the query or, failing that, a cookie."""
    return request.query.get(name, request.cookies.get(name))


def host_asked(lab: Lab, request: Request) -> str:
    """The host of the pool whose address a request came to; the coordinator once the client has hung up."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    return lab.members.at(name[0] if name else "")


def page(status: int, reason: str, title: str, text: str, **headers: str) -> web.Response:
    """One of XAPI's error pages; the connection is closed."""
    response = web.Response(
        status=status,
        reason=reason,
        body=f"<html><body><h1>HTTP {status} {title}</h1>{text}</body></html>".encode(),
        headers={"content-type": "text/html", "cache-control": NO_CACHE, **headers},
    )
    response.force_close()
    return response


def forbidden() -> web.Response:
    return page(403, "Forbidden", "forbidden", "Access to the requested resource is forbidden.")


def unauthorised(realm: str) -> web.Response:
    return page(
        401,
        "Unauthorised",
        "unauthorised",
        "Please check your credentials and retry.",
        **{"WWW-Authenticate": f'Basic realm="{realm}"'},
    )


_UNEXPECTED = (
    "An unexpected error occurred; please wait a while and try again. If the problem persists, please contact your "
    "support representative.<h1> Additional information </h1>"
)


def internal_error(detail: str) -> web.Response:
    return page(500, "Internal Error", "internal server error", _UNEXPECTED + escape(detail))


def late_internal_error(error: XapiError) -> bytes:
    """Page 500 with its head: what XAPI sends when a handler fails that has sent its own head already (http_svr.ml)."""
    body = f"<html><body><h1>HTTP 500 internal server error</h1>{_UNEXPECTED}{escape(in_page(error))}</body></html>"
    head = (
        f"HTTP/1.1 500 Internal Error\r\ncontent-length: {len(body.encode())}\r\ncontent-type:text/html\r\n"
        f"connection:close\r\ncache-control:{NO_CACHE}\r\n\r\n"
    )
    return (head + body).encode()


def in_page(error: XapiError) -> str:
    """An error as XAPI writes it into a page."""
    return f"{error.code}: [ {'; '.join(error.description[1:])} ]"


def bad_request() -> web.Response:
    return page(400, "Bad Request", "bad request", "The HTTP request was malformed.")


def not_found() -> web.Response:
    return page(404, "Not Found", "not found", "The requested resource does not exist.")


def session_of(lab: Lab, request: Request, role: str, name: str) -> str | None:
    """The session that a request comes with, or one made for its basic authentication; None for neither.

    Raises RBAC_PERMISSION_DENIED when the account's role is too low. The caller ends sessions that it did not come
    with: `end_session`.
    """
    session = parameter(request, "session_id")
    try:
        if session is not None:
            lab.sessions.check(session)
        else:
            session = _basic_session(lab, request.headers.get("Authorization", ""))
    except XapiError:
        return None
    if session is not None:
        lab.sessions.require_role(session, roles_from(role), f"http/{name}")
    return session


def end_session(lab: Lab, request: Request, session: str) -> None:
    """Log out a session that was made for one request."""
    if parameter(request, "session_id") != session:
        lab.sessions.logout(session)


def guarded(role: str, name: str) -> Callable[[Guarded], Handler]:
    """Let in who has at least `role`; `name` is the handler's in XAPI's permissions and realms.

    Without credentials 401; with too low a role 403, and the task that the client made for the request fails
    (xapi_http.ml). An error that the work raises fails the request's task, and becomes XAPI's page 500.
    """

    def guard(work: Guarded) -> Handler:
        async def handler(lab: Lab, request: Request) -> web.StreamResponse:
            lab.call_log.record(f"{request.method} {request.path.rstrip('/')}")
            try:
                session = session_of(lab, request, role, name)
            except XapiError as error:
                _fail_task(lab, request, error)
                return forbidden()
            if session is None:
                return unauthorised(name)
            try:
                return await work(lab, request, session)
            except XapiError as error:
                _fail_task(lab, request, error)
                return internal_error(in_page(error))
            except ConnectionError as error:
                _fail_task(lab, request, XapiError("VDI_IO_ERROR", str(error)))
                raise
            except Exception as error:
                _LOG.exception("%s failed", request.path)
                failure = unforeseen(error)
                _fail_task(lab, request, failure)
                return internal_error(in_page(failure))
            finally:
                end_session(lab, request, session)
                lab.save()

        return handler

    return guard


def unforeseen(error: Exception) -> XapiError:
    """What a client is told of a defect of the lab."""
    return XapiError("INTERNAL_ERROR", f"{type(error).__name__}: the lab failed; its log has the details")


def _fail_task(lab: Lab, request: Request, error: XapiError) -> None:
    task = request.task_ref or parameter(request, "task_id")
    if task is not None and lab.tasks.is_pending(task):
        lab.tasks.fail(task, error.description)


def _basic_session(lab: Lab, header: str) -> str | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    account = lab.sessions.authenticate(name, password)
    return lab.sessions.login(account, "", lab.members.coordinator)
