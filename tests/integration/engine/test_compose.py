# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compose files on a real engine: what they describe runs, and the second run changes nothing."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine

pytestmark = pytest.mark.engine

FLAT = """
x-defaults: &defaults
  image: box:${TAG}
  stop_signal: SIGKILL
services:
  web:
    <<: *defaults
    depends_on: {db: {condition: service_healthy}}
    ports: ["8080:80"]
    environment: {COLOUR: "${COLOUR:-blue}"}
    env_file: web.env
    tmpfs: [/scratch]
    ulimits: {nofile: {soft: 512, hard: 1024}}
    sysctls: [net.ipv4.ip_unprivileged_port_start=0]
    deploy: {resources: {limits: {memory: 64M, cpus: "0.5"}}}
    logging: {driver: json-file, options: {max-size: 1m}}
    extra_hosts: ["far=192.0.2.1"]
  db:
    <<: *defaults
    volumes: ["data:/data", /cache]
    healthcheck: {test: "true", interval: 200ms}
  debug:
    <<: *defaults
    profiles: [debug]
volumes: {data: }
"""

TIERS = """
services:
  web: {image: "box:1", networks: [front], depends_on: [api], links: ["api:backend"]}
  api: {image: "box:1", networks: {front: , back: {aliases: [middle]}}, depends_on: [db]}
  db: {image: "box:1", networks: [back], container_name: my_db}
networks: {front: , back: }
"""


AS_FOUND = """
services:
  webApp:
    image: "box:1"
    command: ["/serve", ""]
    depends_on: [db.main]
    volumes: ["./motd:/etc/motd:ro", "./serve.sh:/serve", "./data:/data", "./data/deep:/deep"]
  db.main: {image: "box:1", network_mode: bridge, networks: [default], container_name: The_DB, logging: {options: {max-size: 1m}}}
  agent: {image: "box:1", command: "sleep 1000", network_mode: host, ports: ["9100:9100"], build: .}
"""


NETWORKS = """
services:
  web: {image: "box:1", networks: [back, proxy]}
  db: {image: "box:1", networks: {back: {ipv4_address: 172.31.77.9}}}
networks:
  back: {internal: %s, ipam: {config: [{subnet: %s}]}}
  proxy: {external: true}
"""


@pytest.fixture
def project(tmp_path: Path) -> t.Callable[..., str]:
    def write(text: str, name: str = "compose.yaml") -> str:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def check_then_run(engine: Engine, **options: t.Any) -> t.Any:
    announced = engine.deploy(check=True, **options)
    done = engine.deploy(**options)
    assert announced.result["changes"] == done.result["changes"]
    again = engine.deploy(**options)
    assert (again.changed, again.result["changes"]) == (False, [])
    return done


