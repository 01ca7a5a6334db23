# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Observing the snapshots of one VM: two calls, and a third for a VM that does not have its name any more."""

from __future__ import annotations

from .._errors import HardshellError
from . import marks
from .bulk_reads import Records, field_is, records_where
from .session import Session
from .snapshot_facts import snapshots_of
from .snapshot_plan import ObservedSnapshots
from .vm_identity import find_ours, is_vm
from .vm_spec import VmSpec


def observe_snapshots(session: Session, vm: VmSpec) -> ObservedSnapshots:
    """The VM that is meant, by its marks, with its snapshots. Raises ``HardshellError`` for one that is not ours."""
    by_uuid = f" or {field_is('uuid', vm.uuid)}" if vm.uuid else ""
    named = records_where(session, "VM", field_is("name__label", vm.name) + by_uuid)
    records: Records = named
    ref = find_ours(vm, named)
    if ref is None and not vm.uuid:
        records = records_where(session, "VM", field_is("is_a_template", "false"))
        ref = find_ours(vm, records)
    if ref is None:
        _refuse_strangers(vm, named)
        return ObservedSnapshots()
    record = records[ref]
    taken = records_where(session, "VM", field_is("_ref", *record["snapshots"])) if record["snapshots"] else {}
    return ObservedSnapshots(ref, record["name_label"], record["power_state"].lower(), snapshots_of(taken))


def _refuse_strangers(vm: VmSpec, named: Records) -> None:
    """Raise ``HardshellError`` where a VM has the name or UUID that is not ours."""
    for record in named.values():
        if is_vm(record):
            owner = marks.owner_of_vm(record["other_config"], record["uuid"])
            whose = (
                f"belongs to {owner}" if owner else "carries no marks; hardshell.xen.vm with adopt: true takes it over"
            )
            raise HardshellError(
                f"name: the VM {record['name_label']!r} ({record['uuid']}) is not that of {vm.owner}, but {whose}"
            )
