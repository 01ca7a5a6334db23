# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks that members name themselves: what is refused, who is where, and the laws of planning with them."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.observe import Attachment
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.wanted import attachments
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from hypothesis import given, settings
from hypothesis import strategies as st

from .model import after, empty, spec_of, wanted_of
from .test_plan_laws import definitions

TIERS: dict[str, dict[str, t.Any]] = {
    "web": {"image": "box:1", "networks": ["front"], "links": ["api:backend"]},
    "api": {"image": "box:1", "networks": {"front": None, "back": ["middle"]}, "links": ["db:store"]},
    "db": {"image": "box:1", "networks": ["back"], "links": []},
    "job": {"image": "box:1", "networks": ["apart"], "links": ["db:store"]},
}


def test_members_are_where_they_say_under_their_names() -> None:
    spec = spec_of(TIERS, network="declared")
    assert set(spec.networks()) == {"shop_front", "shop_back", "shop_apart"}
    assert attachments(spec, spec.members["web"]) == {
        "shop_front": Attachment(frozenset({"web"}), frozenset({"api:backend"}))
    }
    assert attachments(spec, spec.members["api"]) == {
        "shop_back": Attachment(frozenset({"api", "middle"}), frozenset({"db:store"})),
        "shop_front": Attachment(frozenset({"api"})),
    }


def test_a_link_to_a_member_elsewhere_only_orders() -> None:
    spec = spec_of(TIERS, network="declared")
    assert attachments(spec, spec.members["job"]) == {"shop_apart": Attachment(frozenset({"job"}))}
    assert spec.order().index("db") < spec.order().index("job")


@pytest.mark.parametrize(
    ("network", "members", "message"),
    [
        ("declared", {"a": {}}, r"^containers\.a\.networks: None .*each member names its networks"),
        ("declared", {"a": {"networks": []}}, r"^containers\.a\.networks: \[\] .*at least one"),
        ("declared", {"a": {"networks": "n"}}, r"^containers\.a\.networks: 'n' .*a list"),
        ("declared", {"a": {"networks": ["a b"]}}, r"^containers\.a\.networks: 'a b'"),
        ("declared", {"a": {"networks": {"n": ["A_B"]}}}, r"^containers\.a\.networks\.n: 'A_B'"),
        ("per-link", {"a": {"networks": ["n"]}}, r"^containers\.a\.networks: .*network=declared only"),
        ("flat", {"a": {"networks": ["n"]}}, r"^containers\.a\.networks: .*network=declared only"),
        (
            "declared",
            {"a": {"networks": {"n": ["b"]}}, "b": {"networks": ["n"]}},
            r"^containers\.a\.networks\.n: 'b' .*'b' is known by this name there",
        ),
        (
            "declared",
            {"a": {"networks": {"n": ["x"]}}, "b": {"networks": {"n": ["x"]}}},
            r"^containers\.b\.networks\.n: 'x' .*'a' is known by this name there",
        ),
    ],
)
def test_refusals(network: str, members: dict[str, dict[str, t.Any]], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        spec_of({name: {"image": "box:1", **own} for name, own in members.items()}, network=network)


def test_one_alias_in_two_networks_is_no_clash() -> None:
    members = {"a": {"networks": {"n": ["x"]}}, "b": {"networks": {"m": ["x"]}}}
    spec = spec_of({name: {"image": "box:1", **own} for name, own in members.items()}, network="declared")
    assert spec.members["a"].networks == {"n": ("x",)}


@st.composite
def placed(draw: st.DrawFn) -> dict[str, t.Any]:
    definition = draw(definitions())
    for name, own in definition.items():
        if "network_mode" in own:
            continue
        places = draw(st.lists(st.sampled_from(["n", "m", "o"]), min_size=1, unique=True))
        own["networks"] = {place: [f"{name}-in-{place}"] if draw(st.booleans()) else [] for place in places}
        if "mac_address" in own:
            own["networks"][places[-1]] = {"mac_address": own.pop("mac_address")}
    return definition


@settings(max_examples=50)
@given(placed(), placed(), st.sampled_from(["per-link", "flat", "declared"]))
def test_after_an_update_nothing_is_left_to_do(old: dict[str, t.Any], new: dict[str, t.Any], network: str) -> None:
    before = spec_of(old, network="declared")
    observed = after(before, empty(), plan(before, empty(), wanted_of(before)))
    if network != "declared":
        new = {name: {key: value for key, value in own.items() if key != "networks"} for name, own in new.items()}
    spec = spec_of(new, network=network)
    now = after(spec, observed, plan(spec, observed, wanted_of(spec)))
    assert plan(spec, now, wanted_of(spec)).summaries() == []
    assert set(now.networks) == set(spec.networks())


MAC = "02:42:ac:11:00:07"


def test_a_member_is_made_in_the_network_where_it_has_an_address() -> None:
    networks = {"back": None, "front": {"aliases": ["shop"], "mac_address": MAC}}
    spec = spec_of({"web": {"image": "box:1", "networks": networks}}, network="declared")
    assert spec.own_network("web") == "shop_front"
    assert wanted_of(spec)["web"].values["mac_address"] == MAC
    assert attachments(spec, spec.members["web"])["shop_front"] == Attachment(frozenset({"web", "shop"}))


@pytest.mark.parametrize(
    ("member", "option"),
    [
        ({"networks": {"a": {"mac_address": MAC}, "b": {"mac_address": MAC}}}, "networks.b.mac_address"),
        ({"networks": ["a", "b"], "mac_address": MAC}, "mac_address"),
        ({"networks": {"a": {"mac_address": "03:00:00:00:00:01"}}}, "networks.a.mac_address"),
        ({"networks": {"a": {"mac": MAC}}}, "networks.a.mac"),
        ({"networks": ["a"], "mac_address": MAC, "replicas": 2}, "mac_address"),
    ],
)
def test_an_address_that_cannot_be_kept_is_refused(member: dict[str, t.Any], option: str) -> None:
    with pytest.raises(OptionError) as refusal:
        spec_of({"web": {"image": "box:1", **member}}, network="declared")
    assert refusal.value.option == f"containers.web.{option}"
