# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Sessions."""

from __future__ import annotations

import asyncio

from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError


@call("session.login_with_password")
async def login_with_password(
    context: Context, name: str, password: str, version: str = "1.1", originator: str = ""
) -> str:
    if not context.lab.members.is_coordinator(context.host):
        raise context.lab.members.refusal(context.host)
    try:
        account = context.lab.sessions.authenticate(name, password)
        return context.lab.sessions.login(account, originator, context.lab.members.coordinator)
    except XapiError:
        await asyncio.sleep(context.lab.config.failed_login_delay)
        raise


@call("session.slave_local_login_with_password")
async def slave_local_login_with_password(context: Context, name: str, password: str) -> str:
    context.lab.sessions.authenticate(name, password)
    return context.lab.sessions.login_locally(context.host)


@call("session.local_logout")
async def local_logout(context: Context) -> None:
    context.lab.sessions.logout_locally(context.session)


@call("session.logout")
async def logout(context: Context) -> None:
    context.lab.sessions.logout(context.session)
    context.lab.wake()


def _of_subjects(context: Context) -> list[tuple[str, str]]:
    """The sessions that are not root's, and whose they are."""
    return [
        (ref, record["auth_user_sid"])
        for ref, record in context.db.records("session")
        if not record["is_local_superuser"]
    ]


@call("session.get_all_subject_identifiers")
async def get_all_subject_identifiers(context: Context) -> list[str]:
    return sorted({identifier for _, identifier in _of_subjects(context)})


@call("session.logout_subject_identifier")
async def logout_subject_identifier(context: Context, subject_identifier: str) -> None:
    for ref, identifier in _of_subjects(context):
        if identifier == subject_identifier and ref != context.session:
            context.lab.sessions.logout(ref)
    context.lab.wake()
