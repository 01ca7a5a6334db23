# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All or nothing: failures of members, of the connection and of ourselves, at every request of a deploy and of an update."""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import api, rollback
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


def versions(engine: Engine) -> dict[str, tuple[str, int]]:
    """What runs: the image and the memory limit of every container."""
    found = {}
    for name in engine.daemon.running():
        inspect = engine.daemon.inspect(name)
        found[name] = (inspect["Config"]["Image"], inspect["HostConfig"]["Memory"] >> 20)
    return found


def whole(definition: dict[str, t.Any]) -> dict[str, tuple[str, int]]:
    return {f"shop_{name}": (item["image"], int(item.get("memory", "0MiB")[:-3])) for name, item in definition.items()}


def nothing_is_left_over(engine: Engine) -> None:
    assert not [name for name in engine.daemon.containers() if name.endswith((".new", ".old"))]
    assert engine.deploy(NEW, check=True).result["changes"] == []


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


class Fault:
    """Breaks the way to the engine at request ``number``, before or after the engine has done it.

    With ``mortal`` every request after it fails too: our own process is dead. Requests that read are counted as well.
    """

    def __init__(self, number: int, *, after: bool, mortal: bool) -> None:
        self.number, self.after, self.mortal = number, after, mortal
        self.count = 0
        self.struck = False
        self.struck_at = ""
        self._lock = threading.Lock()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        send = api.Engine._send

        def broken(engine: api.Engine, method: str, path: str, **options: t.Any) -> t.Any:
            with self._lock:
                if self.struck and self.mortal:
                    raise KeyboardInterrupt
                self.count += 1
                strike = self.count == self.number
                if strike:
                    self.struck_at = f"{method} {path}"
                self.struck = self.struck or strike
            if not strike:
                return send(engine, method, path, **options)
            if self.after:
                answer = send(engine, method, path, **options)
                answer.close()
            raise KeyboardInterrupt if self.mortal else api.ConnectionLost(f"cut at {method} {path}")

        monkeypatch.setattr(api.Engine, "_send", broken)


def count_requests(engine: Engine, definition: dict[str, t.Any], **options: t.Any) -> int:
    with pytest.MonkeyPatch.context() as patch:
        counter = Fault(0, after=False, mortal=False)
        counter.install(patch)
        engine.deploy(definition, **options)
    return counter.count


def requests_to_break(total: int, offset: int, step: int = 13) -> range:
    """Every request when HARDSHELL_EVERY_REQUEST is set, which takes half an hour; else one in ``step``, others in each test."""
    return range(1, total + 1) if os.environ.get("HARDSHELL_EVERY_REQUEST") else range(1 + offset, total + 1, step)


@pytest.mark.parametrize("mortal", [False, True], ids=["connection cut", "killed"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_an_update_cut_at_every_request_is_whole_or_resumed(engine: Engine, after: bool, mortal: bool) -> None:
    engine.deploy(OLD)
    total = count_requests(engine, NEW)
    for number in requests_to_break(total, 2 * after + 3 * mortal):
        engine.daemon.clear()
        engine.deploy(OLD)
        fault = Fault(number, after=after, mortal=mortal)
        with pytest.MonkeyPatch.context() as patch:
            fault.install(patch)
            with contextlib.suppress(HardshellError, KeyboardInterrupt):
                engine.deploy(NEW)
        found = versions(engine)
        if not mortal:
            assert found in (whole(OLD), whole(NEW)), f"request {number}: {fault.struck_at}"
        assert "shop_data" in engine.daemon.volumes()
        engine.deploy(NEW)
        assert versions(engine) == whole(NEW), f"request {number}"
        nothing_is_left_over(engine)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_first_deploy_killed_at_every_request_is_resumed(engine: Engine, after: bool) -> None:
    total = count_requests(engine, NEW)
    for number in requests_to_break(total, 4 * after):
        engine.daemon.clear()
        with pytest.MonkeyPatch.context() as patch:
            Fault(number, after=after, mortal=True).install(patch)
            with pytest.raises((KeyboardInterrupt, HardshellError)):
                engine.deploy(NEW)
        engine.deploy(NEW)
        assert versions(engine) == whole(NEW), f"request {number}"
        nothing_is_left_over(engine)


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


def test_an_engine_that_stays_away_is_told_plainly(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.deploy(OLD)
    monkeypatch.setattr(rollback, "RECONNECT_SECONDS", 0.5)
    send = api.Engine._send
    away = threading.Event()

    def leaving(one: api.Engine, method: str, path: str, **options: t.Any) -> t.Any:
        if path.endswith("/stop"):
            away.set()
        if away.is_set():
            raise api.ConnectionLost("no connection to the engine")
        return send(one, method, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(api.Engine, "_send", leaving)
        with pytest.raises(HardshellError, match="could be completed.*Run the task again"):
            engine.deploy(NEW)
    engine.deploy(NEW)
    assert versions(engine) == whole(NEW)
    nothing_is_left_over(engine)
