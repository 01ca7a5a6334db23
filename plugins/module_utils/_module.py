# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""One definition of a module, run by two front ends.

A module file declares a ``ModuleDefinition``: its argument spec and one function ``run(parameters, context)``. This file runs it as an
ordinary Ansible module; ``plugin_utils/_in_controller.py`` runs the same definition inside the controller. ``run`` returns
the task's result, or raises ``HardshellError``; it knows neither front end.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.parameters import remove_values

from ._errors import HardshellError


def silent(dummy_text: str) -> None:
    """An ordinary module cannot speak while it runs: its progress is not shown."""


@dataclass(frozen=True)
class Context:
    """What a run may know about the task around it.

    ``progress`` shows one line while the task runs, where the front end can; ``warn`` adds a warning to the task.
    """

    check_mode: bool = False
    diff_mode: bool = False
    progress: t.Callable[[str], None] = silent
    warn: t.Callable[[str], None] = silent


@dataclass(frozen=True)
class ModuleDefinition:
    """An argument spec, in AnsibleModule's own terms, and the function that does the work.

    ``for_log`` makes of the parameters what a log may show, where an option's value as a whole is no secret but a part of it may be.
    """

    argument_spec: dict[str, t.Any]
    run: t.Callable[[dict[str, t.Any], Context], dict[str, t.Any]]
    mutually_exclusive: list[list[str]] = field(default_factory=list)
    required_together: list[list[str]] = field(default_factory=list)
    required_one_of: list[list[str]] = field(default_factory=list)
    required_if: list[t.Any] = field(default_factory=list)
    required_by: dict[str, t.Any] = field(default_factory=dict)
    for_log: t.Callable[[dict[str, t.Any]], dict[str, t.Any]] | None = None

    def invocation(self, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        """The result's ``invocation``: what the task was run with, as a log may show it."""
        return {"module_args": self.for_log(parameters) if self.for_log else parameters}

    def constraints(self) -> dict[str, t.Any]:
        """The keyword arguments that AnsibleModule and ModuleArgumentSpecValidator share, beside the spec."""
        return {
            "mutually_exclusive": self.mutually_exclusive,
            "required_together": self.required_together,
            "required_one_of": self.required_one_of,
            "required_if": self.required_if,
            "required_by": self.required_by,
        }


def failure(error: HardshellError) -> dict[str, t.Any]:
    """The result of a failed task: the message and its details."""
    return {**error.details, "msg": error.message}


def run_as_module(definition: ModuleDefinition) -> None:
    """Run the definition as an ordinary Ansible module: never returns."""
    module = AnsibleModule(
        argument_spec=definition.argument_spec,
        supports_check_mode=True,
        # AnsibleModule writes its parameters to syslog, knowing nothing of parts of them that are secret.
        no_log=definition.for_log is not None,
        **definition.constraints(),
    )
    invocation = definition.invocation(module.params)

    def warn(text: str) -> None:
        module.warn(remove_values(text, module.no_log_values))

    context = Context(check_mode=module.check_mode, diff_mode=module._diff, warn=warn)
    try:
        result = definition.run(module.params, context)
    except HardshellError as error:
        module.fail_json(**failure(error), invocation=invocation)
    module.exit_json(**result, invocation=invocation)
