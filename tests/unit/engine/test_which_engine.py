# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which engine a task speaks to: the one that it names, or, before there is one, none."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._module import Context
from ansible_collections.hardshell.xen.plugins.modules.container_set import DEFINITION

TASK: dict[str, t.Any] = {
    "docker_host": "unix:///nowhere/docker.sock",
    "tenant": "acme",
    "name": "shop",
    "containers": {"web": {"image": "redis:7", "links": ["db"]}, "db": {"image": "redis:7", "volumes": ["data:/data"]}},
}


def validated(task: dict[str, t.Any]) -> t.Any:
    return ModuleArgumentSpecValidator(DEFINITION.argument_spec, **DEFINITION.constraints()).validate(task)


def test_without_a_host_no_other_engine_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")
    without = {key: value for key, value in TASK.items() if key != "docker_host"}
    assert any("docker_host" in message for message in validated(without).error_messages)


def test_the_plan_for_an_engine_that_is_yet_to_come_speaks_to_none() -> None:
    task = validated({**TASK, "assume_empty_engine": True}).validated_parameters
    announced = DEFINITION.run(task, Context(check_mode=True))
    assert [(change["action"], change["kind"]) for change in announced["changes"]] == [
        ("pull", "image"),
        ("create", "network"),
        ("create", "network"),
        ("create", "volume"),
        ("create", "container"),
        ("create", "container"),
    ]
    with pytest.raises(OptionError, match="^assume_empty_engine: "):
        DEFINITION.run(task, Context())
