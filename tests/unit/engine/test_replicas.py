# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas of a member: their names, who finds them, and what they cannot have."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.observe import Attachment
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.wanted import attachments
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError

from .model import spec_of, wanted_of
from .test_plan_laws import deployed

BOX: dict[str, t.Any] = {"image": "box:1"}


def shop(count: int, **links: t.Any) -> dict[str, t.Any]:
    return {
        "web": {**BOX, "links": ["api"], **links},
        "api": {**BOX, "links": ["db"], "replicas": count},
        "db": BOX,
    }


def test_replicas_start_before_their_consumers_and_share_name_and_network() -> None:
    spec = spec_of(shop(3))
    assert spec.order() == ["db", "api-1", "api-2", "api-3", "web"]
    assert set(spec.networks()) == {"shop_web", "shop_api", "shop_db"}
    for number in (1, 2, 3):
        assert attachments(spec, spec.members[f"api-{number}"]) == {
            "shop_api": Attachment(frozenset({"api"})),
            "shop_db": Attachment(),
        }
    assert attachments(spec, spec.members["web"])["shop_api"] == Attachment()


def test_a_consumers_own_name_for_them_is_for_all_of_them() -> None:
    spec = spec_of(shop(2, links=["api:backend"]))
    assert attachments(spec, spec.members["web"])["shop_api"] == Attachment(links=frozenset({"api:backend"}))


@pytest.mark.parametrize(("before", "now"), [(1, 3), (3, 1), (3, 2), (2, 2)])
def test_another_number_adds_and_removes_what_it_must(before: int, now: int) -> None:
    observed = deployed(shop(before), "per-link")
    spec = spec_of(shop(now))
    planned = plan(spec, observed, wanted_of(spec))
    of_api = {change.name: change.action for change in planned.changes if change.name.startswith("api")}
    had = {f"api-{n + 1}" for n in range(before)} if before > 1 else {"api"}
    has = {f"api-{n + 1}" for n in range(now)} if now > 1 else {"api"}
    assert {change.name for change in planned.changes if change.kind == "container"} == of_api.keys(), "consumers stay"
    assert of_api == {**dict.fromkeys(has - had, "create"), **dict.fromkeys(had - has, "remove")}


@pytest.mark.parametrize(
    ("api", "others", "option"),
    [
        ({"ports": ["8080:80"]}, {}, "containers.api.ports"),
        ({}, {"api-2": BOX}, "containers.api.replicas"),
        ({"replicas": 0}, {}, "containers.api.replicas"),
        ({"replicas": "many"}, {}, "containers.api.replicas"),
    ],
)
def test_what_replicas_cannot_have_is_refused(api: dict[str, t.Any], others: dict[str, t.Any], option: str) -> None:
    with pytest.raises(OptionError) as refusal:
        spec_of({"api": {**BOX, "replicas": 2, **api}, **others})
    assert refusal.value.option == option
