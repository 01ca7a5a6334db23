# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Observing an image: templates with our marks, and what interrupted uploads left."""

from __future__ import annotations

from . import marks
from .bulk_reads import POOL_CLASSES, Records, field_is, held_elsewhere, records_where, snapshot_of
from .image_plan import Image, ObservedImage, Settings
from .pool_facts import Pool, pool_from_records
from .session import NULL_REF, Record, Session
from .vm_facts import Disk


def uploading_name(name: str) -> str:
    """The name of a template until it is whole."""
    return f"{name} (hardshell.xen is uploading it)"


def archived_name(name: str, version: str) -> str:
    """The name of a template that is an older version of the image."""
    return f"{name} {version}"


def image_vdi_name(name: str) -> str:
    return f"{name} image"


def observe_image(session: Session, name: str) -> ObservedImage:
    """What the pool holds of the image of that name."""
    # By a mark, which XAPI cannot look for: the names of older versions are not known.
    templates = records_where(session, "VM", '(field "is_a_template" = "true") and (field "is_a_snapshot" = "false")')
    ours = {ref: record for ref, record in templates.items() if _is_ours(record, name)}
    seen = snapshot_of(
        session, *POOL_CLASSES, "pbd", *(f"vbd/{vbd}" for record in ours.values() for vbd in record["VBDs"])
    )
    pool = pool_from_records(seen)
    vbds = seen.get("vbd", {})
    refs = [vbd["VDI"] for vbd in vbds.values() if vbd["VDI"] != NULL_REF]
    by_name = field_is("name__label", image_vdi_name(name))
    found = records_where(session, "VDI", f"{field_is('_ref', *refs)} or {by_name}" if refs else by_name)
    vdis = {ref: vdi for ref, vdi in found.items() if ref in refs or vdi["other_config"].get(marks.IMAGE) == name}
    held = held_elsewhere(session, pool, vdis, vbds)
    return ObservedImage(
        pool=pool,
        images=tuple(_image(ref, record, name, vbds, vdis, pool, held) for ref, record in ours.items()),
        strangers=tuple(
            record["uuid"] for ref, record in templates.items() if ref not in ours and record["name_label"] == name
        ),
        loose_disks=tuple(
            _disk(ref, vdi, pool, shared=False)
            for ref, vdi in vdis.items()
            if ref not in refs and ref not in held and not vdi["is_a_snapshot"] and not _is_copy(vdi)
        ),
    )


def _is_copy(vdi: Record) -> bool:
    return marks.is_copy(vdi["other_config"], vdi["uuid"])


def _is_ours(record: Record, name: str) -> bool:
    """Whether a template is the image, in any of its versions. A clone of it has its marks too, and another name."""
    other_config = record["other_config"]
    named = (name, uploading_name(name), archived_name(name, other_config.get(marks.IMAGE_VERSION, "")))
    return other_config.get(marks.IMAGE) == name and record["name_label"] in named


def _image(
    ref: str, record: Record, name: str, vbds: Records, vdis: Records, pool: Pool, held: frozenset[str]
) -> Image:
    vdi = next((vbd["VDI"] for vbd in vbds.values() if vbd["VM"] == ref and vbd["VDI"] in vdis), None)
    return Image(
        ref=ref,
        uuid=record["uuid"],
        name=name,
        checksum=record["other_config"].get(marks.CHECKSUM, ""),
        settings=Settings(
            description=record["name_description"],
            firmware=record["HVM_boot_params"].get("firmware", "bios"),
            secure_boot=record["platform"].get("secureboot") == "true",
            vcpus=int(record["VCPUs_max"]),
            memory=int(record["memory_static_max"]),
            memory_minimum=int(record["memory_static_min"]),
        ),
        disk=None if vdi is None else _disk(vdi, vdis[vdi], pool, shared=vdi in held),
        published=record["name_label"] == name,
        version=record["other_config"].get(marks.IMAGE_VERSION),
        number=int(record["other_config"].get(marks.IMAGE_NUMBER, "0")),
    )


def _disk(ref: str, vdi: Record, pool: Pool, *, shared: bool) -> Disk:
    sr = next((repository.name for repository in pool.storage if repository.ref == vdi["SR"]), str(vdi["SR"]))
    return Disk(marks.ROOT_DISK, int(vdi["virtual_size"]), sr, uuid=vdi["uuid"], vdi=ref, shared=shared)
