# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members that run once, replicas, and updates without a gap: seen by a consumer that asks all the time."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine

pytestmark = pytest.mark.engine

HEALTHY = {"test": ["CMD", "sh", "-c", "test -e /tmp/ready"], "interval": "200ms", "retries": 100}
# Ready only a while after it has started: before that it answers nobody.
SLOW = ["sh", "-c", "sleep 1; touch /tmp/ready; exec httpd -f -p 80 -h /etc"]
# Writes a line for each request that fails.
ASKING = "while true; do printf 'GET /hello HTTP/1.0\\r\\n\\r\\n' | nc -w 1 api 80 | cat >/tmp/a; test -s /tmp/a || echo lost; done"


def shop(image: str, **api: t.Any) -> dict[str, t.Any]:
    return {
        "client": {"image": "box:1", "links": ["api"], "command": ["sh", "-c", ASKING]},
        "api": {
            "image": image,
            "links": ["db"],
            "command": SLOW,
            "healthcheck": HEALTHY,
            **api,
        },
        "db": {"image": "box:1"},
    }


def lost(engine: Engine) -> int:
    """How many requests of the client were not answered so far."""
    log = engine.daemon.request("GET", "/containers/shop_client/logs?stdout=1&stderr=1")
    return log.count(b"lost") if isinstance(log, bytes) else 0


def test_a_member_is_replaced_with_no_request_lost_but_one_under_way(engine: Engine) -> None:
    engine.deploy(shop("box:1"))
    before, running = lost(engine), engine.daemon.running()
    done = engine.deploy(shop("box:2"), update_order="start-first")
    assert done.result["changes"][0]["reason"] == "environment, image differ; it starts beside the old one"
    assert lost(engine) <= before + 1
    assert engine.daemon.inspect("shop_api")["Config"]["Image"] == "box:2"
    assert {name for name, identity in engine.daemon.running().items() if running.get(name) != identity} == {"shop_api"}
    assert engine.deploy(shop("box:2")).result["changes"] == []


def test_a_new_member_that_is_never_ready_costs_nobody_a_request(engine: Engine) -> None:
    engine.deploy(shop("box:1"))
    before, running = lost(engine), engine.daemon.running()
    with pytest.raises(HardshellError, match="api did not become ready"):
        engine.deploy(shop("box:2", command=["sh", "-c", "exit 3"]), update_order="start-first")
    assert lost(engine) == before
    assert engine.daemon.running() == running
    assert engine.deploy(shop("box:1")).result["changes"] == []


def migration(script: str, **options: t.Any) -> dict[str, t.Any]:
    return {
        "web": {"image": "box:1", "links": ["migrate"], "volumes": ["data:/data"]},
        "migrate": {
            "image": "box:1",
            "one_shot": True,
            "command": ["sh", "-c", script],
            "volumes": ["data:/data"],
            **options,
        },
    }


def test_a_one_shot_has_succeeded_before_its_consumers_start_and_runs_once(engine: Engine) -> None:
    once = migration("sleep 0.3; echo done >>/data/log")
    made = engine.deploy(once)
    assert (made.members["migrate"]["state"], made.members["migrate"]["exit_code"]) == ("exited", 0)
    ended = engine.daemon.inspect("shop_migrate")["State"]["FinishedAt"]
    assert ended < engine.daemon.inspect("shop_web")["State"]["StartedAt"]
    assert engine.deploy(once).result["changes"] == []
    assert engine.daemon.execute("shop_web", "cat", "/data/log")[1].split() == ["done"]
    again = engine.deploy(migration("echo again >>/data/log"))
    assert again.actions == [("replace", "container", "migrate")]
    assert engine.daemon.execute("shop_web", "cat", "/data/log")[1].split() == ["done", "again"]


def test_a_one_shot_that_fails_brings_the_old_set_back(engine: Engine) -> None:
    engine.deploy(migration("true"))
    before = engine.daemon.containers()
    with pytest.raises(HardshellError, match="migrate did not become ready: it ended with exit code 3") as failure:
        engine.deploy(migration("echo no table; exit 3"))
    assert failure.value.details["member"]["log"] == ["no table"]
    after = engine.daemon.containers()
    assert {name: item["Id"] for name, item in after.items()} == {name: item["Id"] for name, item in before.items()}
    assert set(engine.daemon.running()) == {"shop_web"}


def test_a_one_shot_may_try_again(engine: Engine) -> None:
    tries = (
        "echo x >>/data/tries; test $(cat /data/tries | sh -c 'n=0; while read l; do n=$((n+1)); done; echo $n') -ge 2"
    )
    engine.deploy(migration(tries, restart="on-failure:5"))
    assert engine.daemon.execute("shop_web", "cat", "/data/tries")[1].split() == ["x", "x"]


def test_replicas_are_found_under_one_name_and_scaled_without_their_consumers(engine: Engine) -> None:
    def shop_of(count: int, image: str = "box:1") -> dict[str, t.Any]:
        return {
            "web": {"image": "box:1", "links": ["api:backend"]},
            "api": {"image": image, "replicas": count, "ports": ["80"]},
        }

    made = engine.deploy(shop_of(2))
    assert set(engine.daemon.running()) == {"shop_web", "shop_api-1", "shop_api-2"}
    assert made.members["web"]["links"] == ["api:backend"]
    assert engine.deploy(shop_of(2)).result["changes"] == []
    web = engine.daemon.running()["shop_web"]
    engine.daemon.request("POST", "/containers/shop_api-1/stop?t=0")
    assert engine.daemon.reaches("shop_web", "backend")
    scaled = engine.deploy(shop_of(3))
    assert scaled.actions == [("start", "container", "api-1"), ("create", "container", "api-3")]
    updated = engine.deploy(shop_of(2, "box:2"), update_order="start-first")
    assert {action for action, _kind, _name in updated.actions} == {"replace", "remove"}
    assert engine.daemon.running()["shop_web"] == web
    assert engine.daemon.reaches("shop_web", "backend")
    assert engine.info()[0]["network"] == "per-link"
    assert engine.deploy(shop_of(2, "box:2")).result["changes"] == []
