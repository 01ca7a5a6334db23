# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The laws of planning, over generated sets."""

from __future__ import annotations

import dataclasses
import random
import typing as t

from ansible_collections.hardshell.xen.plugins.module_utils._engine import names
from ansible_collections.hardshell.xen.plugins.module_utils._engine.leftovers import clean_up, new_set_was_whole
from ansible_collections.hardshell.xen.plugins.module_utils._engine.observe import Attachment, Network, Observed
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.rollback import new_set_took_over, take_back
from ansible_collections.hardshell.xen.plugins.module_utils._engine.steps import steps
from hypothesis import given, settings
from hypothesis import strategies as st

from .model import after, empty, made, spec_of, wanted_of

MEMBERS = ("a", "b", "c", "d")

member_options = st.fixed_dictionaries(
    {"image": st.sampled_from(["box:1", "box:2"])},
    optional={
        "command": st.sampled_from(["run", ["run", "fast"]]),
        "entrypoint": st.sampled_from([[], ["/go"]]),
        "environment": st.dictionaries(st.sampled_from(["A", "PATH", "LEVEL"]), st.sampled_from(["1", "x=y", ""])),
        "memory": st.sampled_from(["64MiB", "1g"]),
        "memory_swap": st.sampled_from(["2g", -1]),
        "cpus": st.sampled_from([0.5, "2"]),
        "pids_limit": st.sampled_from([10, 20]),
        "restart": st.sampled_from(["no", "always", "on-failure:3"]),
        "volumes": st.sampled_from(
            [
                ["data:/data"],
                ["data:/data:ro", "/srv:/srv"],
                ["other:/x"],
                [{"source": "data", "target": "/data", "subpath": "x"}],
            ]
        ),
        "working_dir": st.sampled_from(["/", "/tmp/", "//tmp//x"]),
        "dns": st.sampled_from([["10.0.0.2"], ["FE80::1", "10.0.0.2"]]),
        "ulimits": st.sampled_from([{"nofile": 1024}, {"nproc": 100}]),
        "user": st.sampled_from(["1000"]),
        "healthcheck": st.sampled_from(
            [{"test": "true"}, {"test": "none"}, {"test": ["CMD", "x"], "interval": "2s", "start_interval": "1s"}]
        ),
        "cap_add": st.sampled_from([["NET_ADMIN"], ["cap_chown"]]),
        "shm_size": st.sampled_from(["64MiB", "128MiB"]),
        "stop_grace_period": st.sampled_from([3, "1500ms"]),
        "labels": st.sampled_from([{"x": "1"}, {"a": ""}]),
        "hostname": st.just("me"),
        "dns_opt": st.just(["ndots:1"]),
        "runtime": st.sampled_from(["runc", "crun"]),
        "cgroupns_mode": st.sampled_from(["private", "host"]),
        "device_requests": st.sampled_from(
            [
                [{"capabilities": ["gpu"]}],
                [{"driver": "nvidia", "device_ids": ["0"], "capabilities": ["utility", "gpu"]}],
            ]
        ),
        "device_cgroup_rules": st.just(["c 1:3 mr"]),
        "log": st.just({"driver": "local"}),
        "one_shot": st.just(True),
        "annotations": st.just({"org.example": "1"}),
        "mac_address": st.just("02:42:ac:11:00:07"),
    },
)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, t.Any]:
    chosen = draw(st.lists(st.sampled_from(MEMBERS), min_size=1, unique=True))
    found = {}
    for position, name in enumerate(chosen):
        options = draw(member_options)
        if options.get("one_shot"):
            options.pop("restart", None)
        if "memory_swap" in options and options["memory_swap"] != -1:
            options["memory"] = "1g"
        # A member in the network of another one is reached as that.
        earlier = [other for other in chosen[:position] if "network_mode" not in found[other]]
        providers = draw(st.lists(st.sampled_from(earlier), unique=True)) if earlier else []
        if providers:
            options["links"] = [
                f"{provider}:{provider}-alias" if draw(st.booleans()) else provider for provider in providers
            ]
            shared = draw(st.sampled_from(["", "pid_mode", "network_mode"]))
            if shared == "pid_mode":
                options["pid_mode"] = f"service:{providers[0]}"
            elif shared:
                options["links"] = [providers[0]]
                for option in ("hostname", "mac_address", "dns", "dns_opt"):
                    options.pop(option, None)
                options["network_mode"] = f"service:{providers[0]}"
            elif draw(st.booleans()):
                options["follows"] = providers
        found[name] = options
    return found


