# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before the first change, and whose things are left alone."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import api
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine

pytestmark = pytest.mark.engine

ONE: dict[str, t.Any] = {"one": {"image": "box:1", "ports": ["8080:80"]}}


def test_another_tenants_engine_is_refused(engine: Engine) -> None:
    engine.deploy(ONE)
    before = engine.daemon.running()
    for options in ({"name": "shop"}, {"name": "other"}):
        with pytest.raises(HardshellError, match="mark of tenant 'acme'"):
            engine.deploy(ONE, tenant="globex", **options)
        with pytest.raises(HardshellError, match="mark of tenant 'acme'"):
            engine.remove(tenant="globex", **options)
    assert engine.daemon.running() == before


@pytest.mark.parametrize("name", ["shop_one", "shop_one.new", "shop_one.old"])
def test_a_container_of_somebody_else_is_left_alone(engine: Engine, name: str) -> None:
    engine.daemon.request("POST", f"/containers/create?name={name}", {"Image": "box:1"})
    with pytest.raises(HardshellError, match=f"{name} that is not this set's"):
        engine.deploy(ONE)
    engine.remove()
    assert list(engine.daemon.containers()) == [name]


def test_a_network_and_a_volume_of_somebody_else_are_left_alone(engine: Engine) -> None:
    engine.daemon.request("POST", "/volumes/create", {"Name": "shop_data"})
    with pytest.raises(HardshellError, match="volume shop_data that is not this set's"):
        engine.deploy({"one": {"image": "box:1", "volumes": ["data:/data"]}})
    engine.daemon.request("POST", "/networks/create", {"Name": "shop_one"})
    with pytest.raises(HardshellError, match="network shop_one that is not this set's"):
        engine.deploy(ONE)
    engine.remove(remove_volumes=True)
    assert engine.daemon.networks() == {"shop_one"}
    assert engine.daemon.volumes() == {"shop_data"}


def test_a_port_that_another_set_publishes_is_refused(engine: Engine) -> None:
    engine.deploy(ONE)
    with pytest.raises(HardshellError, match="8080:80/tcp is taken by the container shop_one"):
        engine.deploy(ONE, name="other")


def test_an_image_that_is_not_there_is_refused_before_anything_is_touched(engine: Engine) -> None:
    engine.deploy(ONE)
    before = engine.daemon.running()
    for check in (True, False):
        with pytest.raises(HardshellError, match="the engine does not hold none-such:9"):
            engine.deploy({"one": {"image": "none-such:9"}}, check=check)
        with pytest.raises(HardshellError, match="none-such:9 is not in the engine, and its registry does not give it"):
            engine.deploy({"one": {"image": "127.0.0.1:9/none-such:9"}}, check=check, pull="missing")
    assert engine.daemon.running() == before


def test_a_run_without_changes_asks_the_engine_four_things_and_one_for_each_member(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {f"m{number}": {"image": f"box:{1 + number % 2}", "volumes": [f"v{number}:/data"]} for number in range(4)}
    engine.deploy(members)
    asked: list[str] = []
    send = api.Engine._send

    def counted(one: api.Engine, method: str, path: str, **options: t.Any) -> t.Any:
        asked.append(f"{method} {path}")
        return send(one, method, path, **options)

    monkeypatch.setattr(api.Engine, "_send", counted)
    assert not engine.deploy(members).changed
    assert len(asked) <= 4 + len(members)
    assert all(request.startswith("GET") for request in asked)


def test_check_mode_writes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine.deploy(ONE)
    send = api.Engine._send

    def reading(one: api.Engine, method: str, path: str, **options: t.Any) -> t.Any:
        assert method == "GET"
        return send(one, method, path, **options)

    monkeypatch.setattr(api.Engine, "_send", reading)
    assert engine.deploy({"one": {"image": "box:2"}, "two": {"image": "box:1"}}, check=True).changed
    assert engine.remove(check=True).changed