def test_a_file_with_one_network(engine: Engine, project: t.Callable[..., str]) -> None:
    project("TAG=1\n", ".env")
    project("FROM_FILE=yes\n", "web.env")
    path = project(FLAT)
    done = check_then_run(engine, compose_file=[path])
    assert done.result["container_set"]["network"] == "flat"
    assert set(engine.daemon.running()) == {"shop_web", "shop_db"}
    assert engine.daemon.volumes() == {"shop_data", "shop_db_cache"}
    assert engine.daemon.reaches("shop_web", "db")
    assert engine.daemon.reaches("shop_db", "web")
    web = engine.daemon.inspect("shop_web")
    assert {"COLOUR=blue", "FROM_FILE=yes"} <= set(web["Config"]["Env"])
    assert web["HostConfig"]["Memory"] == 64 << 20
    assert web["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert engine.daemon.execute("shop_web", "cat", "/etc/hosts")[1].count("192.0.2.1") == 1

    over = project(
        "services: {web: {environment: {COLOUR: red}, ports: !override ['8081:80']}}", "compose.override.yaml"
    )
    changed = check_then_run(engine, compose_file=[path, over])
    assert changed.actions == [("replace", "container", "web")]
    assert changed.members["web"]["ports"] == ["8081:80/tcp"]

    more = check_then_run(engine, compose_file=[path, over], compose_profiles=["debug"], compose_environment={"TAG": 2})
    assert ("create", "container", "debug") in more.actions
    assert {member["image"] for member in more.members.values()} == {"box:2"}

    engine.remove(compose_file=[path])
    assert engine.daemon.containers() == {}


def test_a_file_with_several_networks(engine: Engine, project: t.Callable[..., str]) -> None:
    daemon = engine.daemon
    done = check_then_run(engine, compose_file=[project(TIERS)])
    assert done.result["container_set"]["network"] == "declared"
    assert daemon.networks() == {"shop_front", "shop_back"}
    assert daemon.reaches("shop_web", "api")
    assert daemon.reaches("shop_web", "backend")
    assert daemon.reaches("shop_api", "web")
    assert daemon.reaches("shop_api", "db")
    assert daemon.reaches("shop_api", "my_db")
    assert daemon.reaches("shop_db", "middle")
    assert not daemon.reaches("shop_web", "db")
    assert not daemon.reaches("shop_db", "web")
    assert not daemon.reaches("shop_web", "middle")
    assert not daemon.reaches("shop_api", "backend")
    (found,) = engine.info()
    assert found["network"] == "declared"


def test_drift_of_a_declared_network_is_mended(engine: Engine, project: t.Callable[..., str]) -> None:
    path = project(TIERS)
    engine.deploy(compose_file=[path])
    engine.daemon.request("POST", "/networks/shop_front/disconnect", {"Container": "shop_api"})
    mended = check_then_run(engine, compose_file=[path])
    assert mended.actions
    assert engine.daemon.reaches("shop_web", "backend")


def test_from_one_kind_of_network_to_another_and_back(engine: Engine, project: t.Callable[..., str]) -> None:
    path = project(TIERS.replace(" {aliases: [middle]}", ""))
    check_then_run(engine, compose_file=[path])
    check_then_run(engine, compose_file=[path], network="per-link")
    assert engine.daemon.networks() == {"shop_web", "shop_api", "shop_db"}
    assert engine.daemon.reaches("shop_web", "backend")
    assert not engine.daemon.reaches("shop_web", "db")
    check_then_run(engine, compose_file=[path])
    assert engine.daemon.networks() == {"shop_front", "shop_back"}
    engine.remove()
    assert engine.daemon.networks() == set()


def test_inline_is_the_same_set_as_containers(engine: Engine) -> None:
    engine.deploy(compose={"services": {"a": {"image": "box:1"}, "b": {"image": "box:1", "depends_on": ["a"]}}})
    same = {"a": {"image": "box:1", "restart": "no"}, "b": {"image": "box:1", "restart": "no", "links": ["a"]}}
    assert not engine.deploy(same, network="flat").changed


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"services": {"a": {"build": "."}}}, r"^services\.a\.build: "),
        (
            {"services": {"a": {"image": "box:1", "mem_limit": "64m", "memswap_limit": "32m"}}},
            r"^services\.a\.memswap_limit: ",
        ),
        (
            {"services": {"a": {"image": "box:1", "ports": ["1:1"]}, "b": {"image": "box:1", "ports": ["1:2"]}}},
            r"^services\.b\.ports: ",
        ),
        ({"services": {"a": {"image": "box:1", "cap_add": ["ALL"], "cap_drop": ["ALL"]}}}, r"^services\.a\.cap_add: "),
    ],
)
def test_what_is_not_supported_is_refused_before_anything_is_made(
    engine: Engine, document: dict[str, t.Any], message: str
) -> None:
    with pytest.raises(HardshellError, match=message):
        engine.deploy(compose=document)
    assert engine.daemon.containers() == {}
    assert engine.daemon.networks() == set()


def test_what_goes_with_compose_alone_is_refused(engine: Engine) -> None:
    with pytest.raises(HardshellError, match="^compose_profiles: .*goes with compose_file or compose"):
        engine.deploy({"a": {"image": "box:1"}}, compose_profiles=["x"])


def test_a_failing_update_brings_the_old_set_back(engine: Engine, project: t.Callable[..., str]) -> None:
    path = project(TIERS)
    engine.deploy(compose_file=[path])
    running = engine.daemon.running()
    over = project("services: {api: {command: ['false']}}", "over.yaml")
    with pytest.raises(HardshellError, match="api"):
        engine.deploy(compose_file=[path, over])
    assert engine.daemon.running() == running
    assert engine.daemon.reaches("shop_web", "backend")


GRANTS = """
services:
  a:
    image: box:1
    user: "7:9"
    stop_signal: SIGKILL
    sysctls: [net.ipv4.ip_unprivileged_port_start=0]
    secrets: [token, {source: key, target: /opt/key, uid: "7", gid: "8", mode: 0o640}]  # read by its owner, who is the user
    configs: [{source: hello, target: /etc/greeting}]
secrets:
  token: {environment: TOKEN}
  key: {file: key.txt}
configs:
  hello: {content: "hello ${WHO}"}
"""


