# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The tables that a person reads where a quota or a pool is too small. Pure."""

from __future__ import annotations

import typing as t

from .._pool.sizes import shown
from .quota import Balance, Shortage, Verdict
from .quota_spec import SIZES


def refusal(verdict: Verdict) -> list[str]:
    """What is refused and why, as lines; none where nothing is."""
    lines: list[str] = []
    over = [balance for balance in verdict.balances if balance.refused]
    if over:
        lines += _table(
            ("TENANT", "RESOURCE", "QUOTA", "IN USE", "ASKED", "OVER BY"), [_quota_cells(each) for each in over]
        )
    if verdict.shortages:
        lines += [""] if lines else []
        lines += _table(
            ("POOL", "RESOURCE", "FREE", "ASKED", "OVER BY", "ASKED BY"),
            [_shortage_cells(each) for each in verdict.shortages],
        )
    return lines


def over_already(verdict: Verdict) -> list[str]:
    """Quotas that are exceeded by what is there: to be told of, and no reason to refuse what makes it no worse."""
    return [
        f"tenant {each.tenant} is over its quota of {each.resource}: "
        f"{_amount(each.resource, each.in_use + each.asked)} of {_amount(each.resource, each.quota or 0)}"
        for each in verdict.balances
        if each.over and not each.refused
    ]


def _quota_cells(balance: Balance) -> tuple[str, ...]:
    amounts = (balance.quota or 0, balance.in_use, balance.asked, balance.over)
    return (balance.tenant, balance.resource, *(_amount(balance.resource, amount) for amount in amounts))


def _shortage_cells(shortage: Shortage) -> tuple[str, ...]:
    amounts = (shown(amount) for amount in (shortage.free, shortage.asked, shortage.over))
    return (shortage.where, shortage.resource, *amounts, ", ".join(shortage.vms))


def _amount(resource: str, amount: int) -> str:
    if resource not in SIZES:
        return str(amount)
    return f"-{shown(-amount)}" if amount < 0 else shown(amount)


def _table(heads: tuple[str, ...], rows: t.Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *rows)
    ]
