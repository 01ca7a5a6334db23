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
        self._task.args = with_secrets_as_text(self._task.args)
        return super().run(tmp, task_vars)


def with_secrets_as_text(args: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The arguments with ``config_drive.user_data`` and ``vendor_data`` as one text each.

    Ansible hides each value inside a secret mapping wherever it occurs in a result, be it a common word or the number 1. Of a secret
    text it hides the whole, which is what is meant.
    """
    drive = args.get("config_drive")
    if not isinstance(drive, t.Mapping):
        return dict(args)
    given = {
        option: drive[option] for option in ("user_data", "vendor_data") if isinstance(drive.get(option), t.Mapping)
    }
    return {**args, "config_drive": {**drive, **{option: _text(value) for option, value in given.items()}}}


def _text(document: t.Mapping[str, t.Any]) -> str:
    head = "" if "ignition" in document else "#cloud-config\n"
    return head + json.dumps(document, indent=1, sort_keys=True, default=str) + "\n"
