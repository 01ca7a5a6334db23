# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.for_log import parameters_for_log

SECRET = "s3cr3t-value"


@pytest.mark.parametrize(
    "parameters",
    [
        {"containers": {"db": {"image": "db:1", "environment": {"PASSWORD": SECRET}}}},
        {"containers": {"db": {"image": "db:1", "environment": [f"PASSWORD={SECRET}"]}}},
        {"compose": {"services": {"db": {"environment": {"PASSWORD": SECRET}}}}},
        {"compose_environment": {"PASSWORD": SECRET}},
        {"volumes": {"data": {"driver_opts": {"type": "cifs", "o": f"password={SECRET}"}}}},
    ],
)
def test_no_log_shows_an_environment(parameters: dict[str, Any]) -> None:
    before = json.dumps(parameters)
    assert SECRET not in json.dumps(parameters_for_log(parameters))
    assert json.dumps(parameters) == before


def test_names_and_everything_else_stay() -> None:
    shown = parameters_for_log({"name": "shop", "containers": {"db": {"image": "db:1", "environment": {"USER": "x"}}}})
    assert shown == {"name": "shop", "containers": {"db": {"image": "db:1", "environment": {"USER": "(hidden)"}}}}


@pytest.mark.parametrize("wrong", [None, "text", {"db": None}, {"db": ["x"]}])
def test_a_definition_of_the_wrong_shape_passes_through(wrong: Any) -> None:
    assert parameters_for_log({"containers": wrong}) == {"containers": wrong}


def test_what_is_in_files_is_hidden() -> None:
    container = {"image": "box:1", "files": {"/run/secrets/key": {"content": "hunter2", "uid": 7}}}
    shown = parameters_for_log({"containers": {"a": container, "b": {"files": ["hunter2"]}}})
    assert shown == {
        "containers": {"a": {"image": "box:1", "files": {"/run/secrets/key": "(hidden)"}}, "b": {"files": "(hidden)"}}
    }
