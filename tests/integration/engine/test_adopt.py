# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers that docker run and docker compose would have made, taken into a set, and given back when that fails."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import api
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Daemon, Engine, Task, container_set_info

pytestmark = pytest.mark.engine


def run(daemon: Daemon, name: str, network: str, *, labels: dict[str, str] | None = None, **host: t.Any) -> None:
    """Make and start a container as Docker's own tools do."""
    service = (labels or {}).get("com.docker.compose.service", name)
    body = {
        "Image": "box:1",
        "Env": ["TOKEN=of-old"],
        "Labels": labels or {},
        "HostConfig": {"NetworkMode": network, "RestartPolicy": {"Name": "always"}, **host},
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": [service]}}} if network != "bridge" else {},
    }
    daemon.request("POST", f"/containers/create?name={name}", body)
    daemon.request("POST", f"/containers/{name}/start")


def project(daemon: Daemon) -> None:
    """A project of Compose with data in a volume."""
    daemon.request("POST", "/networks/create", {"Name": "shop_default"})
    daemon.request("POST", "/volumes/create", {"Name": "shop_data", "Labels": {"com.docker.compose.project": "shop"}})
    for service, host in (
        ("db", {"Binds": ["shop_data:/data:rw"]}),
        ("web", {"PortBindings": {"80/tcp": [{"HostPort": "8080"}]}, "Memory": 64 << 20}),
    ):
        depends = {"com.docker.compose.depends_on": "db:service_started:false"} if service == "web" else {}
        labels = {f"com.docker.compose.{key}": value for key, value in (("project", "shop"), ("service", service))}
        labels["com.docker.compose.container-number"] = "1"
        run(daemon, f"shop-{service}-1", "shop_default", labels={**labels, **depends}, **host)
    assert daemon.execute("shop-db-1", "sh", "-c", "echo precious >/data/kept")[0] == 0


def written(engine: Engine, name: str) -> dict[str, t.Any]:
    task = Task(container_set_info.DEFINITION, {"docker_host": engine.host, "definition": True}, False)
    found = next(item for item in task.result["adoptable"] if item["name"] == name)
    assert found["left_out"] == []
    return t.cast("dict[str, t.Any]", found["definition"])


def owners_only(task: Task) -> bool:
    changes = [change for change in task.result["changes"] if change["kind"] == "container"]
    return all(change["after"].keys() == {"owner", "network"} for change in changes)


def test_a_compose_project_is_adopted_with_its_data(engine: Engine) -> None:
    project(engine.daemon)
    definition = written(engine, "shop")
    assert definition["containers"]["web"]["links"] == ["db"]
    announced = engine.deploy(**definition, adopt=True, check=True)
    assert owners_only(announced)
    adopted = engine.deploy(**definition, adopt=True)
    assert adopted.actions == announced.actions
    assert set(engine.daemon.running()) == {"shop_web", "shop_db"} == set(engine.daemon.containers())
    assert engine.daemon.execute("shop_db", "cat", "/data/kept")[1].strip() == "precious"
    assert engine.daemon.reaches("shop_web", "db")
    assert engine.deploy(**definition, adopt=True).result["changes"] == []
    assert engine.deploy(**definition).result["changes"] == []
    engine.remove(remove_volumes=True)
    assert engine.daemon.volumes() == {"shop_data"}


def test_single_containers_are_adopted_and_nameless_volumes_kept(engine: Engine) -> None:
    daemon = engine.daemon
    run(daemon, "cache", "bridge", Mounts=[{"Type": "volume", "Target": "/data"}])
    assert daemon.execute("cache", "sh", "-c", "echo precious >/data/kept")[0] == 0
    plain = {"cache": {"image": "box:1"}}
    with pytest.raises(HardshellError, match="its data would be left behind"):
        engine.deploy(plain, adopt=True)
    definition = written(engine, "")
    assert owners_only(engine.deploy(**definition, adopt=True))
    assert daemon.execute("shop_cache", "cat", "/data/kept")[1].strip() == "precious"
    assert engine.deploy(**definition).result["changes"] == []


