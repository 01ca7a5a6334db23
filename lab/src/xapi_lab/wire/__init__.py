# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The two wire formats of XAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class MalformedRequest(Exception):
    """The body is no request at all; the message is what XAPI would print."""


@dataclass(frozen=True)
class Request:
    """A call as it arrived; `style` and `id` say how to answer it."""

    method: str
    params: list[Any]
    style: str = "xml"
    id: Any = None
