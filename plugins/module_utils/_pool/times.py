# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""XAPI's times: UTC, sent as ``20260512T09:05:07Z``, some as ``2026-05-12T09:05:07Z``."""

from __future__ import annotations

import datetime
import re
import typing as t


def parse_time(value: t.Any) -> datetime.datetime | None:
    """A time as XAPI sends it, or None where it is not one. XML-RPC brings an object whose text is the time."""
    digits = re.sub(r"[^0-9]", "", str(value).partition(".")[0])
    try:
        return datetime.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=datetime.UTC)
    except ValueError:
        return None


def iso_time(value: t.Any) -> str:
    """A time for people and programs, as ``2026-05-12T09:05:07Z``; empty where it is none."""
    parsed = parse_time(value)
    return parsed.strftime("%Y-%m-%dT%H:%M:%SZ") if parsed else ""
