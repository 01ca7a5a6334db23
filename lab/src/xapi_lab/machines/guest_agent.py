# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What the QEMU guest agent says of its operating system, in the words of VM_guest_metrics.os_version."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import Any

ANSWER_LIMIT = 64 * 1024
ANSWER_SECONDS = 20.0


def os_version(osinfo: Mapping[str, Any]) -> dict[str, str]:
    """The answer of ``guest-get-osinfo`` as XAPI's tools report it."""
    major, _, minor = str(osinfo.get("version-id", "")).partition(".")
    return {
        "name": str(osinfo.get("pretty-name", "")),
        "distro": str(osinfo.get("id", "")),
        "major": major,
        "minor": minor,
        "uname": str(osinfo.get("kernel-release", "")),
    }


async def ask_os_version(socket_path: str) -> dict[str, str] | None:
    """Ask the agent behind the socket; None when nothing of sense comes back. The guest is not trusted."""
    writer = None
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path, limit=ANSWER_LIMIT)
        writer.write(b'{"execute": "guest-get-osinfo"}\n')
        line = await asyncio.wait_for(reader.readline(), ANSWER_SECONDS)
        answer = json.loads(line)["return"]
        return os_version(answer) if isinstance(answer, dict) else None
    except (OSError, ValueError, KeyError, TypeError, TimeoutError, asyncio.LimitOverrunError):
        return None
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
