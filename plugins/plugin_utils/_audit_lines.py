# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""From a task's result to what is kept of it: who changed what, for whom. Pure.

A module's ``changes`` and ``journal`` hold no secrets. Nothing else of a result is kept, but for the message of a failure.
"""

from __future__ import annotations

import typing as t

JSON = dict[str, t.Any]


def entries(result: t.Mapping[str, t.Any], args: t.Mapping[str, t.Any], *, failed: bool) -> list[JSON]:
    """What a task changed, one entry for each item of a loop that changed something. ``args`` are the task's."""
    if isinstance(result.get("results"), list):
        items = [item for item in result["results"] if isinstance(item, dict)]
        return [entry for item in items for entry in entries(item, args, failed=bool(item.get("failed")))]
    done = [step for step in result.get("journal") or [] if step.get("state") != "failed"]
    if not (result.get("changed") or (failed and done)):
        return []
    entry: JSON = {"tenant": _tenant(result, args), "failed": failed, "changes": result.get("changes")}
    if failed:
        entry |= {"message": str(result.get("msg", "")), "journal": result.get("journal")}
    return [entry]


def _tenant(result: t.Mapping[str, t.Any], args: t.Mapping[str, t.Any]) -> str | None:
    """Whose it is: what the module was asked with, since what it has removed is not in its result."""
    asked = (result.get("invocation") or {}).get("module_args") or args
    tenant = asked.get("tenant")
    return str(tenant) if tenant else None
