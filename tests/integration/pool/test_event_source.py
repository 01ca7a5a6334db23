# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source ``hardshell.xen.xapi_events``, loaded as ansible-rulebook loads it: by its path."""

from __future__ import annotations

import asyncio
import json
import runpy
import typing as t
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from xapi_lab.testing import Lab

if t.TYPE_CHECKING:
    from conftest import Pool

EXTENSIONS = Path(__file__).parents[3] / "extensions" / "eda"
SOURCE = EXTENSIONS / "plugins" / "event_source" / "xapi_events.py"
LOADED = runpy.run_path(str(SOURCE))
main: Callable[[t.Any, dict[str, t.Any]], Coroutine[t.Any, t.Any, None]] = LOADED["main"]
SECONDS = 60
"""Long after anything here is done: a test that waits for longer has failed."""

Event = dict[str, t.Any]


@pytest.fixture
def lab() -> Iterator[Lab]:
    hosts = [{"name": name, "cpus": 8, "memory": "16 GiB"} for name in ("one", "two")]
    srs = [{"name": "shared", "type": "nfs", "shared": True, "default": True}]
    with Lab(backend="none", event_from_delay=0, hosts=hosts, srs=srs, host_assumed_dead_after=0.2) as lab:
        yield lab


class Watching:
    """A source that runs, and what it has told."""

    def __init__(self, pool: Pool, source: asyncio.Task[None], queue: asyncio.Queue[Event]) -> None:
        self._pool = pool
        self.source = source
        self._queue = queue

    async def next(self) -> Event:
        told = asyncio.ensure_future(self._queue.get())
        await asyncio.wait([told, self.source], timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not told.done():
            told.cancel()
            self.source.result()
        event: Event = told.result()["xapi"]
        assert json.loads(json.dumps(event)) == event
        return event

    async def until(self, name: str, operation: str) -> list[Event]:
        """What is told up to this event."""
        events = []
        while not events or (events[-1]["name"], events[-1]["operation"]) != (name, operation):
            events.append(await self.next())
        return events

    async def call(self, method: str, *arguments: t.Any) -> t.Any:
        return await asyncio.to_thread(self._pool.call, method, *arguments)

    @property
    def left(self) -> int:
        return self._queue.qsize()


@asynccontextmanager
async def watching(pool: Pool, **arguments: t.Any) -> AsyncIterator[Watching]:
    """A source from when it has taken notice of what is there."""
    connection = {**pool.connection(), "xapi_host": ",".join(host["url"] for host in pool.lab.hosts())}
    queue: asyncio.Queue[Event] = asyncio.Queue()
    pool.lab.reset_calls()
    source = asyncio.create_task(main(queue, {**connection, "eda_feedback_queue": queue, **arguments}))
    while pool.calls().get("event.from", 0) < 2 and not source.done():
        await asyncio.sleep(0.01)
    try:
        yield Watching(pool, source, queue)
    finally:
        source.cancel()
        with pytest.raises(asyncio.CancelledError):
            await source
    assert pool.lab.run(lambda lab: not any(lab.sessions.is_alive(ref) for ref, _ in lab.database.records("session")))


def halted(pool: Pool, *names: str) -> dict[str, str]:
    """VMs of acme, and their references."""
    for name in names:
        arguments = {"name": name, "host": f"acme-{name}", "tenant": "acme", "template": "Debian Bookworm 12"}
        pool.ok("vm", **arguments, memory="1GiB", state="halted")
    return {name: pool.ref("VM", name) for name in names}


def short(events: list[Event]) -> list[tuple[str, str]]:
    return [(event["name"], event["operation"]) for event in events]


def test_what_happens_to_a_tenants_vm(controller_pool: Pool) -> None:
    pool = controller_pool
    refs = halted(pool, "web")
    other = pool.ref("VM", "Debian Bookworm 12")

    async def run() -> None:
        async with watching(pool, tenants=["acme"], fields="power_state,name_label") as watch:
            await watch.call("VM.set_name_label", other, "not acme's")
            await watch.call("VM.start", refs["web"], False, False)
            started = (await watch.until("web", "mod"))[-1]
            assert started["changed"] == {
                **started["changed"],
                "power_state": {"before": "Halted", "after": "Running"},
            }
            assert (started["tenant"], started["host"]) == ("acme", "acme-web")
            uuid = started["uuid"]
            await watch.call("message.create", "VM_CRASHED", "2", "VM", uuid, "it crashed")
            crashed = (await watch.until("VM_CRASHED", "add"))[-1]
            assert (crashed["host"], crashed["record"]["body"]) == ("acme-web", "it crashed")
            await watch.call("VM.hard_shutdown", refs["web"])
            await watch.until("web", "mod")
            await watch.call("VM.destroy", refs["web"])
            await watch.until("web", "del")
            assert watch.left == 0

    asyncio.run(run())


@pytest.mark.parametrize(
    "fault",
    [
        {"cut": "before"},
        {"cut": "after"},
        {"expire_session": True},
        {"error": ["INTERNAL_ERROR", "no"]},
        {"restart": True, "downtime": 0.2, "cut": "before"},
        {"restart": True, "cut": "after"},
        {"failover": True},
        {"host_loss": "coordinator"},
    ],
    ids="-".join,
)
def test_nothing_is_lost_or_told_twice(controller_pool: Pool, fault: dict[str, t.Any]) -> None:
    """Where each of several answers is struck, while VMs change and one is removed."""
    pool = controller_pool
    refs = halted(pool, "web", "api", "old")
    if "host_loss" in fault:
        pool.call("pool.enable_ha", [], {})

    def rename(vm: str, name: str) -> None:
        pool.lab.run(lambda lab: lab.database.set("VM", refs[vm], "name_label", name))

    async def run() -> None:
        async with watching(pool, classes=["VM"], tenants=["acme"], fields=["name_label"]) as watch:
            pool.lab.fault("event.from", nth=1, **fault)
            if "host_loss" not in fault:
                pool.lab.fault("event.from", nth=3, **fault)
            rename("web", "web 1")
            pool.lab.run(lambda lab: lab.database.destroy("VM", refs["old"]))
            rename("api", "api 1")
            told = await watch.until("api 1", "mod")
            rename("web", "web 2")
            told += await watch.until("web 2", "mod")
            rename("web", "end")
            told += await watch.until("end", "mod")
            while ("old", "del") not in short(told):
                told.append(await watch.next())
            expected = [("api 1", "mod"), ("end", "mod"), ("old", "del"), ("web 1", "mod"), ("web 2", "mod")]
            assert sorted(short(told)) == expected
            assert watch.left == 0

    asyncio.run(run())


def test_what_is_there_already_on_request(controller_pool: Pool) -> None:
    pool = controller_pool
    halted(pool, "web", "api")

    async def run() -> None:
        async with watching(pool, tenants="acme", existing="true") as watch:
            assert sorted(short([await watch.next(), await watch.next()])) == [("api", "add"), ("web", "add")]

    asyncio.run(run())


def test_it_ends_where_waiting_is_in_vain(controller_pool: Pool) -> None:
    pool = controller_pool

    def refused(**arguments: t.Any) -> str:
        with pytest.raises(HardshellError) as raised:
            asyncio.run(main(asyncio.Queue(), {**pool.connection(), **arguments}))
        return raised.value.message

    assert "SESSION_AUTHENTICATION_FAILED" in refused(xapi_password="wrong")
    assert "not trusted" in refused(xapi_ca_path=None)
    assert "classes: 'vms'" in refused(classes=["vms"])
    assert "tenant" in refused(tenant="acme")


def test_its_documentation_and_its_arguments_are_the_same() -> None:
    documented = yaml.safe_load(LOADED["DOCUMENTATION"])["options"]
    assert documented.keys() == LOADED["ARGUMENTS"].keys()
    for name, option in LOADED["ARGUMENTS"].items():
        told = {key: value for key, value in documented[name].items() if key in ("type", "elements", "default")}
        assert told == {key: value for key, value in option.items() if key in ("type", "elements", "default")}, name


@pytest.mark.parametrize(
    "text", [LOADED["EXAMPLES"], *(path.read_text() for path in EXTENSIONS.glob("rulebooks/*.yml"))]
)
def test_the_rulebooks_name_arguments_that_are_there(text: str) -> None:
    rulebook = yaml.safe_load(text)
    sources = [source["hardshell.xen.xapi_events"] for play in rulebook for source in play["sources"]]
    assert sources
    for arguments in sources:
        assert arguments.keys() <= LOADED["ARGUMENTS"].keys()
        LOADED["source_options"]({"xapi_host": "pool", "xapi_password": "x", **arguments})
