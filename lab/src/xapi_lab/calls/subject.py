# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Subjects, who are the accounts besides root, and their roles (xapi_subject.ml). No directory is asked who they are."""

from __future__ import annotations

from typing import Any

from xapi_lab.calls import generic
from xapi_lab.calls.registry import Context, call
from xapi_lab.errors import XapiError
from xapi_lab.sessions import permissions


@call("subject.create")
async def create(context: Context, given: dict[str, Any]) -> str:
    """A subject without roles, as in a pool whose licence has roles."""
    record = generic.constructor_record(context.lab.model.classes["subject"], given)
    for _, known in context.db.records("subject"):
        if known["subject_identifier"] == record["subject_identifier"]:
            raise XapiError("SUBJECT_ALREADY_EXISTS")
    return context.db.create("subject", {**record, "roles": []})


@call("subject.add_to_roles")
async def add_to_roles(context: Context, subject: str, role: str) -> None:
    roles = context.db.get("subject", subject, "roles")
    if not context.db.exists("role", role):
        raise XapiError("ROLE_NOT_FOUND")
    if role in roles:
        raise XapiError("ROLE_ALREADY_EXISTS")
    context.db.set("subject", subject, "roles", [*roles, role])


@call("subject.remove_from_roles")
async def remove_from_roles(context: Context, subject: str, role: str) -> None:
    roles = context.db.get("subject", subject, "roles")
    if role not in roles:
        raise XapiError("ROLE_NOT_FOUND")
    context.db.set("subject", subject, "roles", [other for other in roles if other != role])


@call("subject.get_permissions_name_label")
async def get_permissions_name_label(context: Context, subject: str) -> list[str]:
    roles = [context.db.get("role", role, "name_label") for role in context.db.get("subject", subject, "roles")]
    return sorted(permissions(context.lab.model, roles))


@call("role.get_permissions_name_label")
async def role_permissions_name_label(context: Context, role: str) -> list[str]:
    return sorted(permissions(context.lab.model, [context.db.get("role", role, "name_label")]))
