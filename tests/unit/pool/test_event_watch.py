# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a pool's events is told: changes and no touches, of whom it is, and nothing lost where events were."""

from __future__ import annotations

import json
import typing as t
import xmlrpc.client

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.event_watch import Watch, WatchSpec, watch_spec
from hypothesis import given
from hypothesis import strategies as st

Record = dict[str, t.Any]
World = dict[str, tuple[str, Record]]


def vm(uuid: str, tenant: str | None = None, **fields: t.Any) -> Record:
    marks = {"hardshell:tenant": tenant, "hardshell:host": f"{tenant}-{uuid}", "hardshell:vm": uuid} if tenant else {}
    record = {
        "uuid": uuid,
        "name_label": uuid,
        "power_state": "Running",
        "snapshot_of": "OpaqueRef:NULL",
        "metrics": f"metrics of {uuid}",
        "guest_metrics": "OpaqueRef:NULL",
        "allowed_operations": [],
        "other_config": marks,
    }
    return {**record, **fields}


def event(operation: str, class_name: str, ref: str, snapshot: Record | None = None) -> dict[str, t.Any]:
    told = {"id": "1", "timestamp": "0.0", "class": class_name, "operation": operation, "ref": ref}
    return told if snapshot is None else {**told, "snapshot": snapshot}


def begun(spec: WatchSpec, *events: dict[str, t.Any]) -> Watch:
    watch = Watch(spec)
    assert watch.take(events, whole=True, silent=True) == []
    return watch


def test_a_change_is_told_with_what_was_before_and_a_touch_is_not() -> None:
    watch = begun(WatchSpec(), event("add", "vm", "a", vm("1", "acme")))
    (told,) = watch.take([event("mod", "vm", "a", vm("1", "acme", power_state="Halted"))])
    assert told["changed"] == {"power_state": {"before": "Running", "after": "Halted"}}
    assert (told["tenant"], told["host"], told["name"], told["operation"]) == ("acme", "acme-1", "1", "mod")
    touched = event("mod", "vm", "a", vm("1", "acme", power_state="Halted", allowed_operations=["start"]))
    assert watch.take([touched]) == []
    (gone,) = watch.take([event("del", "vm", "a")])
    assert (gone["operation"], gone["tenant"], gone["record"]["power_state"]) == ("del", "acme", "Halted")


def test_only_the_fields_that_are_asked_for() -> None:
    watch = begun(WatchSpec(fields=frozenset({"allowed_operations"})), event("add", "vm", "a", vm("1")))
    assert watch.take([event("mod", "vm", "a", vm("1", power_state="Halted"))]) == []
    (told,) = watch.take([event("mod", "vm", "a", vm("1", power_state="Halted", allowed_operations=["start"]))])
    assert list(told["changed"]) == ["allowed_operations"]


def test_what_is_a_tenants_by_its_vm() -> None:
    classes = frozenset({"vbd", "vm_metrics", "message", "vdi"})
    watch = begun(
        WatchSpec(classes, frozenset({"acme"})),
        event("add", "vm", "a", vm("1", "acme")),
        event("add", "vm", "b", vm("2", "globex")),
    )
    events = [
        event("add", kind, f"{kind} of {ref}", record)
        for ref, uuid, tenant in (("a", "1", "acme"), ("b", "2", "globex"))
        for kind, record in (
            ("message", {"uuid": "m", "name": "VM_CRASHED", "obj_uuid": uuid}),
            ("vbd", {"uuid": "v", "VM": ref}),
            ("vdi", {"uuid": "d", "name_label": "disk", "other_config": {"hardshell:tenant": tenant}}),
            ("vm_metrics", {"uuid": "x"}),
        )
    ]
    events = [{**each, "ref": each["ref"].replace("vm_metrics of a", "metrics of 1")} for each in events]
    told = watch.take(events)
    assert {each["class"] for each in told} == set(classes)
    assert {each["tenant"] for each in told} == {"acme"}
    # The last messages about a VM come with its end.
    last = event("add", "message", "m2", {"uuid": "n", "name": "VM_SHUTDOWN", "obj_uuid": "1"})
    assert [each["name"] for each in watch.take([last, event("del", "vm", "a")])][:1] == ["VM_SHUTDOWN"]


