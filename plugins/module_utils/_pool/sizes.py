# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Sizes as people write them. All results are bytes."""

from __future__ import annotations

import re
import typing as t

from .._errors import OptionError

_UNITS = {
    "": 1,
    "B": 1,
    **{f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
}
_BY_LOWER_CASE = {unit.lower(): factor for unit, factor in _UNITS.items()}
MIB = 1024**2
GIB = 1024**3
VDI_STEP = 2 * MIB
MOST_BYTES = 2**60
"""Far beyond any pool, and so that sums of them stay within XAPI's 64 bits."""


def parse_size(option: str, value: t.Any) -> int:
    """Bytes of ``1GiB``, ``512 MiB``, ``2GB`` or a number of bytes. Raises ``OptionError``."""
    match = re.fullmatch(r"\s*(\d{1,24}(?:\.\d{1,24})?)\s*([A-Za-z]*)\s*", str(value))
    factor = _BY_LOWER_CASE.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise OptionError(
            option, value, "give a number and a unit of KiB, MiB, GiB, TiB, KB, MB, GB or TB, such as 2GiB"
        )
    size = int(match[1]) * factor if "." not in match[1] else round(float(match[1]) * factor)
    if not 1 <= size <= MOST_BYTES:
        raise OptionError(option, value, "give a size above zero and below 1024 PiB, such as 2GiB")
    return size


def rounded_to_vdi(size: int) -> int:
    """The virtual size that a VHD of ``size`` bytes gets: the next multiple of 2 MiB."""
    return -(-size // VDI_STEP) * VDI_STEP


def shown(size: int) -> str:
    """A size for a person: exact in the largest binary unit that keeps it whole, else with one decimal."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _UNITS[unit]
        if size >= factor:
            return f"{size // factor} {unit}" if size % factor == 0 else f"{size / factor:.1f} {unit}"
    return f"{size} B"
