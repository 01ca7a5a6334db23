# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""start-first: in whatever order the steps may be done, no member is without a container that answers for longer than it must be."""

from __future__ import annotations

import random
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.steps import steps
from ansible_collections.hardshell.xen.plugins.module_utils._plan import Plan
from hypothesis import given, settings
from hypothesis import strategies as st

from .model import spec_of, wanted_of
from .test_plan_laws import definitions, deployed

BOX: dict[str, t.Any] = {"image": "box:1"}


def update(old: dict[str, t.Any], new: dict[str, t.Any], **options: t.Any) -> Plan:
    observed = deployed(old, options.get("network", "per-link"))
    spec = spec_of(new, update_order="start-first", **options)
    return plan(spec, observed, wanted_of(spec))


def reason(options: dict[str, t.Any], **set_options: t.Any) -> str:
    """Why web is replaced as it is, when its image changes."""
    found = update({"web": {**BOX, **options}}, {"web": {**options, "image": "box:2"}}, **set_options)
    return next(change.reason for change in found.changes if change.action == "replace")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"ports": ["8080:80"]}, "it publishes 8080:80/tcp"),
        ({"volumes": ["data:/srv"]}, "it writes to shop_data"),
        ({"devices": ["/dev/fuse"]}, "it holds /dev/fuse"),
    ],
)
def test_what_two_containers_cannot_hold_at_once_stops_the_old_one_first(options: dict[str, t.Any], why: str) -> None:
    # box:2 declares a volume of its own at /data.
    assert reason({**options, "tmpfs": ["/data"]}).endswith(f"the old one is stopped first, since {why}")


def test_what_can_be_shared_does_not() -> None:
    shared = {"ports": ["80"], "volumes": ["/etc/shop:/etc/shop:ro"], "tmpfs": ["/data"]}
    assert reason(shared).endswith("it starts beside the old one")


def test_without_a_network_of_its_own_a_member_is_stopped_first() -> None:
    assert reason({"tmpfs": ["/data"]}, network="flat").endswith("since with network=flat it has no network of its own")


def test_a_host_port_that_goes_from_one_member_to_another_stops_all_the_old_ones_first() -> None:
    old = {"a": {**BOX, "ports": ["8080:80"]}, "b": BOX}
    found = steps(update(old, {"a": BOX, "b": {**BOX, "ports": ["8080:80"]}}))
    ids = [step.id for step in found.changes]
    assert max(ids.index("stop:a"), ids.index("stop:b")) < min(ids.index("start:a"), ids.index("start:b"))


@settings(max_examples=60)
@given(definitions(), definitions(), st.randoms(use_true_random=False))
def test_each_member_is_replaced_once_its_providers_are_and_taken_over_before_it_is_stopped(
    old: dict[str, t.Any], new: dict[str, t.Any], chance: random.Random
) -> None:
    planned = update(old, new)
    how = {change.name: change.payload.order for change in planned.changes if change.action == "replace"}
    links = {name: {link.split(":")[0] for link in item.get("links", [])} for name, item in new.items()}
    found = steps(planned)
    done: set[str] = set()
    down: set[str] = set()
    waiting = list(found.changes)
    while waiting:
        step = chance.choice([step for step in waiting if done.issuperset(step.needs)])
        waiting.remove(step)
        done.add(step.id)
        verb, _colon, name = step.id.partition(":")
        left = {s.id for s in waiting}
        if verb == "stop" and how.get(name) == "beside":
            assert {f"start:{name}", f"steady:{name}", f"switch:{name}"} <= done
        elif verb == "stop" and how.get(name) == "in turn":
            down.add(name)
            assert down == {name}, "one at a time"
        elif verb == "stop":
            assert not [s for s in left if s.startswith(("start:", "steady:"))], "what goes, goes last"
        elif verb == "start":
            blockers = {f"{before}:{p}" for p in links[name] for before in ("steady", "switch")}
            assert not blockers & left
            assert how.get(name) != "in turn" or f"stop:{name}" in done
        elif verb == "steady":
            down.discard(name)
        elif verb in ("retire", "promote", "discard"):
            assert not [s for s in left if s.startswith(("stage:", "start:", "steady:", "switch:", "stop:", "update:"))]