def test_a_copy_of_a_vm_is_not_the_tenants_until_it_is_marked_itself() -> None:
    watch = begun(WatchSpec(tenants=frozenset({"acme"})), event("add", "vm", "a", vm("1", "acme")))
    copied = vm("2", other_config=vm("1", "acme")["other_config"])
    assert watch.take([event("add", "vm", "b", copied)]) == []
    (added,) = watch.take([event("mod", "vm", "b", vm("2", "acme"))])
    assert (added["operation"], added["host"]) == ("add", "acme-2")
    (snapshot,) = watch.take([event("add", "vm", "s", {**copied, "uuid": "3", "snapshot_of": "b"})])
    assert snapshot["host"] == "acme-2"


def test_no_secret_and_nothing_that_json_does_not_hold() -> None:
    device = {"server": "nas", "cifspassword": "hunter2", "password_secret": "OpaqueRef:1"}
    watch = Watch(WatchSpec(frozenset({"pbd"})))
    record = {
        "uuid": "1",
        "device_config": device,
        "at": xmlrpc.client.DateTime("20260101T00:00:00Z"),
        "NVRAM": {"EFI": "x"},
    }
    told = watch.take([event("add", "pbd", "p", record)], whole=True)
    assert json.loads(json.dumps(told)) == told
    assert told[0]["record"] == {"uuid": "1", "device_config": {"server": "nas"}, "at": "20260101T00:00:00Z"}
    with pytest.raises(OptionError, match="'secret'"):
        watch_spec(["vm", "secret"], [], [], False)


def test_a_gap_is_read_over_once() -> None:
    watch = begun(WatchSpec(), event("add", "vm", "a", vm("1")), event("add", "vm", "b", vm("2")))
    assert not watch.has_gap({"vm": 2, "host": 5})
    assert watch.has_gap({"vm": 1})
    assert not watch.has_gap({"vm": 1})
    assert watch.has_gap({"vm": 0})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((["vmx"], [], [], False), "classes: 'vmx'"),
        (([], [], [], False), "classes: ''"),
        ((["host"], ["acme"], [], False), "tenants:"),
    ],
)
def test_what_can_never_be_told_is_refused(arguments: tuple[t.Any, ...], expected: str) -> None:
    with pytest.raises(OptionError, match=expected):
        watch_spec(*arguments)


VMS = st.dictionaries(
    st.sampled_from("abc"), st.tuples(st.sampled_from([None, "acme", "globex"]), st.sampled_from(["Running", "Halted"]))
)
VBDS = st.dictionaries(st.sampled_from(["v", "w"]), st.tuples(st.sampled_from("abc"), st.booleans()))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    vms: World = {ref: ("vm", vm(ref, tenant, power_state=state)) for ref, (tenant, state) in draw(VMS).items()}
    vbds: World = {
        ref: ("vbd", {"uuid": ref, "VM": of, "currently_attached": attached})
        for ref, (of, attached) in draw(VBDS).items()
    }
    return vms | vbds


def as_event_from_tells(before: World, after: World) -> list[dict[str, t.Any]]:
    adds = [event("add", kind, ref, record) for ref, (kind, record) in after.items() if ref not in before]
    mods = [event("mod", *(after[ref][0], ref, after[ref][1])) for ref in after if ref in before]
    dels = [event("del", before[ref][0], ref) for ref in before if ref not in after]
    return adds + mods + dels


@given(st.lists(st.tuples(worlds(), st.booleans()), max_size=6), st.sampled_from([frozenset(), frozenset({"acme"})]))
def test_who_follows_what_is_told_has_what_is_there(steps: list[tuple[World, bool]], tenants: frozenset[str]) -> None:
    """Whether XAPI told of each change, or the pool was read whole after some were missed."""
    watch = begun(WatchSpec(frozenset({"vm", "vbd"}), tenants))
    followed: dict[str, Record] = {}
    before: World = {}
    for world, missed in steps:
        known = [event("add", kind, ref, record) for ref, (kind, record) in world.items()]
        told = watch.take(known, whole=True) if missed else watch.take(as_event_from_tells(before, world))
        for each in told:
            assert (each["ref"] in followed) == (each["operation"] != "add")
            if each["operation"] == "del":
                del followed[each["ref"]]
            else:
                assert followed.get(each["ref"]) != each["record"]
                followed[each["ref"]] = each["record"]
        owners = {
            ref: record["other_config"].get("hardshell:tenant") for ref, (kind, record) in world.items() if kind == "vm"
        }
        wanted = {
            ref: record
            for ref, (kind, record) in world.items()
            if not tenants or owners.get(ref if kind == "vm" else record["VM"]) in tenants
        }
        assert followed == wanted
        before = world
