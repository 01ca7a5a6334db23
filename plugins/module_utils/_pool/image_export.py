# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""An image as a file again: the disk of a template, or the template whole."""

from __future__ import annotations

import typing as t
from pathlib import Path

from .._errors import HardshellError, OptionError
from .._module import Context
from .._plan import Change, Plan, carry_out
from .download import download
from .image_observe import observe_image
from .image_plan import Image, ImageSpec, ObservedImage
from .session import Session

_BY_ENDING = {".raw": "raw", ".img": "raw", ".vhd": "vhd", ".xva": "xva"}


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


def plan_export(spec: ImageSpec, observed: ObservedImage, *, there: bool) -> tuple[Plan, Image]:
    """The plan, and the image that is meant: the current version, or ``version``. A file that is there stays as it is. Pure."""
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
    after = {"path": spec.path, "format": export_format(spec)}
    change = Change("file", "create", "file", spec.path, None, after, payload=image)
    return Plan(() if there else (change,), {} if not there else after, after), image


def export_image(session: Session, spec: ImageSpec, context: Context) -> dict[str, t.Any]:
    """Write the image to the file unless that is there. It gets its name when it is whole."""
    assert spec.path is not None
    path = Path(spec.path)
    if not path.parent.is_dir():
        raise OptionError("path", spec.path, f"there is no folder {str(path.parent)!r}; make it first")
    plan, image = plan_export(spec, observe_image(session, spec.name), there=path.exists())
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
        part.replace(path)
    except OSError as error:
        raise HardshellError(f"path: {spec.path!r} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
