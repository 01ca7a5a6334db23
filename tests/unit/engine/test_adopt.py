# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What exists is written as a definition, and a definition takes over what exists, with nothing else changed."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import names
from ansible_collections.hardshell.xen.plugins.module_utils._engine.adopt import choose, refuse_unadoptable
from ansible_collections.hardshell.xen.plugins.module_utils._engine.definition import define
from ansible_collections.hardshell.xen.plugins.module_utils._engine.leftovers import clean_up
from ansible_collections.hardshell.xen.plugins.module_utils._engine.namespaces import by_member, shared
from ansible_collections.hardshell.xen.plugins.module_utils._engine.observe import (
    Container,
    Neighbour,
    Observed,
    as_member,
    read_container,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.spec import SetSpec
from ansible_collections.hardshell.xen.plugins.module_utils._engine.steps import steps
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from hypothesis import given, settings

from .model import IMAGES, after, empty, engine_report, image_id, spec_of, wanted_of
from .test_plan_laws import definitions, deployed, networks

CONFIGS = {image_id(name): config for name, config in IMAGES.items()}
PLAIN = {"image": "box:1"}


def foreign(definition: dict[str, t.Any], **labels: str) -> list[Container]:
    """Containers as another tool makes them: called as their members, with no label of ours."""
    spec = spec_of(definition, network="flat")
    found = []
    identities = {name: f"{number + 1:064x}" for number, name in enumerate(wanted_of(spec))}
    for number, (name, wanted) in enumerate(wanted_of(spec).items()):
        report = engine_report(spec, wanted, f"{number + 1:064x}")
        own = {key: value for key, value in report["Config"]["Labels"].items() if not key.startswith(names.PREFIX)}
        report["Config"]["Labels"] = {**own, **labels}
        report["Name"] = f"/{name}"
        if wanted.attachments:
            report["HostConfig"]["NetworkMode"] = "others"
            report["NetworkSettings"]["Networks"] = {"others": report["NetworkSettings"]["Networks"]["shop"]}
        for key in ("NetworkMode", "PidMode"):
            other = shared(report["HostConfig"].get(key))
            if other:
                report["HostConfig"][key] = f"container:{identities[other]}"
        found.append(read_container(report, []))
    return found


def neighbour(name: str, identity: str = "1", **given: t.Any) -> Neighbour:
    return Neighbour(**{"name": name, "set": "", "tenant": "", "running": True, "id": identity, **given})


def as_seen(spec: SetSpec, containers: list[Container]) -> Observed:
    chosen = choose(spec, [neighbour(one.name, one.id) for one in containers])
    seen = [as_member(one, spec.name, chosen[one.id]) for one in containers if one.id in chosen]
    return dataclasses.replace(empty(), containers=tuple(by_member(seen, lambda one: one.member)))


@settings(max_examples=40)
@given(definitions(), networks)
def test_the_definition_of_a_set_plans_no_change_of_it(definition: dict[str, t.Any], network: str) -> None:
    observed = deployed(definition, network)
    written = define("shop", observed.containers, CONFIGS)
    assert not written.left_out
    spec = spec_of(**written.options)
    assert plan(spec, observed, wanted_of(spec)).summaries() == []


@settings(max_examples=40)
@given(definitions())
def test_the_definition_of_foreign_containers_plans_nothing_but_their_adoption(definition: dict[str, t.Any]) -> None:
    containers = foreign(definition)
    written = define("shop", containers, CONFIGS)
    spec = spec_of(**written.options, adopt=True)
    observed = as_seen(spec, containers)
    wanted = wanted_of(spec)
    refuse_unadoptable(wanted, observed)
    planned = plan(spec, observed, wanted)
    changes = [change for change in planned.changes if change.kind == "container"]
    assert {change.name for change in changes} == set(definition)
    for change in changes:
        assert change.action == "replace"
        placed = "network_mode" not in definition[change.name]
        assert change.before == {"owner": "not ours", **({"network": "others"} if placed else {})}
        assert change.after == {"owner": "adopted", **({"network": "shop"} if placed else {})}
        assert change.reason == f"{change.name} is not ours: adopted"
    assert plan(spec, after(spec, observed, planned), wanted).summaries() == []


def test_what_differs_besides_is_said() -> None:
    spec = spec_of({"web": {**PLAIN, "memory": "64MiB"}}, adopt=True)
    observed = as_seen(spec, foreign({"web": PLAIN}))
    change = plan(spec, observed, wanted_of(spec)).changes[-1]
    assert change.reason == "web is not ours: adopted; memory, ulimits differ"
    assert (change.before or {})["memory"] == 0


def test_an_adopted_container_makes_way_as_any_other() -> None:
    spec = spec_of({"web": PLAIN}, adopt=True, update_order="start-first")
    observed = as_seen(spec, foreign({"web": PLAIN}))
    found = steps(plan(spec, observed, wanted_of(spec)))
    assert [step.id for step in found.changes if ":web" in step.id] == [
        "stage:web",
        "stop:web",
        "start:web",
        "steady:web",
        "retire:web",
        "promote:web",
        "discard:web",
    ]


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([neighbour("web")], "1"),
        ([neighbour("shop_web")], "1"),
        ([neighbour("My-Shop-web-7", project="Shop", service="web", number="7")], "1"),
        ([neighbour("web", project="other", service="web")], None),
        ([neighbour("web", set="shop", tenant="globex", marked=True)], None),
        ([neighbour("web", marked=True)], None),
        ([neighbour("shop_web", set="shop", tenant="acme", marked=True), neighbour("web", "2")], None),
        ([neighbour("shop_web.old")], "1"),
        ([neighbour("api")], None),
    ],
)
def test_only_what_is_called_so_and_carries_no_mark_is_adopted(others: list[Neighbour], chosen: str | None) -> None:
    found = choose(spec_of({"web": PLAIN}, adopt=True), others)
    assert {identity: member.name for identity, member in found.items()} == ({chosen: "web"} if chosen else {})


