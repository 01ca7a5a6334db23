# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is kept of a task's result."""

from __future__ import annotations

import typing as t

from ansible_collections.hardshell.xen.plugins.plugin_utils._audit_lines import entries

CHANGE = {"action": "create", "kind": "vm", "name": "shop"}
MADE: dict[str, t.Any] = {
    "changed": True,
    "changes": [CHANGE],
    "vm": {"uuid": "u"},
    "invocation": {"module_args": {"tenant": "acme", "config_drive": {"user_data": "s3cret"}}},
}


def test_a_change_is_kept_with_its_tenant_and_nothing_else() -> None:
    assert entries(MADE, {}, failed=False) == [{"tenant": "acme", "failed": False, "changes": [CHANGE]}]


def test_what_changed_nothing_is_not_kept() -> None:
    assert entries({"changed": False, "changes": []}, {}, failed=False) == []
    assert entries({"msg": "no such pool"}, {}, failed=True) == []
    assert entries({"msg": "no", "journal": [{"change": "create vm shop", "state": "failed"}]}, {}, failed=True) == []


def test_a_failure_that_had_changed_something_is_kept_with_its_journal() -> None:
    journal = [{"change": "create vm shop", "state": "done"}, {"change": "create disk data", "state": "failed"}]
    (entry,) = entries({"msg": "no space", "journal": journal}, {"tenant": "acme"}, failed=True)
    assert entry == {"tenant": "acme", "failed": True, "changes": None, "message": "no space", "journal": journal}


def test_a_loop_is_as_many_tasks() -> None:
    unchanged = {**MADE, "changed": False}
    other = {**MADE, "invocation": {"module_args": {"tenant": "globex"}}}
    kept = entries({"changed": True, "results": [MADE, unchanged, other]}, {}, failed=False)
    assert [entry["tenant"] for entry in kept] == ["acme", "globex"]
