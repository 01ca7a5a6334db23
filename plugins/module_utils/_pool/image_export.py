# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""An image as a file again: the disk of a template, or the template whole.

Beside the file stands what it was made of, ``NAME.exported.json``: a file that fits it is left alone, one of another version of the image is
written anew, and one without it is somebody else's.
"""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass
from pathlib import Path

from .._errors import HardshellError, OptionError
from .._module import Context
from .._plan import Change, Plan, carry_out
from .download import download
from .image_observe import observe_image
from .image_plan import Image, ImageSpec, ObservedImage
from .session import Session

_BY_ENDING = {".raw": "raw", ".img": "raw", ".vhd": "vhd", ".xva": "xva"}


@dataclass(frozen=True)
class Exported:
    """What a file was made of. ``size`` is bytes, ``mtime`` nanoseconds: they tell that it is still the file that was written."""

    checksum: str
    format: str
    size: int
    mtime: int

    def shown(self, path: str) -> dict[str, str]:
        return {"path": path, "format": self.format, "checksum": self.checksum}


def record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.exported.json")


def read_record(path: Path) -> Exported | None:
    """What stands beside a file; None where nothing does. Raises ``OptionError`` for a file that is somebody else's."""
    try:
        known = Exported(**json.loads(record_path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        if path.exists():
            raise OptionError(
                "path", str(path), "a file is there that this module did not write; remove it, or give another name"
            ) from None
        return None
    try:
        now = path.stat()
    except OSError:
        return None
    # Somebody wrote into it, or a run was cut off before it put the new file in its place.
    return known if (now.st_size, now.st_mtime_ns) == (known.size, known.mtime) else Exported("", "", 0, 0)


def export_format(spec: ImageSpec) -> str:
    """What the file is to be. Raises ``OptionError``."""
    assert spec.path is not None
    if spec.image_format == "qcow2":
        raise OptionError("format", "qcow2", "an image is exported as raw, vhd or xva")
    if spec.image_format != "auto":
        return spec.image_format
    ending = Path(spec.path).suffix.lower()
    if ending not in _BY_ENDING:
        raise OptionError("path", spec.path, "give a name that ends in .raw, .img, .vhd or .xva, or say the format")
    return _BY_ENDING[ending]


def plan_export(spec: ImageSpec, observed: ObservedImage, there: Exported | None) -> tuple[Plan, Image]:
    """The plan, and the image that is meant: the current version, or ``version``. ``there`` is what the file was made of. Pure."""
    assert spec.path is not None
    whole = [image for image in observed.images if image.disk is not None]
    image = next((each for each in whole if each.version == spec.version), None) if spec.version else None
    if not spec.version:
        image = next((each for each in whole if each.published), None)
    if image is None:
        which = f" in version {spec.version}" if spec.version else ""
        versions = ", ".join(each.version for each in whole if each.version)
        has = f"; it has the versions {versions}" if versions else ""
        raise HardshellError(f"name: the pool has no image {spec.name!r}{which} that this module made{has}")
    after = {"path": spec.path, "format": export_format(spec), "checksum": image.checksum}
    before = there.shown(spec.path) if there else {}
    if before == after:
        return Plan((), before, after), image
    reason = "it holds something else" if there else ""
    action = "update" if there else "create"
    change = Change("file", action, "file", spec.path, before or None, after, reason=reason, payload=image)
    return Plan((change,), before, after), image


def export_image(session: Session, spec: ImageSpec, context: Context) -> dict[str, t.Any]:
    """Write the image to the file unless it is there. It gets its name when it is whole."""
    assert spec.path is not None
    path = Path(spec.path)
    if not path.parent.is_dir():
        raise OptionError("path", spec.path, f"there is no folder {str(path.parent)!r}; make it first")
    plan, image = plan_export(spec, observe_image(session, spec.name), read_record(path))
    result = {**plan.result(context.diff_mode), "image": image.facts()}
    if context.check_mode or not plan.changed:
        return result

    def perform(change: Change) -> None:
        _write(session, spec, change.payload, path, context)

    return {**result, "journal": carry_out(plan, perform, progress=context.progress).summaries()}


def _write(session: Session, spec: ImageSpec, image: Image, path: Path, context: Context) -> None:
    assert image.disk is not None
    assert image.disk.vdi is not None
    image_format = export_format(spec)
    handler, query = "/export_raw_vdi", {"vdi": image.disk.vdi, "format": image_format}
    if image_format == "xva":
        handler, query = "/export", {"ref": image.ref}
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            asked = f"export {spec.name!r}"
            download(session, handler, query, file, asked=asked, show=context.progress)
        _note(part, path, image.checksum, image_format)
        part.replace(path)
    except OSError as error:
        raise HardshellError(f"path: {spec.path!r} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _note(part: Path, path: Path, checksum: str, image_format: str) -> None:
    """Write beside the file what it is made of, before it is in its place: until then the two do not fit, and it is written again."""
    written = part.stat()
    known = {"checksum": checksum, "format": image_format, "size": written.st_size, "mtime": written.st_mtime_ns}
    record = record_path(path)
    half = record.with_name(f".{record.name}.part")
    half.write_text(json.dumps(known) + "\n", encoding="utf-8")
    half.replace(record)
