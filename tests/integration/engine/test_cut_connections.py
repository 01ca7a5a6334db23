# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to the engine is cut at each request of a deploy and of an update: the old or the new set is whole, and the next run converges.

A few requests of each; all of them when HARDSHELL_EVERY_REQUEST is set, which takes two hours, or less with several processes: each has an engine of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import re
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import rollback
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine, archive
from .fault_proxy import Cut, FaultProxy

pytestmark = pytest.mark.engine

Definition = dict[str, dict[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class Case:
    """A run that is disturbed."""

    old: Definition
    new: Definition
    options: dict[str, t.Any] = dataclasses.field(default_factory=dict)


SHOP: Definition = {
    "web": {"image": "box:1", "links": ["api"], "ports": ["8080:80"]},
    "api": {"image": "box:1", "links": ["db"], "memory": "64MiB"},
    "db": {"image": "box:1", "volumes": ["data:/data"]},
    "gone": {"image": "box:1"},
}
NEW_SHOP: Definition = {
    "web": {"image": "box:2", "links": ["api", "db:database"], "ports": ["8080:80"]},
    "api": {"image": "box:1", "links": ["db"], "memory": "96MiB"},
    "db": {"image": "box:2", "volumes": ["data:/data"]},
    "more": {"image": "box:2", "links": ["db"]},
}
CHAIN: Definition = {
    "web": {"image": "box:1", "links": ["api"], "ports": ["8080:80"]},
    "api": {"image": "box:1"},
}
NEW_CHAIN: Definition = {"web": {**CHAIN["web"], "image": "box:2"}, "api": {"image": "box:2"}}
LOADED: Definition = {"web": {"image": "app:1", "links": ["db"]}, "db": {"image": "app:1"}}


def with_a_job(image: str) -> Definition:
    job = {
        "image": image,
        "one_shot": True,
        "command": ["sh", "-c", "echo done >>/data/log"],
        "volumes": ["data:/data"],
    }
    return {"web": {"image": image, "links": ["migrate"]}, "migrate": job}


def replicated(image: str, count: int) -> Definition:
    return {"web": {"image": "box:1", "links": ["api:backend"]}, "api": {"image": image, "replicas": count}}


CASES = {
    "deploy": Case({}, NEW_SHOP),
    "load": Case({}, LOADED),
    "update": Case(SHOP, NEW_SHOP),
    "start-first": Case(CHAIN, NEW_CHAIN, {"update_order": "start-first"}),
    "one-shot": Case(with_a_job("box:1"), with_a_job("box:2")),
    "replicas": Case(replicated("box:1", 3), replicated("box:2", 2), {"update_order": "start-first"}),
}
WAYS = {
    "before": (Cut.BEFORE, False),
    "after": (Cut.AFTER, False),
    "within": (Cut.WITHIN, False),
    # What the engine has done by then is the same wherever the connection is cut: every moment is before some request.
    "killed": (Cut.BEFORE, True),
}
# The moments that differ most, each at the first request that looks so.
SAMPLE = [
    ("deploy", "killed", "/start"),
    ("load", "within", "POST .*/images/load"),
    ("update", "within", "/containers/create"),
    ("update", "within", "/events"),
    ("update", "after", "/stop"),
    ("update", "killed", "rename.name=shop_.*old"),
    ("start-first", "before", "/networks/shop_api/disconnect"),
    ("start-first", "killed", "DELETE"),
    ("one-shot", "after", "shop_web.new/start"),
    ("replicas", "within", "GET .*/containers/shop_api-2.new/json"),
]
EVERY = bool(os.environ.get("HARDSHELL_EVERY_REQUEST"))
Strikes = t.Callable[[int, str], bool]


def runs() -> list[t.Any]:
    """The tests' parameters: a case, a way and an endless or short supply of requests to break."""
    if EVERY:
        return [
            pytest.param(case, way, map(nth, itertools.count(1)), id=f"{name}-{way}")
            for (name, case), way in itertools.product(CASES.items(), WAYS)
        ]
    return [
        pytest.param(CASES[name], way, [like(request)], id=f"{name}-{way}-{request}") for name, way, request in SAMPLE
    ]


def nth(number: int) -> Strikes:
    return lambda count, _request: count == number


def like(pattern: str) -> Strikes:
    return lambda _count, request: re.search(pattern, request) is not None


def whole(definition: Definition) -> dict[str, str]:
    """The containers of a set that is whole, with what tells the old ones from the new."""
    return {
        f"shop_{name}{index}": f"{item['image']} {item.get('memory', '')}"
        for name, item in definition.items()
        for index in ([f"-{number + 1}" for number in range(item["replicas"])] if "replicas" in item else [""])
    }


def found(engine: Engine, definition: Definition) -> dict[str, str]:
    """The containers there are. One that ought to run and does not is told as stopped, a job that has not succeeded likewise."""
    told = {}
    for name in engine.daemon.containers():
        inspect = engine.daemon.inspect(name)
        memory = inspect["HostConfig"]["Memory"] >> 20
        one_shot = "one_shot" in definition.get(inspect["Config"]["Labels"]["hardshell.member"], {})
        state = inspect["State"]
        good = (state["Status"], state["ExitCode"]) == ("exited", 0) if one_shot else state["Running"]
        told[name] = f"{inspect['Config']['Image']} {f'{memory}MiB' if memory else ''}" + ("" if good else " stopped")
    return told


def nothing_is_lost(engine: Engine, case: Case) -> None:
    """After a run that was killed, either set can be made whole of the containers that there are, whatever they are called and whether they run.

    One look: the engine may still be at work on what it was asked for.
    """
    there = {
        (name.removesuffix(".new").removesuffix(".old"), item["Image"])
        for name, item in engine.daemon.containers().items()
    }
    sets = [
        {(name, what.split()[0]) for name, what in whole(definition).items()} for definition in (case.old, case.new)
    ]
    assert any(one <= there for one in sets), there


class Disturbed:
    """The engine behind a proxy that breaks one request of one run."""

    def __init__(self, engine: Engine, folder: Path, case: Case) -> None:
        self._engine, self._case = engine, case
        self._path = str(folder / "proxy.sock")
        self._archive = folder / "app.tar"
        self._archive.write_bytes(archive("app:1", Env=["APP=1"]))

    def _deploy(self, definition: Definition, **options: t.Any) -> t.Any:
        if definition is LOADED:
            options["images"] = [{"archive": str(self._archive), "image": "app:1"}]
        return self._engine.deploy(definition, **{**self._case.options, **options})

    def begin(self) -> None:
        """The old set, and nothing else."""
        self._engine.daemon.clear()
        if self._case.new is LOADED and "app:1" in str(self._engine.daemon.request("GET", "/images/json")):
            self._engine.daemon.request("DELETE", "/images/app:1")
        if self._case.old:
            self._deploy(self._case.old)

    def run(self, strikes: Strikes, way: str) -> str:
        """Run once with one request broken: which one it was, or nothing when there is none such."""
        cut, for_good = WAYS[way]
        Path(self._path).unlink(missing_ok=True)
        behind = FaultProxy(self._engine.daemon.socket, self._path, strikes, cut, for_good=for_good)
        with behind as proxy, contextlib.suppress(HardshellError):
            self._deploy(self._case.new, docker_host=f"unix://{self._path}")
        return proxy.struck

    def left_a_whole_set(self, way: str) -> None:
        if way == "killed":
            nothing_is_lost(self._engine, self._case)
        else:
            assert found(self._engine, self._case.new) in (whole(self._case.old), whole(self._case.new))
        assert "volumes" not in str(self._case.old) or "shop_data" in self._engine.daemon.volumes()

    def next_run_converges(self) -> None:
        self._deploy(self._case.new)
        assert found(self._engine, self._case.new) == whole(self._case.new)
        assert self._deploy(self._case.new).result["changes"] == []


@pytest.mark.parametrize(("case", "way", "requests"), runs())
def test_a_run_that_is_cut_leaves_a_whole_set_and_the_next_one_converges(
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
    way: str,
    requests: t.Iterable[Strikes],
) -> None:
    disturbed = Disturbed(engine, tmp_path, case)
    if way == "killed":
        monkeypatch.setattr(rollback, "RECONNECT_SECONDS", 0.0)
    broken, wrong = 0, {}
    for strikes in requests:
        disturbed.begin()
        struck = ""
        try:
            struck = disturbed.run(strikes, way)
            if not struck:
                break
            disturbed.left_a_whole_set(way)
            disturbed.next_run_converges()
        except Exception as error:  # told with all others, at the end
            wrong[struck or f"{broken + 1}"] = repr(error)
        broken += 1
    assert not wrong
    assert broken, "no request of the run is such"


def test_what_a_killed_run_has_asked_for_and_comes_late_is_in_nobodys_way(engine: Engine, tmp_path: Path) -> None:
    labels = {"hardshell.set": "shop", "hardshell.tenant": "acme", "hardshell.member": "web"}
    late = [{"Image": "box:1", "Labels": labels}]

    def comes_late(_count: int, request: str) -> bool:
        if "/containers/create?name=shop_web.new" in request and late:
            engine.daemon.request("POST", "/containers/create?name=shop_web.new", late.pop())
        return False

    definition = {"web": CHAIN["api"]}
    path = str(tmp_path / "proxy.sock")
    with FaultProxy(engine.daemon.socket, path, comes_late):
        engine.deploy(definition, docker_host=f"unix://{path}")
    assert found(engine, definition) == whole(definition)
    assert engine.deploy(definition).result["changes"] == []


def test_an_engine_that_stays_away_is_told_plainly(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "RECONNECT_SECONDS", 0.5)
    engine.deploy(CHAIN)
    path = str(tmp_path / "proxy.sock")
    behind = FaultProxy(engine.daemon.socket, path, like("/stop"), for_good=True)
    with behind, pytest.raises(HardshellError, match="could be completed.*Run the task again"):
        engine.deploy(NEW_CHAIN, docker_host=f"unix://{path}")
    engine.deploy(NEW_CHAIN)
    assert found(engine, NEW_CHAIN) == whole(NEW_CHAIN)
