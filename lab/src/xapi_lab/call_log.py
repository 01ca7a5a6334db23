# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Counts of the calls that clients made, by method."""

from __future__ import annotations

from collections import Counter


class CallLog:
    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def record(self, method: str) -> None:
        self._counts[method] += 1

    def counts(self) -> dict[str, int]:
        """Calls since the start or the last reset, most frequent first."""
        return dict(self._counts.most_common())

    def reset(self) -> None:
        self._counts.clear()
