# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members in the namespaces of another one, through a deploy, a failed update, a replacement and a restart by hand."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine

pytestmark = pytest.mark.engine

SHARING: dict[str, t.Any] = {
    "vpn": {"image": "box:1", "ipc_mode": "shareable", "ports": ["8080:80"]},
    "app": {
        "image": "box:1",
        "command": "sleep 1000",
        "network_mode": "service:vpn",
        "ipc_mode": "service:vpn",
        "pid_mode": "service:vpn",
    },
    "web": {"image": "box:1", "links": ["vpn"]},
    "alone": {"image": "box:1", "network_mode": "none"},
}


def namespaces(engine: Engine, name: str) -> list[str]:
    return [engine.daemon.execute(name, "ls", "-l", f"/proc/self/ns/{kind}")[1].split()[-1] for kind in ("net", "ipc")]


def shares(engine: Engine) -> bool:
    """Whether the one is where the other is, and reaches it there."""
    host = engine.daemon.inspect("shop_app")["HostConfig"]
    told = {host[key] for key in ("NetworkMode", "IpcMode", "PidMode") if host[key]}
    same = namespaces(engine, "shop_app") == namespaces(engine, "shop_vpn")
    return (
        told == {f"container:{engine.daemon.inspect('shop_vpn')['Id']}"}
        and same
        and engine.daemon.reaches("shop_app", "127.0.0.1")
    )


def test_members_share_namespaces_through_every_change(engine: Engine) -> None:
    announced = engine.deploy(SHARING, check=True)
    assert engine.deploy(SHARING).actions == announced.actions
    assert shares(engine)
    assert engine.daemon.reaches("shop_web", "vpn")
    assert list(engine.daemon.inspect("shop_alone")["NetworkSettings"]["Networks"]) == ["none"]
    assert engine.deploy(SHARING).result["changes"] == []
    assert engine.info()[0]["network"] == "per-link"

    broken = copy.deepcopy(SHARING)
    broken["vpn"]["image"] = "box:2"
    broken["app"].update(command="sh -c 'exit 3'", restart="no")
    before = engine.daemon.running()
    with pytest.raises(HardshellError, match="The set runs as it did before"):
        engine.deploy(broken)
    assert engine.daemon.running() == before
    assert shares(engine)

    newer = {**SHARING, "vpn": {**SHARING["vpn"], "image": "box:2"}}
    changed = engine.deploy(newer)
    assert changed.actions == [("replace", "container", "vpn"), ("replace", "container", "app")]
    assert shares(engine)
    assert engine.deploy(newer).result["changes"] == []

    # With the other's processes the engine would end this one too, and start it again by itself.
    apart = {key: value for key, value in SHARING["app"].items() if key != "pid_mode"}
    newer = {**newer, "app": apart}
    engine.deploy(newer)
    engine.daemon.request("POST", "/containers/shop_vpn/restart")
    assert not engine.daemon.reaches("shop_app", "127.0.0.1")
    assert engine.deploy(newer).actions == [("replace", "container", "app")]
    assert shares(engine)
    assert engine.deploy(newer).result["changes"] == []


def test_a_member_follows_its_provider(engine: Engine) -> None:
    definition = {
        "app": {"image": "box:1", "links": ["db"], "follows": ["db"]},
        "web": {"image": "box:1", "links": ["db"]},
        "db": {"image": "box:1"},
    }
    engine.deploy(definition)
    before = engine.daemon.running()
    engine.deploy({**definition, "db": {"image": "box:2"}})
    now = engine.daemon.running()
    assert {name for name in now if now[name] != before[name]} == {"shop_db", "shop_app"}
