# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.image`` is asked for, what a pool holds of it, and the plan between them. Pure."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

from .._errors import HardshellError, OptionError
from .._plan import Change, Plan
from .disks import refuse_full
from .option_checks import refuse_unwritable, seconds
from .pool_facts import Pool, StorageRepository
from .sizes import parse_size, rounded_to_vdi, shown
from .vm_facts import Disk

FIRMWARES = ("bios", "uefi")


@dataclass(frozen=True)
class Settings:
    """What a template gives to the VMs made from it. Memory is bytes."""

    description: str | None
    firmware: str
    secure_boot: bool
    vcpus: int
    memory: int
    memory_minimum: int


@dataclass(frozen=True)
class ImageSpec:
    """One image as it is asked for. ``size`` is bytes."""

    name: str
    state: str
    settings: Settings
    path: str | None = None
    url: str | None = None
    checksum: str | None = None
    image_format: str = "auto"
    size: int | None = None
    sr: str | None = None
    upload_timeout: int = 3600
    version: str | None = None
    keep: int | None = None


@dataclass(frozen=True)
class Image:
    """A template with our marks. ``disk`` is None where an interrupted run did not come to attach it.

    ``published``: it has the image's own name, which makes it the current version. ``number`` is higher the later it became that.
    """

    ref: str
    uuid: str
    name: str
    checksum: str
    settings: Settings
    disk: Disk | None
    published: bool
    version: str | None = None
    number: int = 0

    def facts(self) -> dict[str, t.Any]:
        return image_facts(self.name, self.checksum, self.settings, self.disk, self.uuid, self.version)


@dataclass(frozen=True)
class ObservedImage:
    """``strangers`` are UUIDs of templates of that name without our marks; ``loose_disks`` are left by interrupted uploads."""

    pool: Pool
    images: tuple[Image, ...] = ()
    strangers: tuple[str, ...] = ()
    loose_disks: tuple[Disk, ...] = ()

    def matching(self, checksum: str) -> Image | None:
        """The template with that content, whole; one that has its name before one that is still to get it."""
        whole = [image for image in self.images if image.checksum == checksum and image.disk is not None]
        return next((image for image in whole if image.published), whole[0] if whole else None)


@dataclass(frozen=True)
class NewImage:
    """An image to be uploaded, or only to get its name where ``uploaded`` is there already; then ``replaced`` go, and ``archived``
    give up the name."""

    checksum: str
    size: int
    repository: StorageRepository | None
    uploaded: Image | None
    replaced: tuple[Image, ...]
    archived: tuple[Image, ...]
    version: str | None
    number: int


@dataclass(frozen=True)
class ChangedImage:
    image: Image
    settings: Settings
    size: int | None
    version: str | None


@dataclass(frozen=True)
class RemovedImage:
    image: Image


def image_spec(parameters: t.Mapping[str, t.Any]) -> ImageSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    refuse_unwritable(parameters)
    name = parameters["name"]
    if not name.strip() or '"' in name or not name.isprintable():
        raise OptionError("name", name, "give a name of printable characters without double quotes")
    checksum = (parameters["checksum"] or "").strip().lower() or None
    if checksum is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", checksum):
        raise OptionError(
            "checksum", parameters["checksum"], "give sha256: and 64 hexadecimal digits, as sha256sum prints them"
        )
    url = parameters["url"] or None
    if url is not None and not url.startswith(("https://", "http://", "file:///")):
        raise OptionError("url", url, "give an https, http or file URL")
    memory = parse_size("memory", parameters["memory"])
    minimum = parse_size("memory_minimum", parameters["memory_minimum"])
    if minimum > memory:
        raise OptionError(
            "memory_minimum", parameters["memory_minimum"], f"it is more than memory, which is {shown(memory)}"
        )
    if parameters["secure_boot"] and parameters["firmware"] != "uefi":
        raise OptionError("secure_boot", True, "only UEFI verifies what it boots; set firmware: uefi")
    if not 1 <= parameters["vcpus"] <= 64:
        raise OptionError("vcpus", parameters["vcpus"], "give a number from 1 to 64")
    version = parameters["version"] or None
    if version is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+~-]*", version):
        raise OptionError("version", version, "give letters, digits and . _ + ~ - such as 12.20251124")
    if parameters["keep"] is not None and parameters["keep"] < 1:
        raise OptionError("keep", parameters["keep"], "give a number from 1: the current version is one of them")
    return ImageSpec(
        name=name,
        version=version,
        keep=parameters["keep"],
        state=parameters["state"],
        settings=Settings(
            parameters["description"],
            parameters["firmware"],
            parameters["secure_boot"],
            parameters["vcpus"],
            memory,
            minimum,
        ),
        path=parameters["path"] or None,
        url=url,
        checksum=checksum,
        image_format=parameters["format"],
        size=parse_size("size", parameters["size"]) if parameters["size"] else None,
        sr=parameters["sr"] or None,
        upload_timeout=seconds("upload_timeout", parameters["upload_timeout"]),
    )


