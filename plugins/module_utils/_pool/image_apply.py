# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out the plan for an image: the upload, and the template around its disk."""

from __future__ import annotations

import typing as t

from .._errors import HardshellError
from .._plan import Change
from . import marks
from .image_file import ImageFile, uploadable
from .image_observe import archived_name, image_vdi_name, uploading_name
from .image_plan import ChangedImage, Image, ImageSpec, NewImage, RemovedImage, Settings
from .session import NULL_REF, Session
from .tasks import Show, TaskTimeout, run_task
from .upload import upload
from .vdis import attach_vdi, create_vdi, destroy_vdi, gone_already, marks_of_its_own
from .vm_facts import Disk


class ImagePerformer:
    """Performs the changes of one image's plan. ``source`` is the file to upload, where one is needed."""

    def __init__(self, session: Session, spec: ImageSpec, source: ImageFile | None, show: Show) -> None:
        self._session = session
        self._spec = spec
        self._source = source
        self._show = show

    def __call__(self, change: Change) -> None:
        payload = change.payload
        if isinstance(payload, NewImage):
            self._make(payload)
        elif isinstance(payload, ChangedImage):
            self._change(payload)
        elif isinstance(payload, RemovedImage):
            self._remove(payload.image)
        elif isinstance(payload, Disk) and payload.vdi:
            destroy_vdi(self._session, payload.vdi, self._show)

    def _make(self, new: NewImage) -> None:
        """The template gets its name last, so that one of that name is always whole."""
        name = self._spec.name
        template = new.uploaded.ref if new.uploaded else self._upload(new)
        if new.uploaded:
            self._mark(template, _version_marks(new.version, new.number))
        for image in new.replaced:
            self._remove(image)
        for image in new.archived:
            asked = f"keep {name!r} as version {image.version}"
            self._session.call("VM.set_name_label", image.ref, archived_name(name, image.version or ""), asked=asked)
        self._session.call("VM.set_name_label", template, name, asked=f"name the template {name!r}")

    def _upload(self, new: NewImage) -> str:
        assert self._source is not None
        assert new.repository is not None
        name = self._spec.name
        own = {marks.IMAGE: name, marks.CHECKSUM: new.checksum}
        versioned = {**own, **_version_marks(new.version, new.number)}
        with uploadable(self._source, self._show) as source:
            vdi = create_vdi(
                self._session,
                name=image_vdi_name(name),
                description="",
                repository=new.repository.ref,
                size=new.size,
                other_config=own,
                asked=f"create the disk of {name!r}",
                show=self._show,
            )
            try:
                upload(
                    self._session,
                    vdi,
                    source.upload_chunks(),
                    source.upload_length(),
                    image_format=source.upload_format(),
                    asked=f"upload {name!r}",
                    show=self._show,
                    timeout=self._spec.upload_timeout,
                )
            except TaskTimeout as late:
                destroy_vdi(self._session, vdi, self._show)
                raise HardshellError(f"{late}; give more in upload_timeout, or see what holds the pool up") from late  # pylint: disable=bad-exception-cause
            except HardshellError:
                destroy_vdi(self._session, vdi, self._show)
                raise
        record = template_record(uploading_name(name), self._spec.settings, versioned)
        template: str = self._session.call("VM.create", record, asked=f"create the template {name!r}")
        marks_of_its_own(self._session, vdi)
        attach_vdi(self._session, template, vdi, position=0, bootable=True, asked=f"attach the disk of {name!r}")
        return template

    def _mark(self, template: str, wanted: t.Mapping[str, str]) -> None:
        for key, value in wanted.items():
            self._session.call("VM.remove_from_other_config", template, key)
            self._session.call("VM.add_to_other_config", template, key, value)

    def _change(self, changed: ChangedImage) -> None:
        template, before, after = changed.image.ref, changed.image.settings, changed.settings
        record = template_record("", after, {})
        if before.description != after.description:
            self._session.call("VM.set_name_description", template, after.description)
        if (before.firmware, before.secure_boot) != (after.firmware, after.secure_boot):
            self._session.call("VM.set_HVM_boot_params", template, record["HVM_boot_params"])
            self._session.call("VM.set_platform", template, record["platform"])
        if changed.version != changed.image.version:
            self._mark(template, _version_marks(changed.version, changed.image.number))
        if before.vcpus != after.vcpus:
            setters = ["VM.set_VCPUs_max", "VM.set_VCPUs_at_startup"]
            for setter in setters if after.vcpus > before.vcpus else reversed(setters):
                self._session.call(setter, template, after.vcpus)
        if (before.memory, before.memory_minimum) != (after.memory, after.memory_minimum):
            limits = (after.memory_minimum, after.memory, after.memory, after.memory)
            self._session.call("VM.set_memory_limits", template, *limits)
        if changed.size is not None and changed.image.disk is not None:
            asked = f"grow the disk of {self._spec.name!r}"
            run_task(self._session, "VDI.resize", changed.image.disk.vdi, changed.size, asked=asked, show=self._show)

    def _remove(self, image: Image) -> None:
        """The disk first: what is left of a template without one is known as unfinished. VMs cloned from it keep their own disks."""
        if image.disk and image.disk.vdi and not image.disk.shared:
            destroy_vdi(self._session, image.disk.vdi, self._show)
        with gone_already():
            self._session.call("VM.destroy", image.ref, asked=f"destroy the template {image.name!r}")


def _version_marks(version: str | None, number: int) -> dict[str, str]:
    return {marks.IMAGE_VERSION: version, marks.IMAGE_NUMBER: str(number)} if version else {}


def template_record(name: str, settings: Settings, other_config: t.Mapping[str, str]) -> dict[str, t.Any]:
    """The record of a new template, from nothing rather than from a shipped template, which a pool may have changed or removed. Pure.

    Its VMs are HVM guests with Xen drivers. Secure boot is said explicitly: left open, it depends on the pool's certificates.
    """
    return {
        "name_label": name,
        "name_description": settings.description or "",
        "user_version": 1,
        "is_a_template": True,
        "affinity": NULL_REF,
        "memory_static_min": settings.memory_minimum,
        "memory_static_max": settings.memory,
        "memory_dynamic_min": settings.memory,
        "memory_dynamic_max": settings.memory,
        "VCPUs_params": {},
        "VCPUs_max": settings.vcpus,
        "VCPUs_at_startup": settings.vcpus,
        "actions_after_shutdown": "destroy",
        "actions_after_reboot": "restart",
        "actions_after_crash": "restart",
        **dict.fromkeys(
            ("PV_bootloader", "PV_kernel", "PV_ramdisk", "PV_args", "PV_bootloader_args", "PV_legacy_args", "PCI_bus"),
            "",
        ),
        "HVM_boot_policy": "BIOS order",
        "HVM_boot_params": {"order": "cd", "firmware": settings.firmware},
        "domain_type": "hvm",
        "platform": {
            "acpi": "1",
            "apic": "true",
            "device_id": "0001",
            "hpet": "true",
            "nx": "true",
            "pae": "true",
            "secureboot": "true" if settings.secure_boot else "false",
            "vga": "std",
            "videoram": "8",
            "viridian": "false",
        },
        "recommendations": (
            "<restrictions>"
            f'<restriction field="memory-static-min" min="{settings.memory_minimum}"/>'
            '<restriction property="number-of-vbds" max="255"/>'
            '<restriction property="number-of-vifs" max="7"/>'
            "</restrictions>"
        ),
        "other_config": dict(other_config),
    }
