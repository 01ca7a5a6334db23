# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run cut off at any moment: the next one converges, and the one after it has nothing left to do.

``killed`` ends a run before or after its n-th call that changes something: from then on nothing of it reaches the pool, as when its
process is killed. ``cut`` closes the connection instead, which the run itself has to cope with.
"""

from __future__ import annotations

import typing as t
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool import upload
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session import is_read
from ansible_collections.hardshell.xen.plugins.module_utils._pool.transport import XapiTransport

if t.TYPE_CHECKING:
    from conftest import Pool

MOST_CALLS = 120
SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}

Prepare = Callable[["Pool"], None]
Arguments = dict[str, t.Any]


class Killed(BaseException):
    """Not an Exception: nothing may catch it, as nothing catches a SIGKILL."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, nth: int, when: str) -> Iterator[list[str]]:
    """Kill what runs inside at its n-th changing call. The list names the calls that took effect."""
    reached: list[str] = []
    dead = False
    send_rpc, send_file = XapiTransport.single_request, upload._send

    def step(name: str, send: Callable[[], t.Any]) -> t.Any:
        nonlocal dead
        if dead:
            raise Killed
        if len(reached) == nth - 1 and when == "before":
            dead = True
            raise Killed
        reached.append(name)
        answer = send()
        if len(reached) == nth:
            dead = True
            raise Killed
        return answer

    def single_request(self: XapiTransport, host: t.Any, handler: str, body: bytes, verbose: bool = False) -> t.Any:
        def send() -> t.Any:
            return send_rpc(self, host, handler, body, verbose)

        _parameters, method = xmlrpc.client.loads(body)
        if dead:
            raise Killed
        return send() if is_read(str(method)) or str(method).startswith("session.") else step(str(method), send)

    with monkeypatch.context() as patch:
        patch.setattr(XapiTransport, "single_request", single_request)
        patch.setattr(upload, "_send", lambda *arguments: step("PUT", lambda: send_file(*arguments)))
        yield reached


def make_shop(shop: Arguments, **other: t.Any) -> Prepare:
    def prepare(pool: Pool) -> None:
        pool.ok("vm", **{**shop, **other})

    return prepare


def clear(pool: Pool) -> None:
    pool.ok("vm", **SHOP, state="absent", adopt=True)
    pool.ok("image", name="debian", state="absent")


def without_tasks(left: dict[str, int]) -> dict[str, int]:
    """A task that the killed run began and nobody collects is the pool's to forget."""
    return {name: count for name, count in left.items() if name != "task"}


def kill_at_every_call(
    make_pool: Callable[[], Pool],
    monkeypatch: pytest.MonkeyPatch,
    prepare: Prepare,
    module: str,
    when: str,
    **arguments: t.Any,
) -> int:
    """Run it killed at call 1, 2, ... until it runs through; each time run it again, twice. Returns how many calls it took."""
    clean = make_pool()
    prepare(clean)
    clean.ok(module, **arguments)
    wanted = without_tasks(clean.left_over())
    clear(clean)
    for nth in range(1, MOST_CALLS):
        pool = make_pool()
        prepare(pool)
        was_killed = False
        with killed(monkeypatch, nth, when) as reached:
            try:
                pool.ok(module, **arguments)
            except Killed:
                was_killed = True
        if not was_killed:
            return nth - 1
        where = f"killed {when} call {nth}: {reached[-3:]}"
        mended = pool.run(module, **arguments)
        assert not mended.get("failed"), (where, mended["msg"])
        again = pool.ok(module, **arguments)
        assert not again["changed"], (where, again["changes"])
        assert without_tasks(pool.left_over()) == wanted, where
        clear(pool)
        assert without_tasks(pool.left_over()) == {}, where
    raise AssertionError(f"not through after {MOST_CALLS} calls")


