# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Volumes that the engine mounts from elsewhere, parts of volumes, and directories of the VM that must be there, on a real engine."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine

pytestmark = pytest.mark.engine

MEMORY = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,mode=1777"}


def web(*volumes: t.Any, **options: t.Any) -> dict[str, dict[str, t.Any]]:
    return {"web": {"image": "box:1", "volumes": list(volumes), **options}}


def test_a_volume_with_options_is_mounted_with_them_and_never_made_anew(engine: Engine) -> None:
    volumes = {"data": {"driver_opts": MEMORY}}
    engine.deploy(web("data:/data"), volumes=volumes)
    assert "tmpfs /data tmpfs" in engine.daemon.execute("shop_web", "cat", "/proc/mounts")[1]
    assert engine.deploy(web("data:/data"), volumes=volumes).result["changes"] == []
    running = engine.daemon.running()
    other = {"data": {"driver_opts": {**MEMORY, "o": "size=2m"}}}
    with pytest.raises(HardshellError, match="shop_data with another o among its driver_opts"):
        engine.deploy(web("data:/data", command=["sleep", "99"]), volumes=other)
    assert engine.daemon.running() == running


def test_a_volume_that_cannot_be_mounted_brings_the_old_set_back(engine: Engine) -> None:
    engine.deploy(web())
    running = engine.daemon.running()
    missing = {"data": {"driver_opts": {"type": "none", "o": "bind", "device": "/tmp/no-such-directory"}}}
    with pytest.raises(HardshellError, match=r"no-such-directory[\s\S]*The set runs as it did before"):
        engine.deploy(web("data:/data"), volumes=missing)
    assert engine.daemon.running() == running
    assert engine.daemon.volumes() == set()


def test_a_directory_that_must_be_there_is_not_made(engine: Engine, tmp_path: Path) -> None:
    mount = {"source": str(tmp_path / "in"), "target": "/in", "create_host_path": False, "modes": ["ro"]}
    engine.deploy(web())
    running = engine.daemon.running()
    with pytest.raises(HardshellError, match=r"bind source path does not exist: \S+/in"):
        engine.deploy(web(mount))
    assert engine.daemon.running() == running
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "hello").write_text("here")
    engine.deploy(web(mount))
    assert engine.daemon.execute("shop_web", "cat", "/in/hello")[1] == "here"
    assert engine.deploy(web(mount)).result["changes"] == []


def test_a_part_of_a_volume_or_a_plain_word_that_the_engine_knows_none(engine: Engine) -> None:
    part = {"source": "data", "target": "/part", "subpath": "inner"}
    whole = web(
        "data:/data", command=["sh", "-c", "mkdir -p /data/inner && echo deep >/data/inner/file; exec sleep 99"]
    )
    engine.deploy(whole)
    ping = engine.daemon.request("GET", "/version")
    if tuple(map(int, ping["ApiVersion"].split("."))) < (1, 45):
        with pytest.raises(HardshellError, match="subpath: the engine speaks API"):
            engine.deploy({**whole, "part": {"image": "box:1", "volumes": [part]}})
        return
    both = {**whole, "part": {"image": "box:1", "volumes": [part]}}
    engine.deploy(both)
    assert engine.daemon.execute("shop_part", "cat", "/part/file")[1].strip() == "deep"
    assert engine.deploy(both).result["changes"] == []
