# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Create, update and remove, in check mode and for real, twice each; links; drift."""

from __future__ import annotations

import copy
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .conftest import Engine, Task, container_set_info

pytestmark = pytest.mark.engine

HEALTHY = {"test": ["CMD", "true"], "interval": "200ms"}
SHOP: dict[str, t.Any] = {
    "web": {"image": "box:1", "links": ["api"], "ports": ["8080:80"]},
    "api": {
        "image": "box:1",
        "links": ["db:database"],
        "memory": "64MiB",
        "cpus": 0.5,
        "environment": {"TOKEN": "s3cret-token"},
    },
    "db": {"image": "box:1", "volumes": ["data:/data"], "healthcheck": HEALTHY},
}


def shop(**changes: dict[str, t.Any]) -> dict[str, t.Any]:
    """The shop with other options for some members."""
    other = copy.deepcopy(SHOP)
    for member, options in changes.items():
        other.setdefault(member, {}).update(options)
    return other


def told(entry: dict[str, t.Any]) -> dict[str, t.Any]:
    """What can be known of a container beforehand. The engine may choose the outer ports, and opens each for IPv6 too."""
    ports = {(port["PrivatePort"], port["Type"]) for port in entry["Ports"] if "PublicPort" in port}
    known = ("Names", "Image", "ImageID", "Command", "State", "Labels", "HostConfig")
    return {**{key: entry[key] for key in known}, "Ports": ports, "healthy": "(healthy)" in entry["Status"]}


def check_then_run(engine: Engine, containers: dict[str, t.Any] | None = None, **options: t.Any) -> t.Any:
    """Announce, do, do again: the announced changes are those done, and the second run has none. Returns the real run."""
    before = engine.daemon.containers().keys() | engine.daemon.networks() | engine.daemon.volumes()
    announced = engine.deploy(containers, check=True, **options)
    assert before == engine.daemon.containers().keys() | engine.daemon.networks() | engine.daemon.volumes()
    done = engine.deploy(containers, **options)
    assert announced.result["changes"] == done.result["changes"]
    assert announced.result["diff"] == done.result["diff"]
    assert announced.members.keys() == done.members.keys()
    assert [told(entry) for entry in announced.result["engine"]["containers"]] == [
        told(entry) for entry in done.result["engine"]["containers"]
    ]
    assert [entry["Id"] for entry in done.result["engine"]["containers"]] == [
        item["Id"] for _name, item in sorted(engine.daemon.containers().items())
    ]
    for again in (engine.deploy(containers, check=True, **options), engine.deploy(containers, **options)):
        assert again.result["changes"] == []
        assert again.result["diff"] == {"before": "", "after": ""}
        assert not again.changed
    return done


def test_the_twelve_steps(engine: Engine) -> None:
    created = check_then_run(engine, shop())
    assert created.changed
    assert set(engine.daemon.running()) == {"shop_web", "shop_api", "shop_db"}
    assert created.members["db"]["health"] == "healthy"
    assert created.members["web"]["ports"] == ["8080:80/tcp"]
    assert created.result["engine"]["version"]["Version"] == engine.daemon.request("GET", "/version")["Version"]
    assert "s3cret-token" not in str(created.result)
    running = engine.daemon.running()

    updated = check_then_run(engine, shop(api={"memory": "128MiB"}, web={"environment": {"COLOUR": "blue"}}))
    assert updated.actions == [("update", "container", "api"), ("replace", "container", "web")]
    assert engine.daemon.running()["shop_api"] == running["shop_api"]
    assert engine.daemon.running()["shop_web"] != running["shop_web"]
    assert engine.daemon.inspect("shop_api")["HostConfig"]["Memory"] == 128 << 20

    fewer = {name: options for name, options in shop(api={"memory": "128MiB"}).items() if name != "web"}
    assert ("remove", "container", "web") in check_then_run(engine, fewer).actions
    assert set(engine.daemon.running()) == {"shop_api", "shop_db"}

    check_then_run(engine, None, state="absent")
    assert engine.daemon.containers() == {}
    assert engine.daemon.networks() == set()
    assert engine.daemon.volumes() == {"shop_data"}
    check_then_run(engine, None, state="absent", remove_volumes=True)
    assert engine.daemon.volumes() == set()


