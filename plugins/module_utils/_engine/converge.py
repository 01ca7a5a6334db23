# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""One task of ``container_set``: observe, plan, and, outside of check mode, apply."""

from __future__ import annotations

import dataclasses
import time
import typing as t
import uuid

from .._errors import HardshellError
from .._module import Context
from .._plan import ApplyError, Change, Plan
from . import names
from .adopt import observe_set, refuse_unadoptable
from .api import Engine
from .apply import Applier
from .findings import container_findings, in_order, way_findings
from .images import bring, image_facts, list_images, plan_images
from .listing import announced_listing, listing, read_engine
from .observe import Observed, list_volumes, observe, with_volumes
from .plan import needed_volumes, plan
from .refuse import (
    refuse_foreign,
    refuse_foreign_volumes,
    refuse_networks,
    refuse_other_volumes,
    refuse_taken_ports,
    refuse_unknown,
)
from .report import predict, report_container, report_set
from .rollback import bring_back, insist
from .spec import SetSpec
from .steps import steps
from .wanted import Wanted, settle

JSON = dict[str, t.Any]


def converge(engine: Engine, spec: SetSpec, context: Context) -> JSON:
    """Make the set what ``spec`` says; in check mode only say what would be done. Returns the task's result."""
    for warning in spec.warnings:
        context.warn(warning)
    observed = observe_set(engine, spec, volumes=spec.remove_volumes or bool(spec.driver_opts))
    refuse_unknown(spec, engine.api)
    refuse_foreign(spec, observed)
    refuse_networks(spec, observed)
    refuse_other_volumes(spec, observed)
    refuse_taken_ports(spec, observed)
    images = plan_images(engine, spec, observed)
    if images and not context.check_mode:
        for change in images:
            context.progress(str(change))
            bring(engine, change, spec.registries, context.progress)
        observed = dataclasses.replace(observed, images=list_images(engine))
    pending = images if context.check_mode else []
    wanted = settle(spec, image_facts(engine, spec, observed, pending), engine.api)
    refuse_unadoptable(wanted, observed)
    needed = needed_volumes(wanted, observed)
    if needed:
        if observed.volumes is None:
            observed = with_volumes(observed, list_volumes(engine))
        refuse_foreign_volumes(spec, observed, needed)
    containers = plan(spec, observed, wanted)
    whole = _with_images(images, containers)
    about = read_engine(engine) if whole.changed else {}
    _warn_of_old_engine(engine, wanted, context)
    if context.check_mode or not containers.changed:
        members = _announced_members(spec, observed, wanted, whole)
        listed = announced_listing(spec, observed, wanted, containers)
    else:
        members, now = _apply(engine, spec, observed, wanted, containers, context)
        listed = listing(now.listed, now.containers)
    values = {name: {**member.values, "network_mode": member.network} for name, member in wanted.items()}
    return {
        "container_set": report_set(spec, members),
        "findings": in_order(
            [
                *way_findings(spec.tenant, engine.host, verified=engine.verified),
                *container_findings(spec.tenant, spec.name, values),
            ]
        ),
        "engine": {**about, "containers": listed},
        **whole.result(context.diff_mode),
    }


def _with_images(images: list[Change], containers: Plan) -> Plan:
    before = {change.id: change.before for change in images if change.before is not None}
    after = {change.id: change.after for change in images}
    return Plan((*images, *containers.changes), {**before, **containers.before}, {**after, **containers.after})


def _warn_of_old_engine(engine: Engine, wanted: t.Mapping[str, Wanted], context: Context) -> None:
    if engine.api < (1, 44):
        for name, member in wanted.items():
            if member.spec.asked.get("healthcheck", {}).get("start_interval"):
                context.warn(
                    f"containers.{name}.healthcheck.start_interval: this engine does not know it (Docker Engine 25 does) and checks at the usual interval"
                )


def _announced_members(
    spec: SetSpec, observed: Observed, wanted: t.Mapping[str, Wanted], whole: Plan
) -> dict[str, JSON]:
    changed = {change.name for change in whole.changes if change.kind == "container"}
    current = observed.current()
    return {
        name: predict(member, observed.images, names.container_name(spec.name, name))
        if name in changed or name not in current
        else report_container(current[name], observed.images)
        for name, member in wanted.items()
    }


def _apply(
    engine: Engine, spec: SetSpec, observed: Observed, wanted: t.Mapping[str, Wanted], planned: Plan, context: Context
) -> tuple[dict[str, JSON], Observed]:
    """Carry the plan out, all or nothing. Returns the members, and what the engine holds then."""
    applier = Applier(engine, spec, uuid.uuid4().hex[:12], time.monotonic() + spec.wait_timeout)
    try:
        applier.carry_out(steps(planned), context.progress)
    except HardshellError as error:
        _recover(engine, spec, observed, wanted, applier, error, context)
    for warning in applier.engine_warnings:
        context.warn(warning)
    now = observe(engine, spec.name)
    members = {
        name: report_container(container, now.images, applier.seconds.get(name))
        for name, container in sorted(now.current().items())
        if spec.present
    }
    return members, now


def _recover(
    engine: Engine,
    spec: SetSpec,
    before: Observed,
    wanted: t.Mapping[str, Wanted],
    applier: Applier,
    error: HardshellError,
    context: Context,
) -> None:
    """Return only when the new set is whole after all; else the old set is back and the task fails."""
    cause = error.cause if isinstance(error, ApplyError) else error
    context.progress(f"failed: {cause}; taking it back")

    def back_or_forward() -> bool:
        back = bring_back(engine, spec, before, applier.transaction, context.progress)
        if not back:
            now = observe_set(engine, spec, volumes=True)
            applier.carry_out(steps(plan(spec, now, wanted)), context.progress)
        return back

    try:
        back = insist(engine, back_or_forward)
    except HardshellError as second:
        raise HardshellError(
            f"{error.message}. Neither the old nor the new set could be completed: {second.message}. "
            "Run the task again: it finishes or takes back what is left",
            **error.details,
        ) from error
    if not back:
        context.warn(f"the deploy was disturbed when the new set was running already, and has been finished: {cause}")
        return
    had_members = any(container.running for container in before.current().values())
    outcome = "The set runs as it did before" if had_members else "Nothing of it is left"
    raise HardshellError(f"{error.message}\n{outcome}.", **error.details) from error
