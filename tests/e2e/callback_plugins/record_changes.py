# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the ``changes`` of every task's result to the file that RECORD_CHANGES names: one JSON object a line."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: record_changes
type: aggregate
short_description: Records the changes that results announce
description: For the tests only.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "record_changes"

    def v2_runner_on_ok(self, result: Any) -> None:
        changes = result.result.get("changes")
        if not changes or not result.result.get("changed"):
            return
        line = {"host": result.host.name, "task": result.task.name, "changes": changes}
        with open(os.environ["RECORD_CHANGES"], "a", encoding="utf-8") as record:
            record.write(json.dumps(line, default=str) + "\n")
