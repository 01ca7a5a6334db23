# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lab pool for each test, and the modules run against it through either front end."""

from __future__ import annotations

import importlib
import json
import ssl
import typing as t
import xmlrpc.client
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import XenAPI
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session import is_read
from xapi_lab.testing import Lab

PLUGINS = "ansible_collections.hardshell.xen.plugins"
HARMLESS = {"session.login_with_password", "session.logout", "task.destroy", "GET /rrd_updates", "GET /vm_rrd"}
SHARED = ("VM", "VDI", "VBD", "VIF", "task")


class Pool:
    """The lab as a user of the modules sees it: ``run`` a module, look at its result and at what it left."""

    def __init__(self, lab: Lab, front_end: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.lab = lab
        self.front_end = front_end
        self._capsys = capsys
        self._at_first = self.contents()

    def connection(self) -> dict[str, t.Any]:
        return {
            "xapi_host": [self.lab.url],
            "xapi_username": self.lab.username,
            "xapi_password": self.lab.password,
            "xapi_ca_path": str(self.lab.ca_path),
        }

    def run(self, module: str, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
        """The result of one task, failed or not. The call log is of this task alone."""
        self.lab.reset_calls()
        arguments = {**self.connection(), **arguments}
        if self.front_end == "in_controller":
            return self._run_action(module, arguments, check)
        return self._run_module(module, arguments, check)

    def ok(self, module: str, *, check: bool = False, **arguments: t.Any) -> dict[str, t.Any]:
        result = self.run(module, check=check, **arguments)
        assert not result.get("failed"), result
        return result

    def refused(self, module: str, **arguments: t.Any) -> str:
        """The message of a task that must fail having changed nothing, in check mode and for real."""
        messages = []
        for check in (True, False):
            result = self.run(module, check=check, **arguments)
            assert result.get("failed"), result
            assert self.mutating_calls() == {}
            messages.append(result["msg"])
        assert messages[0] == messages[1]
        return messages[0]

    def four_steps(self, module: str, **arguments: t.Any) -> dict[str, t.Any]:
        """Check, check, real, real: what is announced is what is done, and once done there is nothing more to do."""
        before = self.contents()
        announced = self.ok(module, check=True, **arguments)
        assert announced["changed"]
        assert announced["diff"]["before"] != announced["diff"]["after"]
        assert self.mutating_calls() == {}
        again = self.ok(module, check=True, **arguments)
        assert again["changes"] == announced["changes"]
        assert self.contents() == before

        done = self.ok(module, **arguments)
        assert done["changed"]
        assert done["changes"] == announced["changes"]
        assert done["diff"] == announced["diff"]
        returned = next(key for key in ("vm", "image", "published") if key in done)
        assert (announced[returned] or {}).keys() == (done[returned] or {}).keys()

        unchanged = self.ok(module, **arguments)
        assert not unchanged["changed"]
        assert unchanged["changes"] == []
        assert unchanged["diff"] == {"before": "", "after": ""}
        assert self.without_addresses(unchanged[returned]) == self.without_addresses(done[returned])
        assert self.mutating_calls() == {}
        return done

    @staticmethod
    def without_addresses(returned: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
        """What a module returned, but for what a guest tells when it likes."""
        if returned is None:
            return None
        networks = [{**network, "addresses": []} for network in returned.get("networks", [])]
        return {**returned, "address": None, "addresses": [], "networks": networks}

    def _run_action(self, module: str, arguments: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
        task = MagicMock(
            args=arguments,
            check_mode=check,
            diff=True,
            no_log=False,
            async_val=0,
            environment=[],
            action=f"hardshell.xen.{module}",
        )
        connection = MagicMock(transport="local", become=None)
        action_class = importlib.import_module(f"{PLUGINS}.action.{module}").ActionModule
        action = action_class(task, connection, MagicMock(), MagicMock(), MagicMock(), MagicMock())
        result: dict[str, t.Any] = action.run(task_vars={"inventory_hostname": "localhost"})
        self._capsys.readouterr()
        return result

    def _run_module(self, module: str, arguments: dict[str, t.Any], check: bool) -> dict[str, t.Any]:
        self._capsys.readouterr()
        given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given), pytest.raises(SystemExit):
            importlib.import_module(f"{PLUGINS}.modules.{module}").main()
        result: dict[str, t.Any] = json.loads(self._capsys.readouterr().out)
        return result

    def call(self, method: str, *arguments: t.Any) -> t.Any:
        """What somebody else does in the pool meanwhile."""
        context = ssl.create_default_context(cafile=str(self.lab.ca_path))
        session = XenAPI.Session(self.lab.url, transport=xmlrpc.client.SafeTransport(context=context))
        session.login_with_password(self.lab.username, self.lab.password, "2.21", "somebody else")
        try:
            return session.xenapi_request(method, arguments)
        finally:
            session.logout()

    def calls(self) -> dict[str, int]:
        return self.lab.calls()

    def mutating_calls(self) -> dict[str, int]:
        """What was called that changes a pool. A session is no part of what a pool is made of."""
        return {
            method: count for method, count in self.calls().items() if not is_read(method) and method not in HARMLESS
        }

    def contents(self) -> dict[str, set[str]]:
        return {name: set(self.lab.records(name)) for name in SHARED}

    def left_over(self) -> dict[str, int]:
        """How many objects of each class there are beyond those that the pool began with."""
        now = self.contents()
        return {name: len(now[name] - self._at_first[name]) for name in SHARED if now[name] - self._at_first[name]}

    def record(self, class_name: str, name: str) -> dict[str, t.Any]:
        """The one record of that name."""
        (found,) = [record for record in self.lab.records(class_name).values() if record["name_label"] == name]
        return found

    def ref(self, class_name: str, name: str) -> str:
        (found,) = [ref for ref, record in self.lab.records(class_name).items() if record["name_label"] == name]
        return found


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(backend="none", event_from_delay=0) as lab:
        yield lab


@pytest.fixture(params=["in_controller", "module"])
def pool(request: pytest.FixtureRequest, lab: Lab, capsys: pytest.CaptureFixture[str]) -> Pool:
    return Pool(lab, request.param, capsys)


@pytest.fixture
def controller_pool(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Pool:
    """For what the front end has no part in."""
    return Pool(lab, "in_controller", capsys)


@pytest.fixture
def make_pool(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Callable[[], Pool]:
    """Pools that count what is left over from the moment they are made."""
    return lambda: Pool(lab, "in_controller", capsys)


@pytest.fixture
def shop() -> dict[str, t.Any]:
    """A VM with everything."""
    return {
        "name": "shop",
        "tenant": "acme",
        "host": "acme-shop",
        "template": "Debian Bookworm 12",
        "vcpus": 2,
        "memory": "1GiB",
        "disks": [{"name": "data", "size": "5GiB"}],
        "networks": [{"name": "front", "network": "Pool-wide network associated with eth0"}],
        "config_drive": {"user_data": "#cloud-config\nhostname: shop\n"},
        "ssh_host_key": True,
        "state": "running",
    }


@pytest.fixture
def two_images(controller_pool: Pool, tmp_path: Path) -> tuple[str, str]:
    """The names of two templates, each with a disk of its own."""
    for name in ("debian-12", "debian-13"):
        path = tmp_path / f"{name}.raw"
        path.write_bytes(name.encode() * 4096)
        controller_pool.ok("image", name=name, path=str(path))
    return "debian-12", "debian-13"


@pytest.fixture
def disk_image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(range(256)) * 8192)
    return path