def plan_image(
    spec: ImageSpec, observed: ObservedImage, checksum: str | None, virtual_size: int | None, image_format: str | None
) -> tuple[Plan, dict[str, t.Any] | None]:
    """The plan, and the image's facts after it.

    ``checksum`` is the file's, None for ``absent``; ``virtual_size`` of its disk, and its format, are None where they are not known.
    """
    if observed.strangers:
        uuids = ", ".join(observed.strangers)
        raise HardshellError(
            f"name: the pool has a template {spec.name!r} ({uuids}) that this module did not make; "
            "choose another name, or rename or remove that one in the pool"
        )
    leftovers = [_disk_deleted(disk) for disk in observed.loose_disks]
    if spec.state == "absent":
        gone = [image for image in observed.images if spec.version in (None, image.version)]
        return Plan((*leftovers, *map(_removed, gone)), gone[0].facts() if gone else {}, {}), None
    assert checksum is not None
    current = observed.matching(checksum)
    kept, outdated = _sorted_out(spec, [image for image in observed.images if image is not current])
    if current is None or not current.published:
        return _upload(spec, observed, checksum, virtual_size, image_format, leftovers, current, kept, outdated)
    settings = replace(spec.settings, description=_kept(spec.settings.description, current.settings.description))
    assert current.disk is not None
    size = _grown(spec, current.disk)
    after = replace(
        current,
        settings=settings,
        disk=replace(current.disk, size=size or current.disk.size),
        version=spec.version or current.version,
    )
    changes = [*leftovers, *(_removed(image, _OUTDATED) for image in outdated)]
    if after != current:
        before, shown_after = current.facts(), after.facts()
        changed = [key for key in before if before[key] != shown_after[key]]
        changes.append(
            Change(
                "image",
                "update",
                "image",
                spec.name,
                {key: before[key] for key in changed},
                {key: shown_after[key] for key in changed},
                payload=ChangedImage(current, settings, size, after.version),
            )
        )
    return Plan(tuple(changes), current.facts(), after.facts()), after.facts()


def _upload(
    spec: ImageSpec,
    observed: ObservedImage,
    checksum: str,
    virtual_size: int | None,
    image_format: str | None,
    leftovers: list[Change],
    uploaded: Image | None,
    kept: list[Image],
    outdated: list[Image],
) -> tuple[Plan, dict[str, t.Any]]:
    repository, disk, size = None, None, 0
    if uploaded is None:
        repository = observed.pool.storage_repository("sr", spec.sr)
        if spec.size is not None and image_format == "vhd":
            raise OptionError(
                "size", spec.size, "a VHD is taken as it is; leave size out and have the VM's root disk grown instead"
            )
        if spec.size is not None and virtual_size is not None and spec.size < virtual_size:
            raise OptionError("size", spec.size, f"the image's disk has {shown(virtual_size)}; ask for that or more")
        size = rounded_to_vdi(max(spec.size or 0, virtual_size or 0))
        refuse_full(observed.pool, {repository.ref: size})
        disk = Disk("root", size, repository.name)
    settings = replace(spec.settings, description=spec.settings.description or "")
    after = image_facts(
        spec.name,
        checksum,
        settings,
        uploaded.disk if uploaded else disk,
        uploaded.uuid if uploaded else None,
        spec.version or (uploaded.version if uploaded else None),
    )
    before = next((image.facts() for image in (*kept, *outdated) if image.published), None)
    numbers = [image.number for image in observed.images]
    change = Change(
        "image",
        "update" if before else "create",
        "image",
        spec.name,
        before and {key: before[key] for key in ("checksum", "version")},
        {"checksum": checksum, "version": after["version"]},
        reason="it is there already, under another name" if uploaded else "",
        payload=NewImage(
            checksum,
            size,
            repository,
            uploaded,
            tuple(outdated),
            tuple(image for image in kept if image.published),
            after["version"],
            max(numbers, default=0) + 1,
        ),
    )
    return Plan((*leftovers, change), before or {}, after), after


_OUTDATED = "another image of this name is current, and older versions are not kept"


def _sorted_out(spec: ImageSpec, others: t.Sequence[Image]) -> tuple[list[Image], list[Image]]:
    """Those of the other images that stay as older versions, the latest first, and those that go. Raises ``OptionError``."""
    versions = sorted((image for image in others if image.version and image.disk), key=lambda image: -image.number)
    kept = versions if spec.keep is None else versions[: spec.keep - 1]
    same = next((image for image in kept if image.version == spec.version), None)
    if same is not None:
        raise OptionError(
            "version", spec.version, f"it is another image, {same.checksum}; give this one a version of its own"
        )
    return kept, [image for image in others if image not in kept]


def image_facts(
    name: str, checksum: str, settings: Settings, disk: Disk | None, uuid: str | None, version: str | None
) -> dict[str, t.Any]:
    """What the module returns as ``image``."""
    return {
        "uuid": uuid,
        "name": name,
        "description": settings.description,
        "checksum": checksum,
        "version": version,
        "firmware": settings.firmware,
        "secure_boot": settings.secure_boot,
        "vcpus": settings.vcpus,
        "memory": settings.memory,
        "memory_minimum": settings.memory_minimum,
        "size": disk.size if disk else None,
        "sr": disk.sr if disk else None,
        "vdi": disk.uuid if disk else None,
    }


def _kept(wanted: str | None, current: str | None) -> str | None:
    return current if wanted is None else wanted


def _grown(spec: ImageSpec, disk: Disk) -> int | None:
    if spec.size is None:
        return None
    wanted = rounded_to_vdi(spec.size)
    if wanted < disk.size:
        raise OptionError(
            "size", spec.size, f"the template's disk has {shown(disk.size)} and is never shrunk; ask for that or more"
        )
    return wanted if wanted > disk.size else None


def _removed(image: Image, reason: str = "") -> Change:
    before = {"uuid": image.uuid, "checksum": image.checksum}
    return Change(
        f"image:{image.uuid}", "delete", "image", image.name, before, None, reason=reason, payload=RemovedImage(image)
    )


def _disk_deleted(disk: Disk) -> Change:
    reason = "an interrupted upload left it"
    before = {"size": disk.size, "sr": disk.sr, "uuid": disk.uuid}
    return Change(
        f"disk:{disk.uuid}", "delete", "disk", disk.name or str(disk.uuid), before, None, reason=reason, payload=disk
    )
