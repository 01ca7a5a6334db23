# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Blobs: named attachments of other objects, without their content."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from xapi_lab.calls.registry import Context, call
from xapi_lab.values import now

OWNERS = ("VM", "SR", "network", "host", "pool")


def _create(context: Context, name: str, mime_type: str, public: bool) -> str:
    return context.db.create(
        "blob", {"name_label": name, "mime_type": mime_type or "application/octet-stream", "public": public,
                 "last_updated": now()}
    )  # fmt: skip


@call("blob.create")
async def create(context: Context, mime_type: str, public: bool = False) -> str:
    return _create(context, "", mime_type, public)


@call("blob.destroy")
async def destroy(context: Context, blob: str) -> None:
    for class_name in OWNERS:
        for owner in context.db.refs(class_name):
            kept = {name: ref for name, ref in context.db.get(class_name, owner, "blobs").items() if ref != blob}
            context.db.set(class_name, owner, "blobs", kept)
    context.db.destroy("blob", blob)


def _new_blob_of(class_name: str) -> Callable[..., Awaitable[str]]:
    async def create_new_blob(context: Context, owner: str, name: str, mime_type: str, public: bool = False) -> str:
        blob = _create(context, name, mime_type, public)
        context.db.put_in_map(class_name, owner, "blobs", name, blob)
        return blob

    return create_new_blob


for _owner in OWNERS:
    call(f"{_owner}.create_new_blob")(_new_blob_of(_owner))
