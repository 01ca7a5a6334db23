# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of what is published: its two laws, and what a change tells."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._plan import Change
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.publish_plan import (
    ObservedKeys,
    PublishSpec,
    facts_of,
    plan_publish,
    publish_spec,
)
from hypothesis import given
from hypothesis import strategies as st

VM = {"name": "shop", "tenant": "acme", "host": None, "uuid": None, "adopt": False}


def container(name: str, **changed: t.Any) -> dict[str, t.Any]:
    entry = {
        "Id": f"id-of-{name}",
        "Names": [f"/{name}"],
        "Image": "box:1",
        "State": "running",
        "Status": "Up 5 minutes",
    }
    return {**entry, **changed}


def spec(*containers: dict[str, t.Any], check_mode: bool = False, **engine: t.Any) -> PublishSpec:
    given = {"info": None, "version": None, **engine, "containers": list(containers)}
    return publish_spec({**VM, "state": "present", "engine": given}, check_mode=check_mode)


ABSENT = publish_spec({**VM, "state": "absent", "engine": None}, check_mode=False)


def carried_out(observed: ObservedKeys, changes: t.Iterable[Change]) -> ObservedKeys:
    """What XAPI then holds; it refuses to add a key that is there."""
    keys = dict(observed.keys)
    for call in (call for change in changes for call in change.payload):
        if call.method == "VM.remove_from_other_config":
            keys.pop(call.arguments[1], None)
        else:
            assert call.method == "VM.add_to_other_config"
            assert call.arguments[1] not in keys
            keys[call.arguments[1]] = call.arguments[2]
    return dataclasses.replace(observed, keys=keys)


names = st.lists(st.sampled_from("abc"), unique=True)
specs = st.just(ABSENT) | st.builds(
    lambda chosen, image, info: spec(*(container(name, Image=image) for name in chosen), info=info),
    names,
    st.sampled_from(["box:1", "box:2", "a & b"]),
    st.sampled_from([None, {"ServerVersion": "28"}, {"ServerVersion": "29", "NGoroutines": 7}]),
)
present = st.dictionaries(
    st.sampled_from(["docker_ps", "docker_info", "xscontainer-monitor", "another"]), st.text(max_size=5)
)


@given(specs, specs, present)
def test_after_a_run_there_is_nothing_to_do_and_what_was_announced_is_there(
    first: PublishSpec, second: PublishSpec, keys: dict[str, str]
) -> None:
    observed = ObservedKeys("OpaqueRef:1", "u", "shop", keys)
    for wanted in (first, second):
        outcome = plan_publish(wanted, observed)
        observed = carried_out(observed, outcome.plan.changes)
        assert facts_of(wanted, observed) == outcome.facts
        assert not plan_publish(wanted, observed).plan.changed
        assert (outcome.plan.diff()["before"] != outcome.plan.diff()["after"]) == outcome.plan.changed
    assert observed.keys.get("another") == keys.get("another")


def test_what_check_mode_cannot_know_is_not_shown_and_the_rest_is_as_in_the_run() -> None:
    before = carried_out(
        ObservedKeys("r", "u", "shop"),
        plan_publish(spec(container("a"), container("b")), ObservedKeys("r")).plan.changes,
    )
    new = container("a", Image="box:2")
    announced = plan_publish(spec({**new, "Id": "", "Created": 0}, container("b"), check_mode=True), before).plan
    done = plan_publish(spec({**new, "Id": "another", "Created": 1767225600}, container("b")), before).plan
    assert announced.summaries() == done.summaries()
    (change,) = done.changes
    assert change.reason == "a was made anew"
    assert (change.before.keys(), change.after["a"]["image"]) == ({"a"}, "box:2")


@pytest.mark.parametrize(
    ("entry", "option"),
    [({"State": "running"}, "engine.containers[0]"), (container("a", Id=""), "engine.containers[0].Id")],
)
def test_what_is_no_container_is_refused(entry: dict[str, t.Any], option: str) -> None:
    with pytest.raises(OptionError) as refused:
        spec(entry)
    assert refused.value.option == option


def test_what_another_wrote_is_written_anew_and_told_of() -> None:
    wanted = spec(container("a"))
    there = carried_out(ObservedKeys("r"), plan_publish(wanted, ObservedKeys("r")).plan.changes)
    sized = {**there.keys, "docker_ps": there.keys["docker_ps"].replace("</entry>", "<sizerw>4096</sizerw></entry>")}
    plan = plan_publish(wanted, dataclasses.replace(there, keys=sized)).plan
    (change,) = plan.changes
    assert change.reason == "it was written by another"
    assert plan.diff()["before"] != plan.diff()["after"]


def test_what_is_left_out_is_warned_of() -> None:
    many = [container(f"web-{number:04}", ImageID="x" * 400) for number in range(100)]
    (warning,) = plan_publish(spec(*many), ObservedKeys("r")).warnings
    assert "containers of 'shop' are not published: 64 KiB are full" in warning
