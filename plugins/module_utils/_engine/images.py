# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Images: what each reference of a set stands for, and bringing those that are not there."""

from __future__ import annotations

import json
import typing as t
import urllib.parse
from dataclasses import dataclass

from .._errors import HardshellError
from .._plan import Change
from .api import Engine, EngineError
from .archive import Archive, read_archive
from .observe import Observed
from .references import Images, Reference
from .registries import Registry, credentials
from .spec import SetSpec
from .wanted import ImageFacts

CHUNK = 1 << 20


@dataclass(frozen=True)
class Bring:
    """An image to load from an archive, or to pull when there is none."""

    reference: Reference
    image: str
    archive: Archive | None = None


def plan_images(engine: Engine, spec: SetSpec, observed: Observed) -> list[Change]:
    """The loads and pulls that the set needs. Raises HardshellError for an image that cannot be had."""
    changes = []
    archived = set()
    for item in spec.images:
        archived.add(item.reference)
        archive = read_archive(item.archive, item.reference)
        present = observed.images.id_of(item.reference)
        if present is None or not _is_same(engine, present, archive):
            before = {"id": present} if present else None
            reason = "the engine holds another image under this name" if present else "the engine does not hold it"
            bring = Bring(item.reference, item.image, archive)
            changes.append(
                Change(
                    f"image:{item.image}",
                    "load",
                    "image",
                    item.image,
                    before,
                    {"id": min(archive.digests)},
                    reason=reason,
                    payload=bring,
                )
            )
    asked = {member.reference: member.image for member in spec.members.values() if member.reference not in archived}
    for reference, image in asked.items():
        present = observed.images.id_of(reference)
        policy = _policy(spec, reference)
        if present is not None and (policy != "always" or reference.id):
            continue
        if policy == "never" or reference.id:
            raise HardshellError(
                f"image: the engine does not hold {image}, and {'an id cannot be pulled' if reference.id else 'pull=never'}; "
                "load it with images:, or name one that it holds"
            )
        digest = _registry_digest(engine, spec.registries, reference, image)
        if present is not None and digest in _digests(engine, present):
            continue
        before = {"id": present} if present else None
        reason = "the registry holds another image under this name" if present else "the engine does not hold it"
        changes.append(
            Change(
                f"image:{image}",
                "pull",
                "image",
                image,
                before,
                {"digest": digest or "not known yet"},
                reason=reason,
                payload=Bring(reference, image),
            )
        )
    return changes


def _policy(spec: SetSpec, reference: Reference) -> str:
    """When an image is pulled that several members may name: as the one says that asks for most."""
    told = {member.pull or spec.pull for member in spec.members.values() if member.reference == reference}
    return next(policy for policy in ("always", "missing", "never") if policy in told)


def _is_same(engine: Engine, present: str, archive: Archive) -> bool:
    if present in archive.digests:
        return True
    found = engine.get(f"/images/{present}/json")
    if "Descriptor" not in found:
        return False
    # With containerd's image store the id is not that of the configuration; the layers and what containers inherit are.
    same_layers = tuple((found.get("RootFS") or {}).get("Layers") or []) == archive.layers
    inherited = ("Env", "Cmd", "Entrypoint", "WorkingDir", "User", "Labels")
    return same_layers and all(
        (found["Config"].get(key) or None) == (archive.config.get(key) or None) for key in inherited
    )


def _digests(engine: Engine, image_id: str) -> set[str]:
    return {name.partition("@")[2] for name in engine.get(f"/images/{image_id}/json").get("RepoDigests") or []}


def _registry_digest(engine: Engine, registries: t.Iterable[Registry], reference: Reference, image: str) -> str:
    """What the registry holds under this name; empty where nobody can be asked."""
    try:
        path = f"/distribution/{urllib.parse.quote(str(reference), safe='/:@')}/json"
        found = engine.get(path, headers=credentials(registries, reference))
    except EngineError as error:
        refused = any(word in error.message for word in ("unauthorized", "denied", "basic auth credentials"))
        hint = "give who may read it under registries:" if refused else "load it with images:, or correct its name"
        if "x509" in error.message or "certificate" in error.message:
            hint = "put its authority on the engine's machine (container_host_registry_cas of the role container_host)"
        raise HardshellError(
            f"image: {image} is not in the engine, and its registry does not give it: {error.message}; {hint}"
        ) from error
    return str(found["Descriptor"].get("digest") or "")


def bring(engine: Engine, change: Change, registries: t.Iterable[Registry], progress: t.Callable[[str], None]) -> None:
    """Load or pull one image, with progress."""
    wanted: Bring = change.payload
    try:
        if wanted.archive:
            with open(wanted.archive.path, "rb") as source:
                data = _with_progress(source, wanted.archive.size, f"load {wanted.image}", progress)
                for _report in engine.progress(
                    "/images/load", data=data, headers={"Content-Type": "application/x-tar"}, quiet=1
                ):
                    pass
        else:
            name, tag = wanted.reference.name, wanted.reference.digest or wanted.reference.tag
            headers = credentials(registries, wanted.reference)
            for report in engine.progress("/images/create", headers=headers, fromImage=name, tag=tag):
                if report.get("status", "").startswith(("Pull complete", "Download complete", "Already exists")):
                    progress(f"pull {wanted.image}: {report['status'].lower()} {report.get('id', '')}".rstrip())
    except EngineError as error:
        raise HardshellError(f"could not {change.action} {wanted.image}: {error.message}") from error


def _with_progress(source: t.BinaryIO, size: int, what: str, progress: t.Callable[[str], None]) -> t.Iterator[bytes]:
    sent, shown = 0, 0
    while chunk := source.read(CHUNK):
        yield chunk
        sent += len(chunk)
        if sent * 4 // max(size, 1) > shown:
            shown = sent * 4 // max(size, 1)
            progress(f"{what}: {sent >> 20} of {size >> 20} MiB")


def list_images(engine: Engine) -> Images:
    return Images(engine.get("/images/json"))


def image_facts(
    engine: Engine, spec: SetSpec, observed: Observed, pending: t.Iterable[Change]
) -> dict[Reference, ImageFacts]:
    """What each reference of the set stands for. ``pending`` are the loads and pulls that are announced but not made."""
    known = {
        container.image_id: container.image_config
        for container in observed.containers
        if container.image_config is not None
    }
    announced: dict[Reference, Bring] = {change.payload.reference: change.payload for change in pending}
    facts: dict[Reference, ImageFacts] = {}
    for member in spec.members.values():
        reference = member.reference
        if reference in facts:
            continue
        coming = announced.get(reference)
        if coming:
            archive = coming.archive
            facts[reference] = ImageFacts(min(archive.digests), archive.config) if archive else ImageFacts()
            continue
        image_id = observed.images.id_of(reference)
        if image_id is None:
            raise HardshellError(f"containers.{member.name}.image: the engine does not hold {member.image}")
        config = known.get(image_id)
        if config is None:
            config = engine.get(f"/images/{image_id}/json").get("Config") or {}
        facts[reference] = ImageFacts(image_id, json.loads(json.dumps(config)))
    return facts