def test_secrets_and_configs_are_files_that_inspect_does_not_show(
    engine: Engine, project: t.Callable[..., str], tmp_path: Path
) -> None:
    project("s3cret-key", "key.txt")
    given = {"compose_file": [project(GRANTS)], "compose_environment": {"TOKEN": "s3cret-token", "WHO": "you"}}
    done = check_then_run(engine, **given)
    daemon = engine.daemon
    assert daemon.execute("shop_a", "cat", "/run/secrets/token")[1] == "s3cret-token"
    assert daemon.execute("shop_a", "cat", "/opt/key")[1] == "s3cret-key"
    assert daemon.execute("shop_a", "cat", "/etc/greeting")[1] == "hello you"
    assert daemon.execute("shop_a", "ls", "-n", "/opt/key")[1].split()[:4] == ["-r--r-----", "1", "7", "8"]
    assert daemon.execute("shop_a", "ls", "-n", "/run/secrets/token")[1].split()[:4] == ["-r--r--r--", "1", "0", "0"]

    project("s3cret-other", "key.txt")
    changed = check_then_run(engine, **given)
    assert changed.actions == [("replace", "container", "a")]
    assert daemon.execute("shop_a", "cat", "/opt/key")[1] == "s3cret-other"
    shown = f"{done.result}{done.said}{changed.result}{changed.said}{engine.info()}{daemon.inspect('shop_a')}"
    assert "s3cret" not in shown
    assert "hello you" not in shown


def test_a_file_as_it_is_found(engine: Engine, project: t.Callable[..., str]) -> None:
    project("from the controller\n", "motd")
    Path(project("#!/bin/sh\nexec sleep 1000\n", "serve.sh")).chmod(0o755)
    path = project(AS_FOUND)
    check_then_run(engine, compose_file=[path])
    assert engine.daemon.execute("shop_webapp", "cat", "/etc/motd")[1] == "from the controller\r\n"
    assert set(engine.daemon.volumes()) == {"shop_data", "shop_data_deep"}
    for name in ("db.main", "The_DB", "DB-Main"):
        assert engine.daemon.reaches("shop_webapp", name)
    assert list(engine.daemon.inspect("shop_agent")["NetworkSettings"]["Networks"]) == ["host"]
    (told,) = engine.info()
    assert (told["network"], told["members"]["agent"]["state"]) == ("declared", "running")

    project("changed\n", "motd")
    changed = check_then_run(engine, compose_file=[path])
    assert changed.actions == [("replace", "container", "webapp")]
    assert engine.daemon.execute("shop_webapp", "cat", "/etc/motd")[1] == "changed\r\n"


def test_networks_with_options_and_one_that_is_there_already(engine: Engine, project: t.Callable[..., str]) -> None:
    path = project(NETWORKS % ("true", "172.31.77.0/24"))
    with pytest.raises(HardshellError, match=r"^networks\.proxy: the engine holds no network proxy"):
        engine.deploy(compose_file=[path])
    engine.daemon.request("POST", "/networks/create", {"Name": "proxy"})
    check_then_run(engine, compose_file=[path])
    assert engine.daemon.reaches("shop_web", "172.31.77.9")
    (first,) = (name for name in engine.daemon.networks() if name.startswith("shop_back"))
    assert engine.daemon.request("GET", f"/networks/{first}")["Internal"] is True
    assert "proxy" in engine.daemon.inspect("shop_web")["NetworkSettings"]["Networks"]

    lost = {"Container": "shop_db", "EndpointConfig": {"Aliases": ["db"]}}
    engine.daemon.request("POST", f"/networks/{first}/disconnect", {"Container": "shop_db"})
    engine.daemon.request("POST", f"/networks/{first}/connect", lost)
    assert check_then_run(engine, compose_file=[path]).actions == [("reconnect", "connection", f"db to {first}")]

    before = engine.daemon.running()
    with pytest.raises(HardshellError, match="which is the set's own with other options"):
        engine.deploy(compose_file=[project(NETWORKS % ("false", "172.31.77.0/24"))])
    assert engine.daemon.running() == before
    wider = project(NETWORKS % ("false", "172.31.76.0/23"), "wider.yaml")
    engine.remove()
    assert "proxy" in engine.daemon.networks()
    check_then_run(engine, compose_file=[wider])
    assert engine.daemon.reaches("shop_web", "db")
