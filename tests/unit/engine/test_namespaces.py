# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members that share namespaces, and members that follow their provider."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import names, reported
from ansible_collections.hardshell.xen.plugins.module_utils._engine.findings import container_findings
from ansible_collections.hardshell.xen.plugins.module_utils._engine.namespaces import by_member
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.steps import steps
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError

from .model import empty, spec_of, wanted_of
from .test_plan_laws import deployed

BOX = {"image": "box:1"}
SHARING: dict[str, t.Any] = {"vpn": BOX, "app": {**BOX, "network_mode": "service:vpn"}}


def changes(definition: dict[str, t.Any], observed: t.Any) -> list[tuple[str, str, str]]:
    spec = spec_of(definition)
    return [(change.action, change.name, change.reason) for change in plan(spec, observed, wanted_of(spec)).changes]


def test_who_shares_a_network_has_none_and_is_made_after_it() -> None:
    spec = spec_of(SHARING)
    assert spec.networks() == ("shop_vpn",)
    assert wanted_of(spec)["app"].attachments == {}
    found = {step.id: step for step in steps(plan(spec, empty(), wanted_of(spec))).changes}
    assert "stage:vpn" in found["stage:app"].needs
    assert "start:vpn" in found["start:app"].needs


def test_who_is_in_the_vms_network_has_none_of_its_own_and_a_finding() -> None:
    definition = {"agent": {**BOX, "network_mode": "host", "hostname": "agent", "links": ["db"]}, "db": BOX}
    spec = spec_of(definition)
    assert spec.networks() == ("shop_db",)
    assert changes(definition, deployed(definition, "per-link")) == []
    assert any("the VM's own network" in warning for warning in spec.warnings)
    values = {name: {**one.values, "network_mode": one.network} for name, one in wanted_of(spec).items()}
    assert [(found["id"], found["severity"]) for found in container_findings("acme", "shop", values)] == [
        ("host-network", "medium")
    ]


def test_the_engine_tells_its_machines_name_for_who_is_in_its_network() -> None:
    told: dict[str, t.Any] = {"Id": "f" * 64, "Config": {"Hostname": "vm"}, "HostConfig": {"NetworkMode": "host"}}
    assert reported.hostname(told) == ""
    told["Config"]["Labels"] = {names.ASKED: "files,hostname"}
    assert reported.hostname(told) == "vm"


@pytest.mark.parametrize("how", [{"network_mode": "service:db"}, {"links": ["db"], "follows": ["db"]}])
def test_a_provider_that_is_replaced_takes_its_followers_along(how: dict[str, t.Any]) -> None:
    definition = {"db": BOX, "app": {**BOX, **how}, "web": {**BOX, "links": ["db"] if "links" in how else []}}
    observed = deployed(definition, "per-link")
    told = changes({**definition, "db": {"image": "box:2", "user": "1"}}, observed)
    assert [(action, name) for action, name, _why in told if name in definition] == [
        ("replace", "db"),
        ("replace", "app"),
    ]
    assert "it follows db" in told[-1][2]
    # What can be changed in place moves nobody.
    assert [name for _action, name, _why in changes({**definition, "db": {**BOX, "memory": "64MiB"}}, observed)] == [
        "db"
    ]


def test_who_was_started_before_the_network_that_it_shares_is_replaced() -> None:
    observed = deployed(SHARING, "per-link")
    for started, expected in (("2026-01-01T00:00:00.1Z", ["app"]), ("2026-01-01T00:00:00Z", [])):
        moved = [
            dataclasses.replace(one, started_at=started) if one.member == "vpn" else one for one in observed.containers
        ]
        seen = dataclasses.replace(observed, containers=tuple(moved))
        assert [name for _action, name, _why in changes(SHARING, seen)] == expected


def test_the_engines_ids_are_told_as_names_unless_they_are_of_what_was_set_aside() -> None:
    vpn, app = (
        next(one for one in deployed(SHARING, "per-link").containers if one.member == name) for name in ("vpn", "app")
    )
    app = dataclasses.replace(app, network_mode=f"container:{vpn.id}")
    for found, expected in (
        (vpn, "service:vpn"),
        (dataclasses.replace(vpn, name="shop_vpn.old"), f"container:{vpn.id}"),
    ):
        assert by_member([found, app], lambda one: one.member)[1].network_mode == expected


@pytest.mark.parametrize(
    ("app", "vpn", "option"),
    [
        ({"network_mode": "service:gone"}, {}, "app.network_mode"),
        ({"network_mode": "service:app"}, {}, "app.network_mode"),
        ({"network_mode": "bridge"}, {}, "app.network_mode"),
        ({"network_mode": "host", "ports": ["80:80"]}, {}, "app.ports"),
        ({"links": ["vpn"]}, {"network_mode": "host"}, "app.links"),
        ({"network_mode": "service:vpn", "hostname": "x"}, {}, "app.hostname"),
        ({"network_mode": "service:vpn"}, {"replicas": 2}, "app.network_mode"),
        ({"network_mode": "service:vpn"}, {"network_mode": "none"}, "app.network_mode"),
        ({"ipc_mode": "service:vpn"}, {}, "app.ipc_mode"),
        ({"links": ["vpn"]}, {"network_mode": "none"}, "app.links"),
        ({"follows": ["vpn"]}, {}, "app.follows"),
        ({"network_mode": "service:vpn", "links": ["db"]}, {}, "app.links"),
    ],
)
def test_what_cannot_be_shared_or_followed_is_refused(
    app: dict[str, t.Any], vpn: dict[str, t.Any], option: str
) -> None:
    with pytest.raises(OptionError) as refusal:
        spec_of({"vpn": {**BOX, **vpn}, "app": {**BOX, **app}, "db": BOX})
    assert refusal.value.option == f"containers.{option}"
