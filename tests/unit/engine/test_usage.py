# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a container uses, from what engines report under both versions of cgroups."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.usage import usage


@pytest.mark.parametrize(
    ("droppable", "read", "write"), [("inactive_file", "read", "write"), ("total_inactive_file", "Read", "Write")]
)
def test_memory_that_the_kernel_can_drop_and_other_operations_do_not_count(
    droppable: str, read: str, write: str
) -> None:
    moved = [{"op": op, "value": value} for op, value in ((read, 5), (write, 7), (read, 1), ("Total", 13))]
    stats: dict[str, t.Any] = {
        "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
        "memory_stats": {"usage": 100, "stats": {droppable: 30}},
        "pids_stats": {"current": 3},
        "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 10, "tx_bytes": 20}},
        "blkio_stats": {"io_service_bytes_recursive": moved},
    }
    assert usage(stats) == {
        "cpu_seconds": 2.5,
        "memory": 70,
        "pids": 3,
        "network_received": 11,
        "network_sent": 22,
        "disk_read": 6,
        "disk_written": 7,
    }


def test_what_an_engine_does_not_account_for_is_nothing() -> None:
    assert set(usage({"blkio_stats": {"io_service_bytes_recursive": None}}).values()) == {0}
