# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Observe, plan, apply, and look again where a connection was lost: what every module that changes a pool does."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._module import Context
from .._plan import ApplyError, Perform, Plan, carry_out
from .xapi_errors import ConnectionLost

ATTEMPTS = 4
Observed = t.TypeVar("Observed")
Facts = t.Optional[dict[str, t.Any]]  # noqa: UP045  (ansible-test's pylint knows no `|` of classes here)


@dataclass(frozen=True)
class Outcome:
    """A plan, and what the module will return of its object once it is carried out; what only the pool can know is None there."""

    plan: Plan
    facts: Facts
    warnings: tuple[str, ...] = ()


def converge(
    context: Context,
    returned: str,
    *,
    observe: t.Callable[[], Observed],
    plan: t.Callable[[Observed], Outcome],
    performer: t.Callable[[Observed], Perform],
    facts: t.Callable[[Observed], Facts],
) -> dict[str, t.Any]:
    """The result of a module, with its object under the key ``returned``.

    A call of which nobody knows whether it took effect has the pool observed and planned for again, a few times.
    """
    announced: Outcome | None = None
    for attempt in range(1, ATTEMPTS + 1):
        observed = observe()
        outcome = plan(observed)
        if announced is None:
            announced = outcome
            for warning in outcome.warnings:
                context.warn(warning)
        result = announced.plan.result(context.diff_mode)
        if context.check_mode or not outcome.plan.changed:
            return {**result, returned: outcome.facts}
        try:
            journal = carry_out(outcome.plan, performer(observed), progress=context.progress)
        except ApplyError as error:
            if not isinstance(error.cause, ConnectionLost) or attempt == ATTEMPTS:
                raise
            context.progress(f"{error.cause}; looking at the pool again")
            continue
        return {**result, "journal": journal.summaries(), returned: facts(observe())}
    raise AssertionError("unreachable")
