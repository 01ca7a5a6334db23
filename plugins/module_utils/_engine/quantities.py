# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Sizes and durations as a person writes them."""

from __future__ import annotations

import math
import re
import typing as t

from .._errors import OptionError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(us|ms|s|m|h))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_NANOSECONDS = {"us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def parse_size(option: str, value: t.Any) -> int:
    """A size in bytes. ``512MiB``, ``512m``, ``1.5g`` and plain bytes; units are binary, as Docker's are."""
    match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise OptionError(option, value, "write a size such as 512MiB, 2g or a number of bytes")
    return math.floor(float(match[1]) * 1024 ** _POWER[match[2].lower()])


def parse_duration(option: str, value: t.Any) -> int:
    """A duration in nanoseconds. ``500ms``, ``2s``, ``1m30s``; a plain number is seconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0:
        return round(value * 10**9)
    text = str(value).strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return round(float(text) * 10**9)
    if not _DURATION.fullmatch(text):
        raise OptionError(option, value, "write a duration such as 500ms, 2s or 1m30s")
    return round(sum(float(number) * _NANOSECONDS[unit] for number, unit in _DURATION_PART.findall(text)))
