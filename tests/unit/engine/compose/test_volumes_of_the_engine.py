# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes of a Compose file that the engine holds under another name, or already."""

from __future__ import annotations

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import parse_task
from ansible_collections.hardshell.xen.plugins.module_utils._engine.spec import SetSpec
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError

from ..model import parameters


def spec_of(setting: object, mount: str = "data:/data") -> SetSpec:
    document = {
        "services": {"db": {"image": "box:1", "volumes": [mount]}},
        "volumes": {"data": setting, "unused": {"external": True}},
    }
    return parse_task({**parameters(None, network=None, pull=None), "compose": document})


@pytest.mark.parametrize(
    ("setting", "source", "external"),
    [
        (None, "shop_data", False),
        ({"external": False}, "shop_data", False),
        ({"name": "pg.data"}, "pg.data", False),
        ({"external": True}, "data", True),
        ({"external": True, "name": "pgdata"}, "pgdata", True),
    ],
)
def test_a_volume_has_the_name_that_the_file_says(setting: object, source: str, external: bool) -> None:
    spec = spec_of(setting)
    assert [mount.source for mount in spec.members["db"].asked["volumes"]] == [source]
    assert spec.external_volumes == ({source} if external else frozenset())


def test_a_name_that_no_volume_can_have_is_refused() -> None:
    with pytest.raises(OptionError, match=r"^volumes\.data\.name: '/srv' .*what the engine calls it"):
        spec_of({"name": "/srv"})


def test_what_the_file_says_is_not_said_twice() -> None:
    with pytest.raises(OptionError, match="^volumes: .*the Compose file says it itself"):
        parse_task({**parameters(None, volumes={"data": {"external": True}}), "compose": {"services": {}}})
