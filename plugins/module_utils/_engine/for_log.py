# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""A task's parameters as a log may show them: environment and files are where containers are given their secrets."""

from __future__ import annotations

import typing as t

HIDDEN = "(hidden)"


def parameters_for_log(parameters: dict[str, t.Any]) -> dict[str, t.Any]:
    """A copy in which the values of every environment, options of volumes and all files are hidden, and a Compose document whole: any key of it may hold one.

    Takes parameters that were not validated, of any shape.
    """
    shown = dict(parameters)
    containers = shown.get("containers")
    if isinstance(containers, dict):
        shown["containers"] = {name: _container(definition) for name, definition in containers.items()}
    if shown.get("compose"):
        shown["compose"] = HIDDEN
    if isinstance(shown.get("compose_environment"), dict):
        shown["compose_environment"] = dict.fromkeys(shown["compose_environment"], HIDDEN)
    if isinstance(shown.get("volumes"), dict):
        shown["volumes"] = {name: _volume(definition) for name, definition in shown["volumes"].items()}
    return shown


def _volume(definition: t.Any) -> t.Any:
    """The flags of a mount may hold a password."""
    opts = definition.get("driver_opts") if isinstance(definition, dict) else None
    return {**definition, "driver_opts": _hidden(opts)} if opts else definition


def _container(definition: t.Any) -> t.Any:
    if not isinstance(definition, dict):
        return definition
    hidden = {key: _hidden(definition[key]) for key in ("environment", "files") if key in definition}
    return {**definition, **hidden}


def _hidden(value: t.Any) -> t.Any:
    return dict.fromkeys(value, HIDDEN) if isinstance(value, dict) else HIDDEN