def test_an_adoption_that_fails_gives_back_what_was_there(engine: Engine) -> None:
    project(engine.daemon)
    before = engine.daemon.running()
    definition = written(engine, "shop")
    broken = copy.deepcopy(definition)
    broken["containers"]["web"]["command"] = "sh -c 'exit 3'"
    broken["containers"]["web"]["restart"] = "no"
    with pytest.raises(HardshellError, match="The set runs as it did before"):
        engine.deploy(**broken, adopt=True)
    assert engine.daemon.running() == before
    assert engine.daemon.networks() == {"shop_default"}


@pytest.mark.parametrize("step", ["/rename", "DELETE"])
@pytest.mark.parametrize("mortal", [False, True], ids=["connection cut", "killed"])
def test_an_adoption_cut_off_is_finished_by_the_next_run(engine: Engine, mortal: bool, step: str) -> None:
    project(engine.daemon)
    definition = written(engine, "shop")

    with pytest.MonkeyPatch.context() as patch:
        asked: list[str] = []
        send = api.Engine._send

        def broken(one: api.Engine, method: str, path: str, **options: t.Any) -> t.Any:
            if mortal and len(asked) >= 2:
                raise KeyboardInterrupt
            answer = send(one, method, path, **options)
            if step in f"{method} {path}":
                asked.append(path)
                if len(asked) == 2:
                    raise KeyboardInterrupt if mortal else api.ConnectionLost("cut")
            return answer

        patch.setattr(api.Engine, "_send", broken)
        try:
            engine.deploy(**definition, adopt=True)
        except (HardshellError, KeyboardInterrupt):
            assert mortal
    engine.deploy(**definition, adopt=True)
    assert set(engine.daemon.running()) == {"shop_web", "shop_db"} == set(engine.daemon.containers())
    assert engine.daemon.execute("shop_db", "cat", "/data/kept")[1].strip() == "precious"
    assert engine.deploy(**definition).result["changes"] == []


def test_without_the_option_nothing_is_adopted(engine: Engine) -> None:
    run(engine.daemon, "shop_one", "bridge")
    with pytest.raises(
        HardshellError, match="container shop_one that is not this set's; take it over with adopt: true"
    ):
        engine.deploy({"one": {"image": "box:1"}})
    assert set(engine.daemon.running()) == {"shop_one"}


def test_what_carries_a_mark_is_not_adopted(engine: Engine) -> None:
    run(engine.daemon, "shop_one", "bridge", labels={"hardshell.set": "other", "hardshell.tenant": "acme"})
    with pytest.raises(HardshellError, match="container shop_one that is not this set's; remove it"):
        engine.deploy({"one": {"image": "box:1"}}, adopt=True)
    engine.daemon.clear()
    run(engine.daemon, "shop_one", "bridge", labels={"hardshell.set": "shop", "hardshell.tenant": "globex"})
    with pytest.raises(HardshellError, match="mark of tenant 'globex'"):
        engine.deploy({"one": {"image": "box:1"}}, adopt=True)


def test_a_volume_that_is_external_is_used_and_stays(engine: Engine) -> None:
    given = {"volumes": {"data": {"name": "pgdata", "external": True}}}
    one = {"one": {"image": "box:1", "volumes": ["data:/data"]}}
    with pytest.raises(HardshellError, match="the engine holds no volume pgdata, which is external"):
        engine.deploy(one, **given)
    engine.daemon.request("POST", "/volumes/create", {"Name": "pgdata"})
    engine.deploy(one, **given)
    assert engine.daemon.inspect("shop_one")["HostConfig"]["Binds"] == ["pgdata:/data:rw"]
    assert not engine.deploy(one, **given).changed
    engine.remove(remove_volumes=True)
    assert engine.daemon.volumes() == {"pgdata"}