def test_replicas_are_adopted_by_their_number() -> None:
    spec = spec_of({"web": {**PLAIN, "replicas": 2}}, adopt=True)
    others = [neighbour(f"shop-web-{n}", str(n), project="shop", service="web", number=str(n)) for n in (1, 2, 3)]
    assert {identity: member.name for identity, member in choose(spec, others).items()} == {"1": "web-1", "2": "web-2"}


def test_two_that_could_be_meant_are_refused() -> None:
    with pytest.raises(HardshellError, match="web could be shop_web or web; rename"):
        choose(spec_of({"web": PLAIN}, adopt=True), [neighbour("web"), neighbour("shop_web", "2")])


def test_data_is_not_left_behind() -> None:
    containers = foreign({"db": {**PLAIN, "volumes": ["data:/data"]}})
    for definition in (PLAIN, {**PLAIN, "volumes": ["other:/data"]}):
        spec = spec_of({"db": definition}, adopt=True)
        with pytest.raises(HardshellError, match="the volume shop_data at /data, and its data would be left behind"):
            refuse_unadoptable(wanted_of(spec), as_seen(spec, containers))
    named = {"store": {"name": "shop_data", "external": True}}
    spec = spec_of({"db": {**PLAIN, "volumes": ["store:/data"]}}, adopt=True, volumes=named)
    refuse_unadoptable(wanted_of(spec), as_seen(spec, containers))


def test_what_would_be_gone_once_stopped_is_refused() -> None:
    spec = spec_of({"web": PLAIN}, adopt=True)
    gone = [dataclasses.replace(one, removed_when_stopped=True) for one in foreign({"web": PLAIN})]
    with pytest.raises(HardshellError, match="made with --rm"):
        refuse_unadoptable(wanted_of(spec), as_seen(spec, gone))


def test_an_adoption_that_was_cut_off_is_finished_or_taken_back() -> None:
    spec = spec_of({"web": PLAIN, "api": PLAIN}, adopt=True)
    containers = foreign({"web": PLAIN, "api": PLAIN})
    before = as_seen(spec, containers)
    own = deployed({"web": PLAIN, "api": PLAIN}, "per-link").containers
    staged = [dataclasses.replace(one, name=f"{one.base_name}.new", transaction="t") for one in own]
    made = dataclasses.replace(before, containers=(*before.containers, *staged))
    changes, settled = clean_up(made)
    assert {change.name for change in changes} == {"shop_web.new", "shop_api.new"}
    assert settled.current() == before.current()
    aside = [dataclasses.replace(one, name="shop_web.old") if one.name == "web" else one for one in before.containers]
    changes, settled = clean_up(dataclasses.replace(before, containers=(*aside, *staged)))
    assert {(change.action, change.name) for change in changes} == {
        ("remove", "api"),
        ("remove", "shop_web.old"),
        ("rename", "shop_api.new"),
        ("rename", "shop_web.new"),
    }
    assert not any(one.foreign for one in settled.containers)


def test_a_definition_says_what_it_leaves_out() -> None:
    report = engine_report(spec_of({"web": PLAIN}), wanted_of(spec_of({"web": PLAIN}))["web"], "1" * 64)
    report["Config"]["Labels"] = {}
    report["Name"] = "/My.Web"
    report["HostConfig"].update(
        Runtime="runsc",
        DeviceRequests=[{"Driver": "nvidia"}],
        PidMode="container:abc",
        Mounts=[{"Type": "volume", "Source": "pg", "Target": "/pg", "ReadOnly": True}],
    )
    report["Mounts"] = [
        {"Type": "volume", "Name": "pg", "Destination": "/pg"},
        {"Type": "volume", "Name": "f" * 64, "Destination": "/cache"},
    ]
    written = define("", [read_container(report, [])], CONFIGS)
    assert written.options["containers"]["my-web"]["volumes"] == ["my-web-cache:/cache", "pg:/pg:ro"]
    assert written.options["volumes"] == {
        "my-web-cache": {"name": "f" * 64, "external": True},
        "pg": {"name": "pg", "external": True},
    }
    assert written.options["containers"]["my-web"]["runtime"] == "runsc"
    assert written.left_out == (
        "my-web: device_requests [{'driver': 'nvidia', 'count': 0, 'device_ids': [], 'capabilities': [], 'options': {}}]",
        "my-web: pid_mode container:abc",
        "my-web: that it is called My.Web; others find it as my-web",
    )
