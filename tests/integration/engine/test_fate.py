# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service of a VM that makes the members of a set share one fate: the script itself, beside a real engine."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import subprocess
import threading
import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Daemon, Engine

pytestmark = pytest.mark.engine

SCRIPT = Path(__file__).parents[3] / "roles/container_host/files/hardshell-fate.sh"
SECONDS = 30
SICK = {"test": "test ! -e /tmp/sick", "interval": "100ms", "retries": 1}
SHOP: dict[str, t.Any] = {
    "web": {"image": "box:1", "links": ["api"], "restart": "no"},
    "api": {"image": "box:1", "links": ["db"], "restart": "no", "healthcheck": SICK},
    "db": {"image": "box:1", "restart": "no"},
}


class Service:
    """The running script. ``log`` holds what it has said so far."""

    def __init__(self, daemon: Daemon, state: Path, **settings: str) -> None:
        self.log: list[str] = []
        self._said: queue.Queue[str] = queue.Queue()
        environment = {
            "PATH": os.environ["PATH"],
            "DOCKER_HOST": f"unix://{daemon.socket}",
            "STATE_DIRECTORY": str(state),
            "HARDSHELL_FATE_PAUSE": "0",
            **{f"HARDSHELL_FATE_{name}": value for name, value in settings.items()},
        }
        self._process = subprocess.Popen(
            ["sh", str(SCRIPT)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for("watching")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line.strip())

    def wait_for(self, sign: str) -> str:
        """The next line that holds ``sign``."""
        while True:
            try:
                self.log.append(self._said.get(timeout=SECONDS))
            except queue.Empty:
                pytest.fail(f"{sign!r} was not said, but {self.log}")
            if sign in self.log[-1]:
                return self.log[-1]

    def end(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@pytest.fixture
def service(daemon: Daemon, tmp_path: Path) -> t.Iterator[t.Callable[..., Service]]:
    if not shutil.which("docker"):
        pytest.skip("the service needs Docker's command line")
    started: list[Service] = []

    def start(**settings: str) -> Service:
        started.append(Service(daemon, tmp_path, **settings))
        return started[-1]

    yield start
    for one in started:
        one.end()


def crash(daemon: Daemon, name: str) -> None:
    """End a container's first process as a defect of its own would: the engine has no part in it."""
    process = daemon.inspect(name)["State"]["Pid"]
    assert process > 0, f"{name} does not run"
    os.kill(process, signal.SIGKILL)


def restarted(daemon: Daemon, name: str) -> None:
    """Return when the engine itself has started the container again."""
    while (found := daemon.inspect(name))["State"]["Status"] != "running" or not found["RestartCount"]:
        pass


def started_at(daemon: Daemon) -> dict[str, str]:
    return {name: daemon.inspect(name)["State"]["StartedAt"] for name in daemon.running()}


def test_a_member_that_ends_restarts_the_set_in_the_order_of_its_links(
    engine: Engine, daemon: Daemon, service: t.Callable[..., Service]
) -> None:
    engine.deploy(SHOP, fate="shared")
    before, containers = started_at(daemon), daemon.running()
    running = service()
    crash(daemon, "shop_db")
    assert "shop_db ended with exit code 137; restarting the set" in running.wait_for("set shop")
    running.wait_for("set shop: started")
    now = started_at(daemon)
    assert daemon.running() == containers
    assert all(now[name] > before[name] for name in before)
    assert now["shop_db"] < now["shop_api"] < now["shop_web"]
    assert not engine.deploy(SHOP, fate="shared").changed


def test_an_unhealthy_member_stops_the_set(engine: Engine, daemon: Daemon, service: t.Callable[..., Service]) -> None:
    engine.deploy(SHOP, fate="shared", fate_reaction="stop")
    running = service()
    daemon.execute("shop_api", "touch", "/tmp/sick")
    assert "shop_api is unhealthy; stopping the set" in running.wait_for("set shop")
    running.wait_for("set shop: stopped")
    assert daemon.running() == {}
    assert daemon.inspect("shop_web")["State"]["FinishedAt"] < daemon.inspect("shop_db")["State"]["FinishedAt"]


def test_a_member_that_keeps_ending_stops_the_vm(
    engine: Engine, daemon: Daemon, service: t.Callable[..., Service], tmp_path: Path
) -> None:
    engine.deploy({"db": {"image": "box:1", "restart": "always"}}, fate="shared", fate_reaction="stop_vm")
    running = service(STOP_VM=f"echo down >{tmp_path}/vm; echo power off", CRASHES="2")
    crash(daemon, "shop_db")
    restarted(daemon, "shop_db")
    crash(daemon, "shop_db")
    assert "shop_db keeps ending, last with exit code 137; stopping the VM" in running.wait_for("set shop")
    running.wait_for("power off")
    assert (tmp_path / "vm").read_text() == "down\n"


def test_what_is_done_on_purpose_is_no_failure(
    engine: Engine, daemon: Daemon, service: t.Callable[..., Service]
) -> None:
    """Deploys, updates, a deploy that fails, an operator's stop, a member that the engine starts again, and one that has done its work."""
    running = service()
    job = {"image": "box:1", "command": "sh -c 'while test ! -e /tmp/done; do sleep 0.1; done'", "restart": "no"}
    definition = {**SHOP, "web": {**SHOP["web"], "restart": "always"}, "job": job}
    engine.deploy(definition, fate="shared")
    engine.deploy({**definition, "db": {"image": "box:2", "restart": "no"}}, fate="shared")
    with pytest.raises(HardshellError, match="runs as it did before"):
        engine.deploy({**definition, "db": {"image": "box:1", "command": "false", "restart": "no"}}, fate="shared")
    daemon.execute("shop_job", "touch", "/tmp/done")
    daemon.request("POST", "/containers/shop_api/stop")
    daemon.request("POST", "/containers/shop_api/start")
    crash(daemon, "shop_web")
    restarted(daemon, "shop_web")
    crash(daemon, "shop_db")
    assert "shop_db ended" in running.wait_for("set shop")
    assert [line for line in running.log if line.startswith("set ")] == running.log[-1:]


def test_a_set_whose_members_fail_one_by_one_is_left_alone(
    engine: Engine, daemon: Daemon, service: t.Callable[..., Service]
) -> None:
    engine.deploy(SHOP, name="alone")
    engine.deploy({"db": SHOP["db"]}, fate="shared")
    running = service()
    crash(daemon, "alone_db")
    crash(daemon, "shop_db")
    running.wait_for("set shop: started")
    assert not [line for line in running.log if "alone" in line]
    assert set(daemon.running()) == {"alone_web", "alone_api", "shop_db"}


def test_a_restart_that_was_cut_off_is_finished(
    engine: Engine, daemon: Daemon, service: t.Callable[..., Service], tmp_path: Path
) -> None:
    engine.deploy(SHOP, fate="shared")
    running = service()
    crash(daemon, "shop_db")
    running.wait_for("restarting the set")
    running.end()
    for name in daemon.running():
        daemon.request("POST", f"/containers/{name}/stop")
    (tmp_path / "shop.restarting").write_text("shop_db\nshop_api\nshop_web\n")
    assert service().log[:2] == ["set shop: finishing a restart that was cut off", "set shop: started"]
    assert set(daemon.running()) == {"shop_db", "shop_api", "shop_web"}