networks = st.sampled_from(["per-link", "flat"])
fates = st.sampled_from([{}, {"fate": "shared"}, {"fate": "shared", "fate_reaction": "stop_vm"}])


def deployed(definition: dict[str, t.Any], network: str, **given: t.Any) -> Observed:
    spec = spec_of(definition, network=network, **given)
    return after(spec, empty(), plan(spec, empty(), wanted_of(spec)))


@given(definitions(), networks)
def test_after_a_deploy_nothing_is_left_to_do(definition: dict[str, t.Any], network: str) -> None:
    spec = spec_of(definition, network=network)
    observed = deployed(definition, network)
    assert plan(spec, observed, wanted_of(spec)).summaries() == []


@settings(max_examples=50)
@given(definitions(), networks, fates, definitions(), networks, fates)
def test_after_an_update_nothing_is_left_to_do(
    old: dict[str, t.Any],
    before: str,
    old_fate: dict[str, str],
    new: dict[str, t.Any],
    network: str,
    fate: dict[str, str],
) -> None:
    observed = deployed(old, before, **old_fate)
    spec = spec_of(new, network=network, **fate)
    planned = plan(spec, observed, wanted_of(spec))
    now = after(spec, observed, planned)
    assert plan(spec, now, wanted_of(spec)).summaries() == []
    assert {container.member for container in now.containers} == set(new)
    assert planned.changed == bool(planned.diff()["before"] or planned.diff()["after"])


@given(definitions(), networks)
def test_absent_leaves_only_volumes(definition: dict[str, t.Any], network: str) -> None:
    observed = deployed(definition, network)
    spec = spec_of(None, state="absent")
    now = after(spec, observed, plan(spec, observed, {}))
    assert now.containers == ()
    assert now.networks == {}
    assert now.volumes == observed.volumes
    spec = spec_of(None, state="absent", remove_volumes=True)
    assert after(spec, observed, plan(spec, observed, {})).volumes == {}


@settings(max_examples=50)
@given(definitions(), definitions(), st.randoms(use_true_random=False))
def test_steps_keep_the_order_that_makes_them_safe(
    old: dict[str, t.Any], new: dict[str, t.Any], chance: random.Random
) -> None:
    observed = deployed(old, "per-link")
    spec = spec_of(new)
    found = steps(plan(spec, observed, wanted_of(spec)))
    done: set[str] = set()
    running = {container.member for container in observed.containers}
    ready: set[str] = set()
    waiting = list(found.changes)
    while waiting:
        step = chance.choice([step for step in waiting if done.issuperset(step.needs)])
        waiting.remove(step)
        done.add(step.id)
        verb = step.id.partition(":")[0]
        if verb == "stop":
            consumers = {
                c.member for c in observed.containers if any(link.split(":")[0] == step.name for link in c.links)
            }
            stopping = {s.name for s in found.changes if s.id.startswith("stop:")}
            assert not consumers & stopping & running
            assert {s.id for s in found.changes if s.id.startswith("stage:")} <= done
            running.discard(step.name)
        elif verb == "start":
            assert not [s for s in waiting if s.id.startswith("stop:")]
            starting = {s.name for s in found.changes if s.id.startswith("start:")}
            assert {link.provider for link in spec.members[step.name].links} & starting <= ready
            ready.add(step.name)
        elif verb in ("retire", "promote"):
            assert not [s for s in waiting if s.id.startswith(("start:", "steady:", "update:"))]
            assert verb == "retire" or not [s for s in waiting if s.id.startswith("retire:")]
        elif verb == "discard":
            assert not [s for s in waiting if s.id.startswith("promote:")]


