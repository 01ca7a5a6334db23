# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes of a Compose file that the engine holds under another name, or already."""

from __future__ import annotations

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import parse_task
from ansible_collections.hardshell.xen.plugins.module_utils._engine.spec import SetSpec
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError

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


def test_a_share_keeps_its_options() -> None:
    opts = {"type": "nfs", "o": "addr=10.0.0.9,rw", "device": ":/srv/x"}
    assert spec_of({"driver": "local", "driver_opts": opts}).driver_opts == {"shop_data": opts}
    assert spec_of({"driver_opts": opts, "name": "share"}).driver_opts == {"share": opts}
    with pytest.raises(OptionError, match=r"^volumes\.data\.driver: .*local"):
        spec_of({"driver": "rclone", "driver_opts": opts})


def services(**found: dict[str, object]) -> SetSpec:
    document = {"services": {name: {"image": "box:1", **own} for name, own in found.items()}, "volumes": {"data": None}}
    return parse_task({**parameters(None, network=None, pull=None), "compose": document})


def test_a_service_takes_the_volumes_of_others_and_keeps_its_own() -> None:
    spec = services(
        backup={"volumes_from": ["Worker:ro"], "volumes": ["/mnt/backup:/backup"]},
        Worker={"volumes_from": ["web"], "volumes": ["/cache"]},
        web={"volumes": ["data:/data", "/srv/web:/backup", "/srv/html:/html:ro"]},
    )
    mounts = {name: [str(mount) for mount in member.asked["volumes"]] for name, member in spec.members.items()}
    shared = ["shop_worker_cache:/cache", "shop_data:/data", "/srv/html:/html:ro"]
    assert mounts["worker"] == ["/srv/web:/backup", *shared]
    assert mounts["backup"] == [
        "/mnt/backup:/backup",
        "shop_worker_cache:/cache:ro",
        "shop_data:/data:ro",
        "/srv/html:/html:ro",
    ]
    assert [link.provider for link in spec.members["backup"].links] == ["worker"]


def test_a_service_without_volumes_has_none_to_give() -> None:
    spec = services(a={"volumes_from": ["b"]}, b={})
    assert [warning for warning in spec.warnings if "volumes_from" in warning] == [
        "services.a.volumes_from[0]: the file gives b no volumes; those that its image declares are its own"
    ]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (["container:other"], r"^services\.a\.volumes_from\[0\]: .*mounted by name"),
        (["b:rx"], r"^services\.a\.volumes_from\[0\]: .*ro or rw"),
        (["bb"], r"^services\.a\.volumes_from\[0\]: .*did you mean 'b'"),
        ("b", r"^services\.a\.volumes_from: .*list"),
        (["c"], r"depend on each other, a -> c -> a"),
    ],
)
def test_volumes_that_cannot_be_taken_are_refused(own: object, message: str) -> None:
    with pytest.raises(HardshellError, match=message):
        services(a={"volumes_from": own}, b={}, c={"volumes_from": ["a"]})
