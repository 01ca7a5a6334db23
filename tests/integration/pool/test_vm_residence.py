# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM is started on the host asked for, and moved while it runs."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

import pytest
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}


@pytest.fixture
def lab() -> Iterator[Lab]:
    srs = [{"name": "shared", "type": "nfs", "shared": True, "default": True}]
    with Lab(backend="none", event_from_delay=0, hosts=[{"name": "xen1"}, {"name": "xen2"}], srs=srs) as two_hosts:
        yield two_hosts


def test_started_on_and_moved_to_a_host(pool: Pool, shop: dict[str, t.Any]) -> None:
    for first in ("xen2", "xen1"):
        made = pool.four_steps("vm", **shop, resident_on=first)
        assert made["vm"]["host"] == first
        pool.ok("vm", **SHOP, state="absent", force=True)
    pool.ok("vm", **shop, resident_on="xen1")
    moved = pool.four_steps("vm", **shop, resident_on="xen2")
    assert [change["action"] for change in moved["changes"]] == ["migrate"]
    assert (moved["diff"]["before"]["host"], moved["diff"]["after"]["host"]) == ("xen1", "xen2")
    assert moved["vm"]["power_state"] == "running"
    assert moved["vm"]["host"] == "xen2"