@settings(max_examples=50)
@given(definitions(), definitions(), st.integers(0, 40), st.randoms(use_true_random=False))
def test_wherever_a_run_is_cut_off_the_next_one_converges(
    old: dict[str, t.Any], new: dict[str, t.Any], cut: int, chance: random.Random
) -> None:
    observed = deployed(old, "per-link")
    spec = spec_of(new)
    wanted = wanted_of(spec)
    found = steps(plan(spec, observed, wanted))
    containers = {container.name: container for container in observed.containers}
    done: set[str] = set()
    waiting = list(found.changes)
    promoted = False
    while waiting and len(done) < cut:
        step = chance.choice([step for step in waiting if done.issuperset(step.needs)])
        waiting.remove(step)
        done.add(step.id)
        verb, _colon, member = step.id.partition(":")
        base = names.container_name("shop", member)
        if verb == "stage":
            container = made(spec, wanted[member], f"{len(done):064x}")
            containers[base + ".new"] = dataclasses.replace(
                container, name=base + ".new", state="created", transaction="t"
            )
        elif verb == "stop":
            containers[base] = dataclasses.replace(containers[base], state="exited")
        elif verb == "start" and base + ".new" in containers:
            containers[base + ".new"] = dataclasses.replace(containers[base + ".new"], state="running")
        elif verb == "retire":
            containers[base + ".old"] = dataclasses.replace(containers.pop(base), name=base + ".old")
            promoted = True
        elif verb == "promote":
            containers[base] = dataclasses.replace(containers.pop(base + ".new"), name=base)
            promoted = True
        elif verb == "discard":
            del containers[base + ".old"]
    networks_now = {
        **observed.networks,
        **{
            s.name: deployed(new, "per-link").networks[s.name]
            for s in found.changes
            if s.kind == "network" and s.id in done and s.action == "create"
        },
    }
    left = dataclasses.replace(observed, containers=tuple(containers.values()), networks=networks_now)
    leftovers, settled = clean_up(left)
    assert all(container.name == container.base_name for container in settled.containers)
    if promoted and any(name.endswith((".new", ".old")) for name in containers):
        assert new_set_was_whole(left.containers)
        # Members that the new definition dropped may still be there: the next run removes them as orphans.
        assert {c.member for c in settled.containers} >= set(new)
    again = plan(spec, left, wanted)
    assert [change.id for change in again.changes[: len(leftovers)]] == [change.id for change in leftovers]
    now = after(spec, left, again)
    assert plan(spec, now, wanted).summaries() == []


@settings(max_examples=50)
@given(definitions(), definitions(), st.sets(st.sampled_from(MEMBERS)))
def test_taking_back_starts_what_ran_and_removes_what_is_new(
    old: dict[str, t.Any], new: dict[str, t.Any], stopped: set[str]
) -> None:
    before = deployed(old, "per-link")
    spec = spec_of(new)
    staged = [
        dataclasses.replace(made(spec, wanted, f"{n + 99:064x}"), name=f"shop_{name}.new")
        for n, (name, wanted) in enumerate(wanted_of(spec).items())
    ]
    old_now = [dataclasses.replace(c, state="exited") if c.member in stopped else c for c in before.containers]
    now = dataclasses.replace(
        before, containers=(*old_now, *staged), networks={**before.networks, **deployed(new, "per-link").networks}
    )
    back = take_back("shop", before, now)
    assert {change.name for change in back.changes if change.kind == "container" and change.action == "remove"} == {
        c.name for c in staged
    }
    ran = {c.member for c in before.containers if c.running}
    assert {change.name for change in back.changes if change.action == "start"} == ran & stopped
    assert {
        change.name for change in back.changes if change.kind == "network"
    } == now.networks.keys() - before.networks.keys()
    order = [change.name for change in back.changes if change.action == "start"]
    for name in order:
        providers = {link.split(":")[0] for c in before.containers if c.member == name for link in c.links} & set(order)
        assert all(order.index(provider) < order.index(name) for provider in providers)


