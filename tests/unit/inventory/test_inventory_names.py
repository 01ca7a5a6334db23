# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import random

import pytest
from ansible_collections.hardshell.xen.plugins.plugin_utils._inventory_names import Claim, group_names, host_names
from hypothesis import given
from hypothesis import strategies as st

UUIDS = [f"{number:08x}-0000" for number in range(4)] + ["00000000-0001"]
claims = st.builds(
    Claim,
    name=st.sampled_from(["web", "db", f"web_{UUIDS[0][:8]}", f"web_{UUIDS[0]}"]),
    marked=st.booleans(),
    uuid=st.sampled_from(UUIDS),
    pool=st.sampled_from(["a", "b"]),
)
many = st.lists(claims, max_size=6, unique_by=lambda claim: (claim.uuid, claim.pool))


@given(many)
def test_no_two_hosts_have_one_name(claimed: list[Claim]) -> None:
    named = host_names(claimed)
    assert len(set(named)) == len(claimed)


@given(many, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(claimed: list[Claim], chance: random.Random) -> None:
    named = dict(zip(claimed, host_names(claimed), strict=True))
    shuffled = list(claimed)
    chance.shuffle(shuffled)
    assert dict(zip(shuffled, host_names(shuffled), strict=True)) == named


@given(many)
def test_a_name_that_nobody_else_wants_is_kept(claimed: list[Claim]) -> None:
    wanted = [claim.name for claim in claimed]
    for claim, name in zip(claimed, host_names(claimed), strict=True):
        if wanted.count(claim.name) == 1:
            others = {
                other for other_claim, other in zip(claimed, host_names(claimed), strict=True) if other_claim != claim
            }
            assert name == claim.name or claim.name in others


def test_a_copy_does_not_rename_the_original() -> None:
    original = Claim("web", True, UUIDS[1], "a")
    copy = Claim("web", False, UUIDS[2], "a")
    assert host_names([copy, original]) == ["web_00000002", "web"]


def test_no_vm_is_called_what_ansible_calls_something_else() -> None:
    claimed = [Claim(name, True, UUIDS[1], "a") for name in ("localhost", "all", "web")]
    assert host_names(claimed) == ["localhost_00000001", "all_00000001", "web"]


def test_equals_both_give_way() -> None:
    assert host_names([Claim("web", False, UUIDS[1], "a"), Claim("web", False, UUIDS[2], "b")]) == [
        "web_00000001",
        "web_00000002",
    ]


def test_one_vm_in_two_pools() -> None:
    uuid = UUIDS[1]
    named = host_names([Claim("web", True, uuid, "a"), Claim("web", True, uuid, "b")])
    assert named == [f"web_{uuid}_a", f"web_{uuid}_b"]


@pytest.mark.parametrize(
    ("key", "name"),
    [(("tag", "gold"), "tag_gold"), (("tag", "a-b c"), "tag_a_b_c"), (("folder", "shop/web"), "folder_shop_web")],
)
def test_group_names(key: tuple[str, str], name: str) -> None:
    assert group_names([key]) == {key: name}


def test_values_that_become_one_group_are_told_apart() -> None:
    keys = [("tag", "a_b"), ("tag", "a-b"), ("tag", "a b")]
    named = group_names(keys)
    assert named["tag", "a_b"] == "tag_a_b"
    assert len(set(named.values())) == 3
    assert all(name.startswith("tag_a_b") and name.isidentifier() for name in named.values())
    assert group_names(reversed(keys)) == named
