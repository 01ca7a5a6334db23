# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The fast path: a module's definition, run inside the controller's own process.

Used when the task's target is the controller. Delegated elsewhere, with become or async, the ordinary module runs instead.
"""

from __future__ import annotations

import collections.abc
import contextlib
import ctypes
import json
import multiprocessing
import os
import signal
import typing as t

from ansible import constants as C
from ansible.errors import AnsibleUndefinedConfigEntry
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.module_utils.common.parameters import remove_values
from ansible.module_utils.errors import UnsupportedError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils._errors import HardshellError
from ..module_utils._module import Context, ModuleDefinition, failure, silent

display = Display()

PR_SET_PDEATHSIG = 1  # linux/prctl.h


class InController(ActionBase):
    """Base of the collection's action plugins: a subclass names its module's definition, and no more."""

    _supports_async = True  # by way of the ordinary module
    definition: ModuleDefinition

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        if not self._target_is_controller():
            result.update(self._execute_module(task_vars=task_vars, wrap_async=self._task.async_val))
            return result
        _end_with_the_controller()
        environment: dict[str, t.Any] = {}
        self._compute_environment_string(environment)
        with _environment(environment):
            result.update(self._run_here((task_vars or {}).get("inventory_hostname", "localhost")))
        if not _invocation_is_wanted(task_vars):
            result.pop("invocation", None)
        return result

    def _target_is_controller(self) -> bool:
        return self._connection.transport == "local" and not self._task.async_val and not self._connection.become

    def _run_here(self, host: str) -> dict[str, t.Any]:
        validator = ModuleArgumentSpecValidator(self.definition.argument_spec, **self.definition.constraints())
        validation = validator.validate(_as_sent_to_a_module(self._task.args))
        secrets = validation._no_log_values
        parameters = validation.validated_parameters
        invocation = self.definition.invocation(parameters)
        if validation.error_messages:
            message = validation.errors.msg
            if isinstance(validation.errors[0], UnsupportedError):
                message = f"Unsupported parameters for ({self._task.action}) module: {message}"
            return remove_values({"failed": True, "msg": message, "invocation": invocation}, secrets)

        def show(text: str) -> None:
            display.display(f"{host} | {remove_values(text, secrets)}")

        def warn(text: str) -> None:
            display.warning(remove_values(text, secrets))

        context = Context(
            check_mode=self._task.check_mode,
            diff_mode=self._task.diff,
            progress=silent if self._task.no_log else show,
            warn=warn,
        )
        try:
            outcome = self.definition.run(parameters, context)
        except HardshellError as error:
            outcome = {"failed": True, **failure(error)}
        return remove_values({**outcome, "invocation": invocation}, secrets)


def _invocation_is_wanted(task_vars: dict[str, t.Any] | None) -> bool:
    """Whether results tell the options of the task: always before ansible-core 2.21, from then on by the setting ``inject_invocation``."""
    try:
        return bool(C.config.get_config_value("INJECT_INVOCATION", variables=task_vars or {}))
    except AnsibleUndefinedConfigEntry:
        return True


def _end_with_the_controller() -> None:
    """Let this worker be killed when the process that started it is.

    ansible-core's workers are in a session of their own: one whose controller was killed would go on with its task, beside the next run. Linux only.
    """
    if multiprocessing.parent_process() is not None:
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _as_sent_to_a_module(args: collections.abc.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The task's arguments as plain data: Ansible's tagged strings are not ``str`` for a marshaller such as XML-RPC's."""
    encoder = get_module_encoder("legacy", Direction.CONTROLLER_TO_MODULE)
    plain: dict[str, t.Any] = json.loads(json.dumps(args, cls=encoder))
    return plain


@contextlib.contextmanager
def _environment(added: collections.abc.Mapping[str, t.Any]) -> collections.abc.Iterator[None]:
    """The task's ``environment`` keyword, for as long as the task runs: options fall back to environment variables."""
    before = {name: os.environ.get(name) for name in added}
    os.environ.update({name: str(value) for name, value in added.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
