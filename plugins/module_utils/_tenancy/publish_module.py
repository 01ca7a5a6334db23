# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.container_publish`` does: one call where nothing is to be done, besides the login."""

from __future__ import annotations

import typing as t

from .._module import Context
from .._plan import Change
from .._pool.bulk_reads import Records, field_is, records_where
from .._pool.connection import connection_options
from .._pool.converge import converge
from .._pool.session import Session
from .._pool.vm_identity import find_ours, find_to_adopt
from .._pool.vm_spec import VmSpec
from . import docker_keys
from .publish_plan import ObservedKeys, facts_of, plan_publish, publish_spec


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Publish what an engine reports at its VM, or take it back."""
    spec = publish_spec(parameters, check_mode=context.check_mode)
    with Session(connection_options(parameters), context.warn) as session:
        return converge(
            context,
            "published",
            observe=lambda: _observe(session, spec.vm),
            plan=lambda observed: plan_publish(spec, observed),
            performer=lambda observed: lambda change: _perform(session, str(observed.ref), change),
            facts=lambda observed: facts_of(spec, observed),
        )


def _observe(session: Session, vm: VmSpec) -> ObservedKeys:
    """The VM that is meant, by its marks, or an unmarked one that may be adopted. Raises ``HardshellError`` for one that is not ours."""
    by_uuid = f" or {field_is('uuid', vm.uuid)}" if vm.uuid else ""
    named = records_where(session, "VM", field_is("name__label", vm.name) + by_uuid)
    records: Records = named
    ref = find_ours(vm, named)
    if ref is None and not vm.uuid:
        records = records_where(session, "VM", field_is("is_a_template", "false"))
        ref = find_ours(vm, records)
    if ref is None:
        ref = find_to_adopt(vm, named)
    if ref is None:
        return ObservedKeys()
    record = {**records, **named}[ref]
    keys = {key: text for key, text in record["other_config"].items() if key in docker_keys.KEYS}
    return ObservedKeys(ref, record["uuid"], record["name_label"], keys)


def _perform(session: Session, ref: str, change: Change) -> None:
    for call in change.payload:
        session.call(call.method, *call.on(ref), asked=call.asked)
