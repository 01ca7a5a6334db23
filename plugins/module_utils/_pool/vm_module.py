# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.vm`` does: spec, observe, plan, apply, and wait."""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .._module import Context
from .._plan import ApplyError, Plan, carry_out
from .connection import connection_options
from .session import Session
from .vm_apply import VmPerformer
from .vm_facts import Vm
from .vm_observe import observe
from .vm_plan import plan_vm
from .vm_spec import VmSpec, vm_spec
from .wait_guest import chosen_address, settled, wait_for_guest
from .xapi_errors import ConnectionLost

ATTEMPTS = 4


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Bring one VM to what is asked for."""
    spec = vm_spec(parameters)
    with Session(connection_options(parameters), context.warn) as session:
        return _converge(session, spec, context)


def _converge(session: Session, spec: VmSpec, context: Context) -> dict[str, t.Any]:
    announced: Plan | None = None
    for attempt in range(1, ATTEMPTS + 1):
        observed = observe(session, spec)
        if context.check_mode:
            observed = replace(observed, pool=observed.pool.with_networks(spec.planned_networks))
        outcome = plan_vm(spec, observed)
        if announced is None:
            announced = outcome.plan
            for warning in outcome.warnings:
                context.warn(warning)
        result = announced.result(context.diff_mode)
        if context.check_mode:
            return {**result, "vm": _facts(spec, outcome.vm)}
        if not outcome.plan.changed:
            return {**result, "vm": _waited_for(session, spec, observed.vm, context)}
        try:
            journal = carry_out(
                outcome.plan, VmPerformer(session, spec, observed, context.progress), progress=context.progress
            )
        except ApplyError as error:
            # A call of which nobody knows whether it took effect: look again, and do what is left.
            if not isinstance(error.cause, ConnectionLost) or attempt == ATTEMPTS:
                raise
            context.progress(f"{error.cause}; looking at the pool again")
            continue
        vm = None if spec.state == "absent" else observe(session, spec).vm
        return {**result, "journal": journal.summaries(), "vm": _waited_for(session, spec, vm, context)}
    raise AssertionError("unreachable")


def _facts(spec: VmSpec, vm: Vm | None) -> dict[str, t.Any] | None:
    if vm is None or spec.state == "absent":
        return None
    return vm.facts(chosen_address(spec.wait, vm.nics) if spec.wait else None)


def _waited_for(session: Session, spec: VmSpec, vm: Vm | None, context: Context) -> dict[str, t.Any] | None:
    """The VM's facts, once all is there that was asked for."""
    if vm is None or spec.wait is None:
        return _facts(spec, vm)
    reported = settled(spec.wait, vm)
    address = wait_for_guest(session, vm, spec.wait, context.progress)
    seen = None if reported else observe(session, spec).vm
    return (seen or vm).facts(address)
