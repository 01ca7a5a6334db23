# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.image`` does: spec, observe, plan, apply."""

from __future__ import annotations

import contextlib
import typing as t
from pathlib import Path

from .._module import Context
from .._plan import ApplyError, Plan, carry_out
from .connection import connection_options
from .image_apply import ImagePerformer
from .image_compression import compression_of, plain
from .image_export import export_image
from .image_file import ImageFile, fetched, look_at, require_checksum, sha256_of
from .image_observe import observe_image
from .image_plan import ImageSpec, ObservedImage, image_spec, plan_image
from .session import Session
from .xapi_errors import ConnectionLost

ATTEMPTS = 4


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Bring one image to what is asked for."""
    spec = image_spec(parameters)
    if spec.state == "exported":
        with Session(connection_options(parameters), context.warn) as session:
            return export_image(session, spec, context)
    with Session(connection_options(parameters), context.warn) as session, contextlib.ExitStack() as files:
        return _converge(session, spec, context, files)


def _converge(session: Session, spec: ImageSpec, context: Context, files: contextlib.ExitStack) -> dict[str, t.Any]:
    announced: Plan | None = None
    source: ImageFile | None = None
    checksum = None
    for attempt in range(1, ATTEMPTS + 1):
        observed = observe_image(session, spec.name)
        if spec.state == "present" and announced is None:
            checksum, source = _source(spec, observed, context, files)
        known = (source.virtual_size, source.image_format) if source else (None, None)
        plan, facts = plan_image(spec, observed, checksum, *known)
        announced = announced or plan
        result = announced.result(context.diff_mode)
        if context.check_mode or not plan.changed:
            return {**result, "image": facts}
        try:
            performer = ImagePerformer(session, spec, source, context.progress)
            journal = carry_out(plan, performer, progress=context.progress)
        except ApplyError as error:
            # A call of which nobody knows whether it took effect: look again, and do what is left.
            if not isinstance(error.cause, ConnectionLost) or attempt == ATTEMPTS:
                raise
            context.progress(f"{error.cause}; looking at the pool again")
            continue
        image = observe_image(session, spec.name).matching(checksum) if checksum else None
        return {**result, "journal": journal.summaries(), "image": image.facts() if image else None}
    raise AssertionError("unreachable")


def _source(
    spec: ImageSpec, observed: ObservedImage, context: Context, files: contextlib.ExitStack
) -> tuple[str, ImageFile | None]:
    """The image's checksum, and the file if it must be uploaded: it is not read at all where the checksum says that it is there."""
    if spec.checksum and observed.matching(spec.checksum):
        return spec.checksum, None
    if spec.url is not None:
        assert spec.checksum is not None
        if context.check_mode:
            return spec.checksum, None
        path = files.enter_context(fetched(spec.url, spec.checksum, context.progress))
        return spec.checksum, look_at(
            "url", files.enter_context(plain("url", path, context.progress)), spec.image_format
        )
    assert spec.path is not None
    path = Path(spec.path)
    compressed = compression_of("path", path) is not None
    source = None if compressed else look_at("path", path, spec.image_format)
    found = sha256_of(path, context.progress)
    if spec.checksum:
        require_checksum("path", spec.path, spec.checksum, found)
    if source or observed.matching(found):
        return found, source
    return found, look_at("path", files.enter_context(plain("path", path, context.progress)), spec.image_format)