def test_there_is_only_forward_once_a_new_container_has_its_name_or_an_old_one_is_gone() -> None:
    before = deployed({"a": {"image": "box:1"}, "b": {"image": "box:1"}}, "per-link")
    spec = spec_of({"a": {"image": "box:2"}, "b": {"image": "box:2"}})
    new = {name: made(spec, wanted, f"{n + 99:064x}") for n, (name, wanted) in enumerate(wanted_of(spec).items())}
    fresh = {name: dataclasses.replace(one, transaction="now") for name, one in new.items()}
    staged = [dataclasses.replace(one, name=f"shop_{name}.new") for name, one in fresh.items()]
    a, b = before.containers

    def took_over(*containers: t.Any) -> bool:
        return new_set_took_over(before, dataclasses.replace(before, containers=containers), "now")

    assert not took_over(a, b, *staged)
    assert took_over(dataclasses.replace(a, name="shop_a.old"), b, *staged)
    assert took_over(b, *staged)
    assert took_over(a, b, dataclasses.replace(fresh["a"], member="c", name="shop_c"))


def test_taking_back_restores_limits_and_connections() -> None:
    before = deployed({"a": {"image": "box:1", "memory": "64MiB"}, "b": {"image": "box:1"}}, "per-link")
    a, b = before.containers
    changed = dataclasses.replace(
        a, options={**a.options, "memory": 1 << 30}, attachments={**a.attachments, "shop_b": Attachment()}
    )
    parted = dataclasses.replace(b, attachments={})
    back = take_back("shop", before, dataclasses.replace(before, containers=(changed, parted)))
    assert [(change.action, change.name) for change in back.changes] == [
        ("restore limits of", "a"),
        ("restore connection of", "a to shop_b"),
        ("restore connection of", "b to shop_b"),
    ]
    assert back.changes[0].payload[1]["Memory"] == 64 << 20


def test_taking_back_starts_providers_before_their_consumers() -> None:
    before = deployed({"a": {"image": "box:1", "links": ["b"]}, "b": {"image": "box:1"}}, "per-link")
    stopped = tuple(dataclasses.replace(container, state="exited") for container in before.containers)
    back = take_back("shop", before, dataclasses.replace(before, containers=stopped))
    assert [(change.id, change.needs) for change in back.changes] == [
        ("start:container:b", ()),
        ("start:container:a", ("start:container:b",)),
    ]


def test_taking_back_leaves_what_another_set_made_meanwhile() -> None:
    before = dataclasses.replace(deployed({"a": {"image": "box:1"}}, "per-link"), volumes={})
    others = {
        "blog_db": Network("blog_db", "f" * 64, "blog", "acme"),
        "shop_b": Network("shop_b", "e" * 64, "shop", "acme"),
    }
    volumes = {"blog_data": {names.SET: "blog"}, "shop_data": {names.SET: "shop"}}
    now = dataclasses.replace(before, networks={**before.networks, **others}, volumes=volumes)
    removed = [(change.kind, change.name) for change in take_back("shop", before, now).changes]
    assert removed == [("network", "shop_b"), ("volume", "shop_data")]


def test_an_orphan_stays_when_told_so() -> None:
    observed = deployed({"a": {"image": "box:1"}, "b": {"image": "box:1", "links": ["a"]}}, "per-link")
    spec = spec_of({"a": {"image": "box:1"}}, remove_orphans=False)
    assert plan(spec, observed, wanted_of(spec)).summaries() == []


def test_a_plan_says_why() -> None:
    observed = deployed(
        {"a": {"image": "box:1", "memory": "64MiB", "environment": {"TOKEN": "old-secret"}}}, "per-link"
    )
    spec = spec_of({"a": {"image": "box:2", "memory": "128MiB", "environment": {"TOKEN": "new-secret"}}})
    change = plan(spec, observed, wanted_of(spec)).changes[-1]
    assert change.action == "replace"
    assert change.before["image"] == "box:1"
    assert change.before["memory"] == 64 << 20
    made_anew = plan(spec, empty(), wanted_of(spec))
    assert made_anew.changes[-1].after["environment"] == {"PATH": "(hidden)", "TOKEN": "(hidden)"}
    assert "-secret" not in f"{made_anew.summaries()}{made_anew.diff()}"
    assert "memory" in change.reason
    assert "image" in change.reason
    assert "secret" not in str(change.summary())
