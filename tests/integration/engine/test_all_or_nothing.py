# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All or nothing: members that fail, and what a run that was killed has left. Cut connections have a file of their own."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine

pytestmark = pytest.mark.engine

OLD: dict[str, t.Any] = {
    "web": {"image": "box:1", "links": ["api"], "ports": ["8080:80"]},
    "api": {"image": "box:1", "links": ["db"], "memory": "64MiB"},
    "db": {"image": "box:1", "volumes": ["data:/data"]},
    "gone": {"image": "box:1"},
}
NEW: dict[str, t.Any] = {
    "web": {"image": "box:2", "links": ["api", "db:database"], "ports": ["8080:80"]},
    "api": {"image": "box:1", "links": ["db"], "memory": "96MiB"},
    "db": {"image": "box:2", "volumes": ["data:/data"]},
    "more": {"image": "box:2", "links": ["db"]},
}


@pytest.mark.parametrize(
    ("broken", "sign"),
    [
        pytest.param({"command": "sh -c 'echo no database; exit 3'"}, "exit code 3", id="exits"),
        pytest.param({"command": "no-such-program"}, "no-such-program", id="cannot start"),
        pytest.param({"command": "sh -c 'echo once; exit 4'", "restart": "no"}, "exit code 4", id="exits once"),
        pytest.param(
            {"healthcheck": {"test": "echo sick; false", "interval": "100ms", "retries": 2}},
            "unhealthy. Its health check said: sick",
            id="unhealthy",
        ),
    ],
)
def test_a_member_that_fails_brings_the_old_set_back(engine: Engine, broken: dict[str, t.Any], sign: str) -> None:
    engine.deploy(OLD)
    before = engine.daemon.running()
    definition = copy.deepcopy(NEW)
    definition["db"].update(broken)
    with pytest.raises(HardshellError) as failure:
        engine.deploy(definition)
    assert sign in failure.value.message
    assert "db" in failure.value.message
    assert "The set runs as it did before" in failure.value.message
    assert engine.daemon.running() == before
    assert engine.daemon.containers().keys() == before.keys()
    assert "shop_more" not in engine.daemon.networks()
    assert engine.deploy(OLD, check=True).result["changes"] == []


def test_the_failure_carries_the_evidence(engine: Engine) -> None:
    with pytest.raises(HardshellError) as failure:
        engine.deploy(
            {
                "db": {
                    "image": "box:1",
                    "command": "sh -c 'echo opening; echo cannot open /data; exit 7'",
                    "restart": "no",
                }
            }
        )
    member = failure.value.details["member"]
    assert (member["name"], member["exit_code"], member["state"]) == ("db", 7, "exited")
    assert member["log"] == ["opening", "cannot open /data"]
    assert "Nothing of it is left" in failure.value.message
    assert engine.daemon.containers() == {}
    assert engine.daemon.networks() == set()


def test_health_that_is_never_reached_ends_at_the_deadline(engine: Engine) -> None:
    slow = {"db": {"image": "box:1", "healthcheck": {"test": "false", "interval": "100ms", "retries": 1000}}}
    with pytest.raises(HardshellError, match="not ready in time"):
        engine.deploy(slow, wait_timeout=2)
    assert engine.daemon.containers() == {}


def test_what_a_killed_run_left_is_announced_in_check_mode(engine: Engine) -> None:
    engine.deploy(OLD)
    engine.daemon.request(
        "POST",
        "/containers/create?name=shop_web.new",
        {"Image": "box:2", "Labels": {"hardshell.set": "shop", "hardshell.tenant": "acme", "hardshell.member": "web"}},
    )
    announced = engine.deploy(OLD, check=True)
    assert announced.actions == [("remove", "container", "shop_web.new")]
    assert engine.deploy(OLD).actions == announced.actions
    assert engine.deploy(OLD).result["changes"] == []
