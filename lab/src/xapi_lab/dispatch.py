# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""From a request to its value: arity, types, session, role, task, and the behaviour or the generic call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from xapi_lab import failover
from xapi_lab import faults as fault_injection
from xapi_lab.calls import generic
from xapi_lab.calls.registry import CALLS, Context
from xapi_lab.errors import XapiError, internal_error
from xapi_lab.model import Message
from xapi_lab.values import NULL, decode

if TYPE_CHECKING:
    from xapi_lab.lab import Lab

_LOG = logging.getLogger(__name__)
_ASYNC = ("Async.", "InternalAsync.")


async def dispatch(lab: Lab, method: str, params: list[Any], host: str) -> Any:
    """Carry out a call that a host was asked for; raises XapiError for every failure that a client is told of."""
    lab.call_log.record(method)
    faults = lab.faults.matching(method)
    for fault in faults:
        if fault.expire_session and params and isinstance(params[0], str):
            lab.sessions.logout(params[0])
    await fault_injection.before_call(faults)
    await failover.strike(lab, faults, host, "before")
    try:
        value = await _dispatch(lab, method, params, host)
    finally:
        lab.save()
    await failover.strike(lab, faults, host, "after")
    fault_injection.after_call(faults)
    return value


async def _dispatch(lab: Lab, method: str, params: list[Any], host: str) -> Any:
    lab.members.check_emergency(host, method)
    if method == "system.listMethods":
        return list_methods(lab)
    if method.startswith("system.isAlive:"):
        return params[0] if params else ""
    name = method.removeprefix("Internal").removeprefix("Async.") if method.startswith(_ASYNC) else method
    message = lab.model.message(name)
    if message is None:
        _unknown(lab, name, params, host)
    assert message is not None
    session, arguments = _arguments(message, params)
    if message.needs_session:
        _check_session(lab, session, host)
    if message.removed:
        raise XapiError("MESSAGE_REMOVED")
    if message.needs_session:
        lab.sessions.require_role(session, message.roles, message.wire_name)
    if method.startswith(_ASYNC):
        return _start_async(lab, message, session, arguments, host)
    if not message.has_async:
        return await _run(Context(lab, session, NULL, message.wire_name, host), message, arguments)
    task = lab.tasks.create(message.wire_name)
    try:
        return await _run(Context(lab, session, task, message.wire_name, host), message, arguments)
    finally:
        lab.tasks.forget(task)


def _check_session(lab: Lab, session: str, host: str) -> None:
    """Raise what a host answers to a session that is not good there."""
    if lab.sessions.is_local(session, host):
        return
    if not lab.members.is_coordinator(host):
        raise lab.members.refusal(host)
    lab.sessions.check(session)


def _unknown(lab: Lab, name: str, params: list[Any], host: str) -> None:
    if params:
        _check_session(lab, decode(generic.STRING, params[0]), host)
    raise XapiError("MESSAGE_METHOD_UNKNOWN", name)


def _arguments(message: Message, params: list[Any]) -> tuple[str, list[Any]]:
    """The session and the decoded parameters; raises MESSAGE_PARAMETER_COUNT_MISMATCH or INTERNAL_ERROR."""
    received = len(params) - (1 if message.needs_session else 0)
    required = message.required_count
    if received < required or (received > required and not message.has_defaults):
        raise XapiError("MESSAGE_PARAMETER_COUNT_MISMATCH", message.wire_name, required, received)
    session = NULL
    if message.needs_session:
        session = decode(generic.STRING, params[0])
        params = params[1:]
    return session, [
        decode(parameter.type, value) for parameter, value in zip(message.parameters, params, strict=False)
    ]


def _start_async(lab: Lab, message: Message, session: str, arguments: list[Any], host: str) -> str:
    if not message.has_async:
        raise XapiError("Fault", f"No async mode for this operation (rpc: {message.wire_name})")
    task = lab.tasks.create(f"Async.{message.wire_name}")
    lab.background(_run_async(Context(lab, session, task, message.wire_name, host), message, arguments))
    return task


async def _run_async(context: Context, message: Message, arguments: list[Any]) -> None:
    try:
        value = await _run(context, message, arguments)
    except XapiError as error:
        context.lab.tasks.fail(context.task, error.description)
    else:
        context.lab.tasks.succeed(context.task, value)


async def _run(context: Context, message: Message, arguments: list[Any]) -> Any:
    handler = CALLS.get(message.wire_name)
    try:
        if handler is None:
            return generic.run(context, message, arguments)
        first = message.parameters[0].type if message.parameters else None
        if first is not None and first.kind == "ref" and first.class_name not in {"session", "message"}:
            context.db.row(first.class_name, arguments[0])
        return await handler(context, *arguments)
    except XapiError:
        raise
    except Exception as error:
        _LOG.exception("%s failed", message.wire_name)
        raise internal_error(f"{type(error).__name__}: the lab failed; its log has the details") from error


def list_methods(lab: Lab) -> list[str]:
    return [message.wire_name for class_ in lab.model.classes.values() for message in class_.messages.values()] + [
        "system.listMethods"
    ]