def test_secrets_are_not_shown(engine: Engine) -> None:
    created = engine.deploy(shop())
    changed = engine.deploy(shop(api={"environment": {"TOKEN": "another-s3cret"}}))
    assert [change["reason"] for change in changed.result["changes"]] == ["environment differs"]
    shown = f"{created.result}{changed.result}{created.said}{changed.said}{engine.info()}"
    assert "s3cret" not in shown


def test_links_are_the_firewall(engine: Engine) -> None:
    engine.deploy(shop())
    daemon = engine.daemon
    assert daemon.reaches("shop_api", "database")
    assert daemon.reaches("shop_web", "api")
    for unknown in ("db", "database", "shop_db"):
        assert not daemon.reaches("shop_web", unknown)
    address = engine.info()[0]["members"]["db"]["addresses"]["shop_db"]
    assert not daemon.reaches("shop_web", address)
    assert daemon.reaches("shop_api", address)


def test_a_flat_network_knows_everybody_and_aliases_stay_private(engine: Engine) -> None:
    check_then_run(engine, shop(), network="flat")
    daemon = engine.daemon
    assert daemon.networks() == {"shop"}
    assert daemon.reaches("shop_web", "db")
    assert daemon.reaches("shop_api", "database")
    assert not daemon.reaches("shop_web", "database")
    check_then_run(engine, shop())
    assert "shop" not in daemon.networks()


def test_limits_changed_by_hand_are_seen_and_mended(engine: Engine) -> None:
    engine.deploy(shop())
    engine.daemon.request("POST", "/containers/shop_api/update", {"Memory": 96 << 20, "MemorySwap": 192 << 20})
    mended = check_then_run(engine, shop())
    assert mended.actions == [("update", "container", "api")]
    assert mended.result["changes"][0]["before"] == {"memory": 96 << 20}


def test_a_limit_that_was_never_asked_for_is_taken_off(engine: Engine) -> None:
    engine.deploy(shop())
    engine.daemon.request("POST", "/containers/shop_db/update", {"Memory": 96 << 20, "MemorySwap": 192 << 20})
    assert check_then_run(engine, shop()).actions == [("replace", "container", "db")]


def test_a_lost_network_is_seen_and_mended_without_a_restart(engine: Engine) -> None:
    engine.deploy(shop())
    daemon = engine.daemon
    running = daemon.running()
    daemon.request("POST", "/networks/shop_db/disconnect", {"Container": "shop_api", "Force": True})
    assert check_then_run(engine, shop()).actions == [("connect", "connection", "api to shop_db")]
    assert daemon.running() == running
    assert daemon.reaches("shop_api", "database")


def test_a_lost_alias_is_seen_and_mended(engine: Engine) -> None:
    engine.deploy(shop())
    daemon = engine.daemon
    daemon.request("POST", "/networks/shop_db/disconnect", {"Container": "shop_db", "Force": True})
    daemon.request("POST", "/networks/shop_db/connect", {"Container": "shop_db"})
    assert not daemon.reaches("shop_api", "database")
    assert check_then_run(engine, shop()).actions == [("reconnect", "connection", "db to shop_db")]
    assert daemon.reaches("shop_api", "database")


def test_a_stopped_member_is_started(engine: Engine) -> None:
    engine.deploy(shop())
    engine.daemon.request("POST", "/containers/shop_api/stop?t=0")
    assert check_then_run(engine, shop()).actions == [("start", "container", "api")]


