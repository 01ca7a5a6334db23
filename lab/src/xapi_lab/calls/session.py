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
    try:
        account = context.lab.sessions.authenticate(name, password)
    except XapiError:
        await asyncio.sleep(context.lab.config.failed_login_delay)
        raise
    coordinator = context.db.get("pool", context.db.refs("pool")[0], "master")
    return context.lab.sessions.login(account, originator, coordinator)


@call("session.slave_local_login_with_password")
async def slave_local_login_with_password(context: Context, name: str, password: str) -> str:
    return await login_with_password(context, name, password)


@call("session.logout", "session.local_logout")
async def logout(context: Context) -> None:
    context.lab.sessions.logout(context.session)
    context.lab.wake()


@call("session.get_all_subject_identifiers")
async def get_all_subject_identifiers(context: Context) -> list[str]:
    return []


@call("session.logout_subject_identifier")
async def logout_subject_identifier(context: Context, subject_identifier: str) -> None:
    return None
