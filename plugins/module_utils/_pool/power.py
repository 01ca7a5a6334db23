# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""From one power state to another, by the operations that XAPI allows in each. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .._errors import HardshellError
from .._plan import Change


@dataclass(frozen=True)
class PowerStep:
    """One operation: what a person reads, XAPI's message, its arguments after the VM, and the state it leads to.

    ``returns_to``: the state that the VM is to come back to, to be noted on it first; ``ends_cycle``: the note is taken away afterwards.
    """

    action: str
    message: str
    arguments: tuple[bool | str, ...]
    leads_to: str
    returns_to: str | None = field(default=None, compare=False)
    ends_cycle: bool = field(default=False, compare=False)


START = PowerStep("start", "start", (False, False), "running")
START_PAUSED = PowerStep("start paused", "start", (True, False), "paused")
RESUME = PowerStep("resume", "resume", (False, False), "running")
RESUME_PAUSED = PowerStep("resume paused", "resume", (True, False), "paused")
UNPAUSE = PowerStep("unpause", "unpause", (), "running")
PAUSE = PowerStep("pause", "pause", (), "paused")
SUSPEND = PowerStep("suspend", "suspend", (), "suspended")
SHUT_DOWN = PowerStep("shut down", "clean_shutdown", (), "halted")
REBOOT = PowerStep("reboot", "clean_reboot", (), "running")
TURN_OFF = PowerStep("turn off", "hard_shutdown", (), "halted")

# A guest that is paused or suspended has to run again before it can shut down cleanly.
_STEPS: dict[tuple[str, str], tuple[PowerStep, ...]] = {
    ("halted", "running"): (START,),
    ("halted", "paused"): (START_PAUSED,),
    ("halted", "suspended"): (START, SUSPEND),
    ("running", "halted"): (SHUT_DOWN,),
    ("running", "paused"): (PAUSE,),
    ("running", "suspended"): (SUSPEND,),
    ("paused", "running"): (UNPAUSE,),
    ("paused", "halted"): (UNPAUSE, SHUT_DOWN),
    ("paused", "suspended"): (UNPAUSE, SUSPEND),
    ("suspended", "running"): (RESUME,),
    ("suspended", "paused"): (RESUME_PAUSED,),
    ("suspended", "halted"): (RESUME, SHUT_DOWN),
}


def power_steps(current: str, wanted: str) -> tuple[PowerStep, ...]:
    """The operations that bring a VM from one power state to another."""
    return _STEPS.get((current, wanted), ())


def on_host(step: PowerStep, host: str) -> PowerStep:
    """A start or a resumption, on the host of that reference."""
    return replace(step, message=f"{step.message}_on", arguments=(host, *step.arguments))


def restart_steps(current: str) -> tuple[PowerStep, ...]:
    """The operations that restart a VM; a halted one is started."""
    if current == "halted":
        return (START,)
    return (*power_steps(current, "running"), REBOOT)


def removal_steps(current: str) -> tuple[PowerStep, ...]:
    """The operations before a VM is destroyed. What a paused or suspended guest had in mind is given up with it."""
    if current == "running":
        return (SHUT_DOWN,)
    return () if current == "halted" else (TURN_OFF,)


def noted(
    down: tuple[PowerStep, ...], up: tuple[PowerStep, ...], final: str, *, noted_already: bool
) -> tuple[tuple[PowerStep, ...], tuple[PowerStep, ...]]:
    """The steps down and up with the note by which a VM that is halted for a change is brought back, should the run end between them."""
    if down and up:
        down = (replace(down[0], returns_to=final), *down[1:])
    if up and (down or noted_already):
        up = (*up[:-1], replace(up[-1], ends_cycle=True))
    elif down and noted_already:
        down = (*down[:-1], replace(down[-1], ends_cycle=True))
    return down, up


def refuse_blocked(name: str, blocked: t.Mapping[str, str], steps: tuple[PowerStep, ...]) -> None:
    """Raise ``HardshellError`` for a step that the VM's ``blocked_operations`` forbid."""
    for step in steps:
        if step.message in blocked:
            raise HardshellError(
                f"state: {step.message} of {name!r} is blocked ({blocked[step.message]}); "
                f"allow it first, by a task with blocked_operations: {{{step.message}: null}}"
            )


def power_changes(name: str, current: str, steps: tuple[PowerStep, ...], start_at: int = 0) -> list[Change]:
    """The steps as changes of a plan. ``start_at`` keeps the ids of two such lists apart."""
    changes = []
    for number, step in enumerate(steps, start_at):
        before, after = {"power_state": current}, {"power_state": step.leads_to}
        changes.append(Change(f"power:{number}", step.action, "vm", name, before, after, payload=step))
        current = step.leads_to
    return changes
