# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fate that a set's members share: what is asked, and what changes when it does."""

from __future__ import annotations

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError

from .model import after, empty, spec_of, wanted_of

SHOP = {"web": {"image": "box:1", "links": ["db"]}, "db": {"image": "box:1"}}


def test_a_set_that_shares_one_fate_is_restarted_unless_told_otherwise() -> None:
    assert spec_of(SHOP).fate == ""
    assert spec_of(SHOP, fate="shared").fate == "restart"
    assert spec_of(SHOP, fate="shared", fate_reaction="stop_vm").fate == "stop-vm"


def test_a_reaction_without_a_shared_fate_is_refused() -> None:
    with pytest.raises(OptionError, match="fate=shared"):
        spec_of(SHOP, fate_reaction="stop")


def test_another_fate_replaces_each_member_and_says_why() -> None:
    old, new = spec_of(SHOP), spec_of(SHOP, fate="shared", fate_reaction="stop")
    observed = after(old, empty(), plan(old, empty(), wanted_of(old)))
    changes = plan(new, observed, wanted_of(new)).changes
    assert [(change.action, change.name, change.reason) for change in changes] == [
        ("replace", "db", "fate differs"),
        ("replace", "web", "fate differs"),
    ]
    assert (changes[0].before, changes[0].after) == ({"fate": "independent"}, {"fate": "shared, stop"})