def test_options_that_are_dropped_are_reverted(engine: Engine) -> None:
    full = {
        "environment": {"SECRET": "x"},
        "labels": {"colour": "blue"},
        "memory": "64MiB",
        "memory_swap": "256MiB",
        "shm_size": "32MiB",
        "log": {"driver": "json-file", "options": {"max-size": "1m"}},
        "user": "1000",
        "working_dir": "/tmp/",
        "read_only": True,
        "tmpfs": ["/run"],
        "cap_add": ["net_admin"],
        "ulimits": {"nofile": 1024},
        "init": False,
        "hostname": "host-of-one",
        "extra_hosts": {"gate": "10.0.0.1"},
        "dns": ["10.0.0.2"],
        "group_add": ["1001"],
        "stop_grace_period": "3s",
        "pids_limit": 100,
        "cpu_shares": 512,
        "sysctls": {"net.ipv4.ip_unprivileged_port_start": 1},
        "healthcheck": {"test": "true", "interval": "200ms", "retries": 2},
        "restart": "on-failure:3",
        "ports": ["127.0.0.1:9000-9001:90-91/udp", "80"],
        "security_opt": ["seccomp=unconfined"],
        "oom_score_adj": 10,
        "ipc_mode": "none",
        "pid_mode": "host",
        "userns_mode": "host",
        "dns_opt": ["ndots:2"],
        "cgroupns_mode": "private",
        "runtime": "runc",
        "device_cgroup_rules": ["c 1:3 mr"],
    }
    check_then_run(engine, {"one": {"image": "box:1", **full}})
    reverted = check_then_run(engine, {"one": {"image": "box:1"}})
    differing = set(reverted.result["changes"][0]["after"])
    assert differing == {"capabilities" if name == "cap_add" else name for name in full}


def test_volumes_that_the_image_declares_outlive_the_container(engine: Engine) -> None:
    check_then_run(engine, {"db": {"image": "store:1"}})
    engine.daemon.execute("shop_db", "touch", "/data/kept")
    check_then_run(engine, {"db": {"image": "store:1", "environment": {"A": "b"}}})
    assert engine.daemon.execute("shop_db", "ls", "/data")[1].strip() == "kept"


def test_a_moved_tag_is_a_change(engine: Engine) -> None:
    engine.daemon.request("POST", "/images/box:1/tag?repo=moving&tag=latest")
    check_then_run(engine, {"one": {"image": "moving"}})
    engine.daemon.request("POST", "/images/box:2/tag?repo=moving&tag=latest")
    assert check_then_run(engine, {"one": {"image": "moving"}}).actions == [("replace", "container", "one")]
    assert engine.daemon.execute("shop_one", "env")[1].count("LEVEL=2") == 1


def test_containers_run_without_the_rights_they_do_not_need(engine: Engine) -> None:
    engine.deploy(shop())
    status = engine.daemon.execute("shop_web", "cat", "/proc/1/status")[1]
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert lines["NoNewPrivs"].strip() == "1"
    # CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, KILL 5, SETGID 6, SETUID 7, NET_BIND_SERVICE 10
    assert int(lines["CapEff"], 16) == sum(1 << bit for bit in (0, 1, 3, 5, 6, 7, 10))


def test_recreate_never_refuses_and_always_replaces(engine: Engine) -> None:
    engine.deploy(shop())
    with pytest.raises(HardshellError, match="web would have to be replaced"):
        engine.deploy(shop(web={"environment": {"A": "1"}}), recreate="never")
    always = engine.deploy(shop(), recreate="always")
    assert set(always.actions) == {("replace", "container", name) for name in SHOP}


def test_a_limit_that_the_kernel_cannot_keep_is_refused_before_anything_stops(engine: Engine) -> None:
    engine.deploy(shop())
    running = engine.daemon.running()
    limited = shop(web={"blkio": {"weight": 300, "device_write_bps": {"/dev/no-such-disk": "1MiB"}}})
    with pytest.raises(HardshellError, match=r"containers\.web\.blkio|no-such-disk"):
        engine.deploy(limited)
    assert engine.daemon.running() == running


