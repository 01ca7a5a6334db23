# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes that are more than a directory of the engine's own, and mounts that are more than a line of text."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.refuse import refuse_other_volumes, refuse_unknown
from ansible_collections.hardshell.xen.plugins.module_utils._engine.spec import SetSpec
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError

from .model import after, empty, engine_report, made, spec_of, wanted_of

SHARE = {"type": "cifs", "o": "addr=10.0.0.9,username=shop,password=hunter2,vers=3.0", "device": "//10.0.0.9/shop"}


def mounting(*volumes: t.Any, **named: t.Any) -> SetSpec:
    return spec_of({"web": {"image": "box:1", "volumes": list(volumes)}}, volumes=named)


def test_a_share_is_made_with_its_options_and_no_password_is_shown() -> None:
    spec = mounting("data:/data", data={"driver_opts": SHARE})
    planned = plan(spec, empty(), wanted_of(spec))
    (made_volume,) = [change for change in planned.changes if change.kind == "volume"]
    assert (made_volume.name, made_volume.payload) == ("shop_data", SHARE)
    assert made_volume.after["driver_opts"]["o"] == "addr=10.0.0.9,username=shop,password=(hidden),vers=3.0"
    assert "hunter2" not in str(planned.diff()) + str(planned.summaries()) + repr(spec)


def test_a_volume_that_is_there_with_other_options_is_refused_without_showing_them() -> None:
    spec = mounting("data:/data", data={"driver_opts": SHARE})
    there = dataclasses.replace(empty(), volumes={"shop_data": {}}, driver_opts={"shop_data": SHARE})
    refuse_other_volumes(spec, there)
    refuse_other_volumes(spec, empty())
    other = dataclasses.replace(there, driver_opts={"shop_data": {**SHARE, "o": "addr=10.0.0.9,password=old"}})
    with pytest.raises(HardshellError, match="^volumes: .*shop_data with another o among its driver_opts") as failed:
        refuse_other_volumes(spec, other)
    assert "old" not in failed.value.message.replace("holds", "")
    plain = dataclasses.replace(there, driver_opts={})
    with pytest.raises(HardshellError, match="another device and o and type among"):
        refuse_other_volumes(spec, plain)


@pytest.mark.parametrize(
    ("volume", "option"),
    [
        ({"driver_opts": {"tpye": "nfs"}}, "volumes.data.driver_opts.tpye"),
        ({"driver_opts": {"type": "nfs"}}, "volumes.data.driver_opts.device"),
        ({"driver_opts": {"o": "size=1m"}}, "volumes.data.driver_opts.type"),
        ({"driver_opts": {**SHARE, "o": ["addr"]}}, "volumes.data.driver_opts.o"),
        ({"driver_opts": {"type": "none", "o": "bind", "device": "srv"}}, "volumes.data.driver_opts.device"),
        ({"driver_opts": SHARE, "external": True}, "volumes.data.driver_opts"),
        ({}, "volumes.data"),
        ({"driver_opts": {"type": "none", "o": "rw,bind", "device": "/var/run/"}}, "containers.web.volumes[0]"),
    ],
)
def test_a_volume_that_cannot_be_is_refused_by_name(volume: dict[str, t.Any], option: str) -> None:
    with pytest.raises(OptionError) as failed:
        mounting("data:/data", data=volume)
    assert failed.value.option == option


SUBPATH = {"source": "data", "target": "/x", "subpath": "a//b/", "modes": ["ro"]}
MUST_EXIST = {"source": "/srv/x", "target": "/y", "create_host_path": False, "modes": ["rslave"]}


def test_a_mount_that_no_text_says_is_sent_as_one_and_found_again() -> None:
    spec = mounting("data:/data", SUBPATH, MUST_EXIST)
    wanted = wanted_of(spec)["web"]
    host = engine_report(spec, wanted, "f" * 64)["HostConfig"]
    assert host["Binds"] == ["shop_data:/data:rw"]
    volume = {"Type": "volume", "Source": "shop_data", "Target": "/x", "ReadOnly": True}
    bind = {"Type": "bind", "Source": "/srv/x", "Target": "/y", "ReadOnly": False}
    assert host["Mounts"] == [
        {**volume, "VolumeOptions": {"NoCopy": False, "Subpath": "a/b"}},
        {**bind, "BindOptions": {"Propagation": "rslave"}},
    ]
    assert made(spec, wanted, "f" * 64).options["volumes"] == wanted.values["volumes"]
    now = after(spec, empty(), plan(spec, empty(), wanted_of(spec)))
    assert plan(spec, now, wanted_of(spec)).summaries() == []


def test_an_engine_that_knows_no_subpath_is_told_before_anything_is_done() -> None:
    spec = mounting("data:/data", SUBPATH)
    with pytest.raises(HardshellError, match=r"^containers\.web\.volumes: subpath: .*1\.45 \(Docker Engine 26\)"):
        refuse_unknown(spec, (1, 44))
    refuse_unknown(spec, (1, 45))
    refuse_unknown(mounting("data:/data", MUST_EXIST), (1, 41))


@pytest.mark.parametrize(
    ("mount", "option"),
    [
        ({"source": "data", "target": "/x", "subpth": "a"}, "subpth"),
        ({"source": "data", "target": "/x", "subpath": "/a"}, "subpath"),
        ({"source": "data", "target": "/x", "subpath": "a/../.."}, "subpath"),
        ({"source": "/srv", "target": "/x", "subpath": "a"}, "subpath"),
        ({"source": "data", "target": "/x", "create_host_path": False}, "create_host_path"),
        ({"source": "/srv", "target": "/x", "create_host_path": "no"}, "create_host_path"),
        ({"source": "data", "target": "/x", "subpath": "a", "modes": ["z"]}, "modes"),
        ({"source": "data", "target": "/x", "modes": "ro"}, "modes"),
        ({"source": "data"}, ""),
        ({"source": "/run", "target": "/x", "create_host_path": False}, ""),
    ],
)
def test_a_mapping_that_cannot_be_mounted_is_refused_by_name(mount: dict[str, t.Any], option: str) -> None:
    with pytest.raises(OptionError) as failed:
        mounting(mount)
    assert failed.value.option == "containers.web.volumes[0]" + (f".{option}" if option else "")