@pytest.fixture
def kill(make_pool: Callable[[], Pool], monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(prepare: Prepare, module: str, when: str, **arguments: t.Any) -> int:
        return kill_at_every_call(make_pool, monkeypatch, prepare, module, when, **arguments)

    return run


def nothing(pool: Pool) -> None:
    pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_making_a_vm(kill: Callable[..., int], shop: Arguments, when: str) -> None:
    assert kill(nothing, "vm", when, **shop) > 20


def test_making_a_vm_from_another(kill: Callable[..., int], make_pool: Callable[[], Pool], shop: Arguments) -> None:
    make_pool().ok("vm", **{**shop, "name": "origin", "host": "origin", "state": "halted"})
    settings = {"vcpus_max": 4, "memory_dynamic_min": "512MiB", "firmware": "uefi", "folder": "/a", "cpu_cap": 50}
    assert kill(nothing, "vm", "after", **{**shop, **settings, "template": None, "source": "origin"}) > 20


@pytest.mark.parametrize("when", ["before", "after"])
def test_removing_a_vm(kill: Callable[..., int], shop: Arguments, when: str) -> None:
    assert kill(make_shop(shop), "vm", when, **SHOP, state="absent") > 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_removing_a_vm_that_was_never_finished(
    make_pool: Callable[[], Pool], monkeypatch: pytest.MonkeyPatch, shop: Arguments, when: str, disk_image: Path
) -> None:
    """From a template with a disk, so that a half-made clone has one too."""
    make_pool().ok("image", name="debian", path=str(disk_image))
    for nth in range(1, MOST_CALLS):
        pool = make_pool()
        was_killed = False
        with killed(monkeypatch, nth, when) as reached:
            try:
                pool.ok("vm", **{**shop, "template": "debian"})
            except Killed:
                was_killed = True
        pool.ok("vm", **SHOP, state="absent")
        assert not pool.ok("vm", **SHOP, state="absent")["changed"], reached[-3:]
        assert without_tasks(pool.left_over()) == {}, reached[-3:]
        if not was_killed:
            assert nth > 20
            return
    raise AssertionError("never through")


@pytest.mark.parametrize("when", ["before", "after"])
def test_changing_a_vm(kill: Callable[..., int], shop: Arguments, when: str) -> None:
    changed = {
        **shop,
        "vcpus": 4,
        "memory": "2GiB",
        "disks": [{"name": "data", "size": "6GiB"}, {"name": "logs", "size": "1GiB"}],
        "networks": [
            {"name": "front", "network": "Host internal management network", "mac": "02:00:00:00:00:01"},
            {"name": "back", "network": "Host internal management network"},
        ],
        "config_drive": {"user_data": "#cloud-config\nhostname: other\n"},
        "allow_power_cycle": True,
    }
    assert kill(make_shop(shop), "vm", when, **changed) > 10


def test_changing_the_devices_of_a_vm(kill: Callable[..., int], shop: Arguments) -> None:
    changed = {
        **SHOP,
        "disks": [{"name": "data", "state": "absent"}, {"name": "logs", "size": "1GiB", "qos": {"sched": "idle"}}],
        "networks": [
            {**shop["networks"][0], "rate_limit": 100, "locking_mode": "locked", "ipv4_allowed": ["192.0.2.1"]}
        ],
        "allow_power_cycle": True,
    }
    lean = {**shop, "config_drive": None, "ssh_host_key": False, "wait_for": {"guest_agent": True}}
    assert kill(make_shop(lean), "vm", "after", **changed) > 6


@pytest.fixture
def small(shop: Arguments) -> Arguments:
    """A VM that takes few calls to make."""
    return {**SHOP, **{key: shop[key] for key in ("template", "memory", "state")}}


def test_changing_a_vm_that_is_halted_for_it_and_started_again(
    controller_pool: Pool, monkeypatch: pytest.MonkeyPatch, small: Arguments
) -> None:
    """``state: present`` starts no halted VM, but one that a run halted is brought back by the next."""
    pool = controller_pool
    pool.ok("vm", **small)
    for nth in range(1, MOST_CALLS):
        changed = {**SHOP, "vcpus": 1 + nth % 2, "allow_power_cycle": True}
        was_killed = False
        with killed(monkeypatch, nth, "after") as reached:
            try:
                pool.ok("vm", **changed)
            except Killed:
                was_killed = True
        mended = pool.ok("vm", **changed)
        assert mended["vm"]["power_state"] == "running", reached
        assert "hardshell:power-cycle" not in pool.record("VM", "shop")["other_config"]
        assert not pool.ok("vm", **changed)["changed"], reached
        if not was_killed:
            assert nth > 5
            return
    raise AssertionError("never through")


def test_a_vm_that_an_interrupted_run_halted_stays_so_when_that_is_asked_for(
    make_pool: Callable[[], Pool], monkeypatch: pytest.MonkeyPatch, small: Arguments
) -> None:
    pool = make_pool()
    pool.ok("vm", **small)
    with killed(monkeypatch, 3, "after") as reached, pytest.raises(Killed):
        pool.ok("vm", **SHOP, vcpus=2, allow_power_cycle=True)
    assert reached[-1] == "Async.VM.clean_shutdown"
    halted = pool.four_steps("vm", **SHOP, state="halted")
    assert halted["changes"][-1]["after"] == {"power_cycle": None}
    assert not pool.ok("vm", **SHOP)["changed"]


def test_a_vm_that_does_not_let_itself_be_halted_carries_no_note(controller_pool: Pool, small: Arguments) -> None:
    pool = controller_pool
    pool.ok("vm", **small)
    pool.lab.fault("Async.VM.clean_shutdown", error="VM_LACKS_FEATURE")
    assert pool.run("vm", **SHOP, vcpus=2, allow_power_cycle=True)["failed"]
    assert "hardshell:power-cycle" not in pool.record("VM", "shop")["other_config"]


def test_replacing_the_system_disk_killed_at_every_call(
    controller_pool: Pool, monkeypatch: pytest.MonkeyPatch, two_images: tuple[str, str]
) -> None:
    """One VM is given the one and the other template in turn; the run that follows the killed one leaves nothing behind."""
    pool = controller_pool
    pool.ok("vm", **SHOP, template=two_images[0], state="halted", disks=[{"name": "data", "size": "1GiB"}])
    contents = {name: len(refs) for name, refs in pool.contents().items() if name != "task"}
    for nth in range(1, 60):
        changed = {**SHOP, "template": two_images[nth % 2], "allow_replace": True}
        was_killed = False
        with killed(monkeypatch, nth, "after") as reached:
            try:
                pool.ok("vm", **changed)
            except Killed:
                was_killed = True
        mended = pool.ok("vm", **changed)["vm"]
        assert mended["template"] == changed["template"], reached
        assert [disk["name"] for disk in mended["disks"]] == ["root", "data"]
        assert not pool.ok("vm", **changed)["changed"], reached
        now = {name: len(refs) for name, refs in pool.contents().items() if name != "task"}
        assert now == contents, reached
        if not was_killed:
            assert nth > 8
            return
    raise AssertionError("never through")


@pytest.mark.parametrize("when", ["before", "after"])
def test_removing_the_config_drive(kill: Callable[..., int], shop: Arguments, when: str) -> None:
    assert kill(make_shop(shop), "vm", when, **SHOP, config_drive={"state": "absent"}) > 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_adopting_a_vm(kill: Callable[..., int], shop: Arguments, when: str) -> None:
    def somebody_made_it(pool: Pool) -> None:
        pool.ok("vm", **{**shop, "config_drive": None, "ssh_host_key": False})
        ref = pool.ref("VM", "shop")
        for key in ("hardshell:tenant", "hardshell:host", "hardshell:vm"):
            pool.call("VM.remove_from_other_config", ref, key)

    adopted = {**shop, "config_drive": None, "ssh_host_key": False, "adopt": True, "description": "mine"}
    assert kill(somebody_made_it, "vm", when, **adopted) > 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_uploading_an_image(kill: Callable[..., int], disk_image: Path, when: str) -> None:
    assert kill(nothing, "image", when, name="debian", path=str(disk_image)) > 4


@pytest.mark.parametrize("when", ["before", "after"])
def test_replacing_an_image(kill: Callable[..., int], disk_image: Path, tmp_path: Path, when: str) -> None:
    newer = tmp_path / "newer.raw"
    newer.write_bytes(b"newer" * 100_000)

    def older(pool: Pool) -> None:
        pool.ok("image", name="debian", path=str(disk_image))

    assert kill(older, "image", when, name="debian", path=str(newer)) > 6


@pytest.mark.parametrize("when", ["before", "after"])
def test_removing_an_image(kill: Callable[..., int], disk_image: Path, when: str) -> None:
    def there(pool: Pool) -> None:
        pool.ok("image", name="debian", path=str(disk_image))

    assert kill(there, "image", when, name="debian", state="absent") > 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_connection_is_got_over(controller_pool: Pool, shop: Arguments, when: str) -> None:
    """The connection ends at each call in turn: the same run converges by itself. Only a cut upload fails it, and the next run does that again."""
    pool, lab = controller_pool, controller_pool.lab
    for nth in range(2, MOST_CALLS):
        lab.fault("*", nth=nth, cut=when)
        done = pool.run("vm", **shop)
        was_hit = lab.run(lambda inside: any(fault["hits"] for fault in inside.faults.describe()))
        lab.clear_faults()
        if not was_hit:
            assert nth > 40
            return
        if done.get("failed"):
            assert done["xapi_error"] == "VDI_IO_ERROR", (nth, done["msg"])
            done = pool.ok("vm", **shop)
        assert done["vm"]["power_state"] == "running"
        again = pool.ok("vm", **shop)
        assert not again["changed"], (nth, again["changes"])
        clear(pool)
        assert without_tasks(pool.left_over()) == {}, nth
    raise AssertionError("never through")
