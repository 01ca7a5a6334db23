# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locked interfaces in a pool whose licence has run out."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import marks
from ansible_collections.hardshell.xen.plugins.module_utils._pool.nic_spec import NicSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.nics import NicPlan, plan_nics
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import Network, Pool
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import Nic, Vm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import VmSpec

OWNER = marks.Owner("acme", "acme-shop")
POOL = Pool(
    networks=(Network("n1", "u1", "front"), Network("n2", "u2", "back")), restrictions={"restrict_vif_locking": "true"}
)
LOCKED = Nic("web", "front", "n1", "02:00:00:00:00:01", 0, vif="v", locking_mode="locked", ipv4_allowed=("192.0.2.1",))


def planned(nic: Nic | None, **asked: t.Any) -> NicPlan:
    wanted = {"name": "web", "network": "front", "locking_mode": "locked", "ipv4_allowed": ("192.0.2.1",), **asked}
    vm = Vm("shop", OWNER, "halted", nics=(nic,) if nic else ())
    return plan_nics(VmSpec("shop", OWNER, networks=(NicSpec(**wanted),)), vm, POOL)


def test_what_is_locked_stays_so_and_may_change_otherwise() -> None:
    assert planned(LOCKED).changes == ()
    for change in ({"rate_limit": 500}, {"network": "back"}):
        assert [each.action for each in planned(LOCKED, **change).changes] == ["update"]


@pytest.mark.parametrize(
    ("nic", "asked"),
    [
        (None, {}),
        (Nic("web", "front", "n1", "02:00:00:00:00:01", 0, vif="v"), {}),
        (LOCKED, {"ipv4_allowed": ("192.0.2.2",)}),
        (LOCKED, {"mac": "02:00:00:00:00:02"}),
    ],
)
def test_what_xapi_would_refuse_is_refused_before_anything_is_changed(nic: Nic | None, asked: dict[str, t.Any]) -> None:
    with pytest.raises(OptionError, match=r"^networks\[0\]\.locking_mode: .*restrict_vif_locking"):
        planned(nic, **asked)
