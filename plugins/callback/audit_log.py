# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The callback plugin ``hardshell.xen.audit_log``."""

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_log
type: notification
short_description: Keeps a trail of what was changed, by whom and for whom
version_added: 0.1.0
author:
  - hardshell.xen contributors (@hardshell)
description:
  - Appends one line of JSON to a file for each task of this collection that changed something, and for each that failed when it had changed something.
    Tasks in check mode change nothing, and leave no line.
  - A line has C(time) in UTC, C(user) and C(controller) where the playbook was run, C(playbook), C(task), C(module), C(host) of the inventory,
    C(tenant), C(failed), and C(changes) as the module returned them; of a failure C(message) and C(journal) too. In AWX, C(user) is the one who started the
    job, and C(job) is the job's number.
  - The changes of modules hold no secrets. Of a task with C(no_log) the line says that it changed something, and C(changes) is V(null).
  - Where the file cannot be written, that is a warning, and the play goes on.
options:
  path:
    description:
      - The file. It is made with its folder if it is not there, readable for its owner alone.
    type: path
    default: ~/.local/state/hardshell.xen/audit.jsonl
    env:
      - name: HARDSHELL_AUDIT_LOG
    ini:
      - section: callback_hardshell_audit_log
        key: path
requirements:
  - enabled with C(callbacks_enabled = hardshell.xen.audit_log) in C(ansible.cfg), or with C(ANSIBLE_CALLBACKS_ENABLED) in the environment
"""

import datetime
import getpass
import json
import os
import socket
import typing as t

from ansible.plugins.callback import CallbackBase

from ..plugin_utils._audit_lines import entries

COLLECTION = "hardshell.xen."


class CallbackModule(CallbackBase):
    """Writes as results come in, a line with one call, so that several runs can share a file."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "hardshell.xen.audit_log"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._run: dict[str, t.Any] = {"user": _user(), "controller": socket.gethostname()}

    def v2_playbook_on_start(self, playbook: t.Any) -> None:
        self._run["playbook"] = playbook._file_name

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """AWX tells in extra variables who has started the job, and which it is."""
        given = play.get_variable_manager().extra_vars
        for name, key in (("user_name", "user"), ("job_id", "job")):
            told = given.get(f"awx_{name}") or given.get(f"tower_{name}")
            if told:
                self._run[key] = str(told)

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._note(result, failed=False)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:  # noqa: ARG002
        self._note(result, failed=True)

    def _note(self, result: t.Any, *, failed: bool) -> None:
        task, fields = result.task, result.task_fields
        module = task.resolved_action or task.action
        if not module.startswith(COLLECTION) or fields.get("check_mode"):
            return
        about = {
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **self._run,
            "task": result.task_name,
            "module": module,
            "host": result.host.get_name(),
        }
        for entry in entries(result.result, fields.get("args") or {}, failed=failed):
            self._write(json.dumps({**about, **entry}, default=str) + "\n")

    def _write(self, line: str) -> None:
        path = self.get_option("path")
        try:
            os.makedirs(os.path.dirname(os.path.abspath(path)), mode=0o700, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)
        except OSError as error:
            self._display.warning(f"audit_log: what was changed cannot be noted in {path}: {error}")


def _user() -> str:
    """Who runs the playbook: with sudo, the one who called it."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # no entry for this user id, as in a container
        return str(os.getuid())
