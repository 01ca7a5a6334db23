# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What is to be published of a VM's containers, what is, and the plan between them. Pure."""

from __future__ import annotations

import dataclasses
import typing as t
from dataclasses import dataclass

from .._errors import HardshellError, OptionError
from .._plan import Change, Plan
from .._pool.converge import Outcome
from .._pool.option_checks import refuse_unwritable
from .._pool.record_calls import map_calls
from .._pool.vm_spec import VmSpec, vm_named
from . import docker_keys
from .published import engine_facts, read_published

KIND = "published"
ENABLED = "True"
# What a change does not show: what check mode cannot know of a container that is yet to be made, and what follows from it.
_UNSHOWN = ("id", "created", "image_id", "command", "ports")
Facts = dict[str, t.Any]
Keys = t.Mapping[str, str]


@dataclass(frozen=True)
class PublishSpec:
    """The keys as they are to be: all of them for ``absent``, where they are to go. ``left_out`` is how many containers did not fit."""

    vm: VmSpec
    state: str
    keys: t.Mapping[str, str | None]
    left_out: int = 0


@dataclass(frozen=True)
class ObservedKeys:
    """The VM that is meant, None where there is none, and which of the keys it has."""

    ref: str | None = None
    uuid: str = ""
    name: str = ""
    keys: Keys = dataclasses.field(default_factory=dict)


def publish_spec(parameters: t.Mapping[str, t.Any], *, check_mode: bool) -> PublishSpec:
    """The spec out of the module's parameters. Raises ``OptionError``."""
    refuse_unwritable({name: value for name, value in parameters.items() if name != "engine"})
    # It is looked for as one that is to go would be: that it is not there is no error yet.
    vm = dataclasses.replace(vm_named(parameters), adopt=parameters["adopt"], state="absent")
    if parameters["state"] == "absent":
        return PublishSpec(vm, "absent", dict.fromkeys(docker_keys.KEYS))
    engine = parameters["engine"]
    for index, container in enumerate(engine["containers"]):
        if not container.get("Names") and not container.get("Id"):
            expected = "give entries of GET /containers/json, as hardshell.xen.container_set_info returns in engine"
            raise OptionError(f"engine.containers[{index}]", container, expected)
        if not container.get("Id") and not check_mode:
            expected = "it is not made yet, but announced by a task in check mode; give what a real run returns"
            raise OptionError(f"engine.containers[{index}].Id", container.get("Id"), expected)
    containers, left_out = docker_keys.ps_document(docker_keys.published_containers(engine["containers"]))
    keys: dict[str, str | None] = {}
    if engine["info"]:
        keys[docker_keys.INFO] = docker_keys.info_document(engine["info"])
    if engine["version"]:
        keys[docker_keys.VERSION] = docker_keys.version_document(engine["version"])
    keys[docker_keys.PS] = containers
    keys[docker_keys.MONITOR] = ENABLED  # the last: clients look at the others once it is there
    return PublishSpec(vm, "present", keys, left_out)


def plan_publish(spec: PublishSpec, observed: ObservedKeys) -> Outcome:
    """The plan for one VM. Raises ``HardshellError`` where there is no VM to publish at."""
    if observed.ref is None:
        if spec.state == "absent":
            return Outcome(Plan(), None)
        raise HardshellError(f"name: the pool has no VM {spec.vm.name!r} of {spec.vm.owner}; make it first")
    present = observed.keys
    changes: list[Change] = []
    for key, wanted in spec.keys.items():
        if present.get(key) != wanted:
            changes.append(_change(key, present.get(key), wanted))
    after = {key: text for key, text in {**present, **spec.keys}.items() if text is not None}
    changed = [change.name for change in changes]
    plan = Plan(tuple(changes), *_shown(present, after, changed))
    will = dataclasses.replace(observed, keys=after)
    return Outcome(plan, facts_of(spec, will), _warnings(spec))


def facts_of(spec: PublishSpec, observed: ObservedKeys) -> Facts | None:
    """What the module returns as ``published``."""
    if observed.ref is None or spec.state == "absent":
        return None
    found = read_published(observed.keys, observed.uuid)
    return {
        "vm": observed.name,
        "uuid": observed.uuid,
        "containers": list(found.containers),
        "info": engine_facts(observed.keys.get(docker_keys.INFO, "")),
        "version": engine_facts(observed.keys.get(docker_keys.VERSION, "")),
        "left_out": spec.left_out,
    }


def _change(key: str, before: str | None, after: str | None) -> Change:
    action = "delete" if after is None else "create" if before is None else "update"
    calls = map_calls(
        "other_config",
        {} if before is None else {key: before},
        {} if after is None else {key: after},
        f"publish {key}" if after is not None else f"take back {key}",
    )
    was, will, reason = before, after, ""
    if key == docker_keys.PS:
        was, will, reason = _difference(before, after)
    elif key != docker_keys.MONITOR:
        was, will = _value(key, before), _value(key, after)
    return Change(key, action, KIND, key, was, will, reason=reason, payload=tuple(calls))


def _difference(before: str | None, after: str | None) -> tuple[t.Any, t.Any, str]:
    """The containers that differ, by name, as they are shown before and after, and what differs that is not shown."""
    old, new = _by_name(before), _by_name(after)
    differing = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    was, will = ({name: _of_interest(each[name]) for name in differing if name in each} for each in (old, new))
    reasons = [_reason(name, old[name], new[name]) for name in differing if name in old and name in new]
    if before and after and not old and (problem := read_published({docker_keys.PS: before}, "").problem):
        reasons.append(problem)
    elif before and after and not differing:
        reasons.append("it was written by another")
    return (None if before is None else was), (None if after is None else will), "; ".join(filter(None, reasons))


def _by_name(written: str | None) -> dict[str, Facts]:
    found = read_published({docker_keys.PS: written}, "") if written else None
    return {container["name"]: container for container in found.containers} if found else {}


def _of_interest(container: Facts) -> Facts:
    return {key: value for key, value in container.items() if key not in (*_UNSHOWN, "name") and value is not None}


def _reason(name: str, before: Facts, after: Facts) -> str:
    if before["id"] != after["id"]:
        return f"{name} was made anew"
    differing = [key for key in _UNSHOWN if before[key] != after[key]]
    return f"{name} has other {' and '.join(differing)}" if differing else ""


def _value(key: str, written: str | None) -> t.Any:
    if written is None or key == docker_keys.MONITOR:
        return written
    if key != docker_keys.PS:
        return engine_facts(written)
    found = read_published({key: written}, "")
    return found.problem or list(found.containers)


def _shown(before: Keys, after: Keys, changed: t.Sequence[str]) -> tuple[Facts, Facts]:
    """Both sides of the diff. What means the same and is written otherwise is shown as it is written."""
    was, will = ({key: _value(key, keys[key]) for key in changed if key in keys} for keys in (before, after))
    same = [key for key in was if key in will and was[key] == will[key]]
    return {**was, **{key: before[key] for key in same}}, {**will, **{key: after[key] for key in same}}


def _warnings(spec: PublishSpec) -> tuple[str, ...]:
    if not spec.left_out:
        return ()
    limit = docker_keys.MOST_BYTES // 1024
    return (f"{spec.left_out} containers of {spec.vm.name!r} are not published: {limit} KiB are full",)
