# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ``hardshell.xen.vm`` inside the controller."""

from __future__ import annotations

import json
import typing as t

from ansible_collections.hardshell.xen.plugins.modules import vm
from ansible_collections.hardshell.xen.plugins.plugin_utils._in_controller import InController


class ActionModule(InController):
    definition = vm.DEFINITION

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        self._task.args = with_user_data_as_text(self._task.args)
        return super().run(tmp, task_vars)


def with_user_data_as_text(args: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The arguments with ``config_drive.user_data`` as one text.

    Ansible hides each value inside a secret mapping wherever it occurs in a result, be it a common word or the number 1. Of a secret
    text it hides the whole, which is what is meant.
    """
    drive = args.get("config_drive")
    if not isinstance(drive, t.Mapping) or not isinstance(drive.get("user_data"), t.Mapping):
        return dict(args)
    head = "" if "ignition" in drive["user_data"] else "#cloud-config\n"
    text = head + json.dumps(drive["user_data"], indent=1, sort_keys=True, default=str) + "\n"
    return {**args, "config_drive": {**drive, "user_data": text}}
