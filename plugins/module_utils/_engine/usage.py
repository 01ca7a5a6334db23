# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What running containers use at this moment, as the engine accounts for it.

Source of the facts: GET /containers/ID/stats of the Docker API 1.41 to 1.55. ``one-shot`` spares the second that the engine else takes to compare.
"""

from __future__ import annotations

import concurrent.futures
import typing as t

from .api import Engine, EngineError

JSON = dict[str, t.Any]
READERS = 4


def read_usages(engine: Engine, identities: t.Iterable[str]) -> dict[str, JSON]:
    """The usage of each running container, by id. One that has ended meanwhile is left out."""
    wanted = list(identities)
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        found = pool.map(lambda identity: _read(engine, identity), wanted)
        return {identity: usage for identity, usage in zip(wanted, found, strict=True) if usage is not None}


def _read(engine: Engine, identity: str) -> JSON | None:
    query: dict[str, t.Any] = {"stream": 0, "one-shot": 1}
    try:
        return usage(engine.get(f"/containers/{identity}/stats", **query))
    except EngineError as error:
        if error.status in (404, 409):
            return None
        raise


def usage(stats: JSON) -> JSON:
    """Processor time in seconds since the start, memory in bytes without what the kernel can drop at once, processes, and bytes moved since the start."""
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    # The second name is that of cgroups version 1.
    droppable = details.get("inactive_file", details.get("total_inactive_file", 0))
    networks = (stats.get("networks") or {}).values()
    moved = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    return {
        "cpu_seconds": round(((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage", 0) / 10**9, 3),
        "memory": max(0, memory.get("usage", 0) - droppable),
        "pids": (stats.get("pids_stats") or {}).get("current") or 0,
        "network_received": sum(network.get("rx_bytes", 0) for network in networks),
        "network_sent": sum(network.get("tx_bytes", 0) for network in networks),
        "disk_read": _moved(moved, "read"),
        "disk_written": _moved(moved, "write"),
    }


def _moved(entries: t.Iterable[JSON], direction: str) -> int:
    return sum(entry["value"] for entry in entries if entry["op"].lower() == direction)