def test_what_is_the_vms_own_is_warned_of_and_found(engine: Engine) -> None:
    definition = {"one": {"image": "box:1", "uts_mode": "host", "ports": ["6379:6379"], "cap_add": ["SYS_ADMIN"]}}
    announced = engine.deploy(definition, check=True)
    assert announced.warnings == [
        "containers.one.uts_mode: it is the VM's own, so the container is not kept apart from its VM"
    ]
    assert [each["id"] for each in announced.result["findings"]] == ["owning-capability", "open-store", "host-uts"]
    assert engine.deploy(definition).result["findings"] == announced.result["findings"]
    told = Task(container_set_info.DEFINITION, {"docker_host": engine.host}, False)
    assert told.result["findings"] == announced.result["findings"]


def test_a_run_says_what_becomes_ready_and_when(engine: Engine) -> None:
    made = engine.deploy(shop())
    ready = [line.split(" is ready after ")[0] for line in made.said if " is ready after " in line]
    assert ready.index("db") < ready.index("api") < ready.index("web")
    assert all(member["seconds"] > 0 for member in made.members.values())


def test_info_tells_what_running_members_use(engine: Engine) -> None:
    engine.deploy({"one": {"image": "box:1"}, "once": {"image": "box:1", "one_shot": True, "command": "true"}})
    members = engine.info(usage=True)[0]["members"]
    used = members["one"]["usage"]
    assert used["memory"] > 0
    assert used["cpu_seconds"] > 0
    assert used["pids"] == 1
    assert members["once"]["usage"] == {}
    assert "usage" not in engine.info()[0]["members"]["one"]


def test_info_tells_every_set(engine: Engine) -> None:
    engine.deploy(shop())
    engine.deploy({"one": {"image": "box:1"}}, name="other")
    found = engine.info()
    assert [item["name"] for item in found] == ["other", "shop"]
    assert found[1]["members"]["api"]["links"] == ["db:database"]
    assert found[1]["members"]["db"]["health"] == "healthy"
    assert found[1]["leftovers"] == []
    assert engine.info(name="shop") == found[1:]
    assert engine.info(tenant="globex") == []


def test_an_address_of_ones_own_is_kept_and_compared(engine: Engine) -> None:
    definition = {
        "one": {"image": "box:1", "mac_address": "02-42-AC-11-00-07", "links": ["two"]},
        "two": {"image": "box:1"},
    }
    engine.deploy(definition)
    attached = engine.daemon.inspect("shop_one")["NetworkSettings"]["Networks"]
    assert attached["shop_one"]["MacAddress"] == "02:42:ac:11:00:07" != attached["shop_two"]["MacAddress"]
    assert not engine.deploy(definition).changed
    # Connecting it anew would lose the address.
    engine.daemon.request("POST", "/networks/shop_one/disconnect", {"Container": "shop_one"})
    assert engine.deploy(definition).actions == [("replace", "container", "one")]
    attached = engine.daemon.inspect("shop_one")["NetworkSettings"]["Networks"]
    assert attached["shop_one"]["MacAddress"] == "02:42:ac:11:00:07"


def test_what_newer_engines_know_is_kept_and_compared(engine: Engine) -> None:
    api = tuple(map(int, engine.daemon.request("GET", "/version")["ApiVersion"].split(".")))
    quick = {"test": ["CMD", "true"], "interval": "1m", "start_period": "1m", "start_interval": "200ms"}
    definition: dict[str, t.Any] = {"one": {"image": "box:1", "annotations": {"org.example.colour": "blue"}}}
    if api < (1, 43):
        with pytest.raises(HardshellError, match=r"annotations: the engine speaks API 1\.4"):
            engine.deploy(definition)
        return
    if api < (1, 44):
        pytest.skip("Docker Engine 24 knows annotations and no start_interval")
    definition["one"]["healthcheck"] = quick
    made = check_then_run(engine, definition)
    assert made.warnings == []
    # Without start_interval it would be a minute.
    assert made.members["one"]["health"] == "healthy"
    assert engine.daemon.inspect("shop_one")["HostConfig"]["Annotations"] == {"org.example.colour": "blue"}
    changed = check_then_run(engine, {"one": {"image": "box:1", "healthcheck": quick}})
    assert changed.result["changes"][0]["after"] == {"annotations": {}}
