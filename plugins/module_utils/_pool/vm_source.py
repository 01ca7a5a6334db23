# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a new VM is cloned or copied from: a template, another VM or a snapshot, by name or UUID. Reads only."""

from __future__ import annotations

import typing as t

from .._errors import OptionError
from . import marks
from .bulk_reads import Records, field_is, records_where, snapshot_of
from .pool_facts import near_names, one_named
from .session import NULL_REF, Record, Session
from .vm_facts import Origin, Template
from .vm_identity import is_vm
from .vm_settings import settings_of
from .vm_spec import VmSpec

if t.TYPE_CHECKING:
    from .vm_observe import VmReader

_KINDS = {"template": "template", "source": "VM or snapshot"}


def read_source(session: Session, reader: VmReader, spec: VmSpec) -> Template | None:
    """The source that a spec names, with its devices; None where it names none. Raises ``HardshellError``."""
    option, wanted = ("source", spec.source) if spec.source else ("template", spec.template)
    if not wanted:
        return None
    suits = _is_template if option == "template" else _is_vm_or_snapshot
    which = f"{field_is('name__label', wanted)} or {field_is('uuid', wanted)}" if '"' not in wanted else "false"
    found = {ref: record for ref, record in records_where(session, "VM", which).items() if suits(record)}
    if not found:
        flag = 'field "is_a_template" = "true"' if option == "template" else 'field "is_control_domain" = "false"'
        names = [record["name_label"] for record in records_where(session, "VM", flag).values() if suits(record)]
        expected = f"the pool has no {_KINDS[option]} of that name or UUID; {near_names(wanted, names)}"
        raise OptionError(option, wanted, expected)
    candidates = [Template(record["name_label"], record["uuid"], ref) for ref, record in found.items()]
    ref = one_named(option, wanted, candidates, _KINDS[option]).ref
    if option == "source":
        _refuse_unfit(spec, wanted, found[ref])
    return _with_devices(session, reader, ref, found[ref])


def origins_in(spec: VmSpec, records: Records) -> tuple[Origin, ...]:
    """What the option ``template`` names among these records."""
    named = (record for record in records.values() if _is_template(record))
    return tuple(_origin(each) for each in named if spec.template in (each["name_label"], each["uuid"]))


def names_template(spec: VmSpec) -> str:
    """The expression that finds the template that is named."""
    wanted = spec.template
    return f"{field_is('name__label', wanted)} or {field_is('uuid', wanted)}" if wanted and '"' not in wanted else ""


def _origin(template: Record) -> Origin:
    """An image is the same whenever it was uploaded; of another template only the pool's UUID tells which it is."""
    other_config = template["other_config"]
    checksum = other_config.get(marks.CHECKSUM) if marks.IMAGE in other_config else None
    return Origin(checksum or template["uuid"], template["name_label"])


def _is_template(record: Record) -> bool:
    return record["is_a_template"] and not record["is_a_snapshot"] and marks.MAKING not in record["other_config"]


def _is_vm_or_snapshot(record: Record) -> bool:
    return (is_vm(record) or record["is_a_snapshot"]) and marks.MAKING not in record["other_config"]


def _refuse_unfit(spec: VmSpec, wanted: str, record: Record) -> None:
    """A VM holds its tenant's data, so copied marks count here too, and so does the tag, which a revert leaves."""
    others = {tag.removeprefix(marks.TENANT_TAG) for tag in record["tags"] if tag.startswith(marks.TENANT_TAG)}
    others = (others | {record["other_config"].get(marks.TENANT, spec.owner.tenant)}) - {spec.owner.tenant}
    if others:
        raise OptionError("source", wanted, f"it holds data of {', '.join(sorted(others))}, not of {spec.owner.tenant}")
    if is_vm(record) and record["power_state"] != "Halted":
        expected = (
            f"it is {record['power_state'].lower()}, and XAPI clones halted VMs only; halt it, or name a snapshot of it"
        )
        raise OptionError("source", wanted, expected)


def _with_devices(session: Session, reader: VmReader, ref: str, record: Record) -> Template:
    devices = [f"vbd/{vbd}" for vbd in record["VBDs"]] + [f"vif/{vif}" for vif in record["VIFs"]]
    seen = snapshot_of(session, *devices) if devices else {}
    refs = [vbd["VDI"] for vbd in seen.get("vbd", {}).values() if vbd["VDI"] != NULL_REF]
    vdis: Records = records_where(session, "VDI", field_is("_ref", *refs)) if refs else {}
    inside = reader.of_any_owner(vdis)
    return Template(
        name=record["name_label"],
        uuid=record["uuid"],
        ref=ref,
        settings=settings_of(record, {}, {}, reader.pool),
        disks=tuple(disk for disk in inside.disks(seen.get("vbd", {}).values()) if disk.checksum is None),
        nics=tuple(inside.nics(seen.get("vif", {}), {})),
        cd=inside.cd(seen.get("vbd", {})),
        occupied=inside.occupied(seen.get("vbd", {})),
        origin=_origin(record) if _is_template(record) else None,
    )
