# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``hardshell.xen.container_publish``: containers shown in the pool, changed and taken back, each in check mode and for real, each twice."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ElementTree

if t.TYPE_CHECKING:
    from conftest import Pool

SHOP = {"name": "shop", "tenant": "acme", "host": "acme-shop"}
# What a run with nothing to do asks a pool, beside the login.
READS = {"VM.get_all_records_where": 1}
LOGIN = {"session.login_with_password", "session.logout"}


def container(name: str, **changed: t.Any) -> dict[str, t.Any]:
    return {
        "Id": name.encode().hex().ljust(64, "0"),
        "Names": [f"/shop_{name}"],
        "Image": "box:1",
        "ImageID": "sha256:9b1d",
        "Command": "httpd --secret=s3cret",
        "Created": 1767225600,
        "State": "running",
        "Status": "Up 2 seconds",
        "Ports": [{"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}],
        "Labels": {"hardshell.set": "shop", "hardshell.member": name},
        "HostConfig": {"NetworkMode": f"shop_{name}", "Memory": 0, "NanoCpus": 0, "Privileged": False},
        **changed,
    }


def engine(*containers: dict[str, t.Any]) -> dict[str, t.Any]:
    return {
        "containers": list(containers),
        "info": {"ServerVersion": "28.5.1", "SystemTime": "2026-01-01T00:00:00Z"},
        "version": {"Version": "28.5.1", "ApiVersion": "1.51"},
    }


def names(pool: Pool) -> list[str | None]:
    written = pool.record("VM", "shop")["other_config"]["docker_ps"]
    return [entry.findtext("names") for entry in ElementTree.fromstring(written).iter("entry")]


def test_publish_change_and_take_back(pool: Pool, shop: dict[str, t.Any]) -> None:
    pool.ok("vm", **{**shop, "config_drive": None, "ssh_host_key": False})
    pool.call("VM.add_to_other_config", pool.ref("VM", "shop"), "somebody", "else's")
    before = pool.record("VM", "shop")["other_config"]
    made = pool.four_steps("container_publish", **SHOP, engine=engine(container("web"), container("api")))
    assert [each["name"] for each in made["published"]["containers"]] == ["shop_api", "shop_web"]
    assert names(pool) == ["shop_api", "shop_web"]
    kept = pool.record("VM", "shop")["other_config"]
    assert kept["xscontainer-monitor"] == "True"
    assert "s3cret" not in str(kept)
    assert {key: kept[key] for key in before} == before

    later = [container(name, Status="Up 3 hours") for name in ("web", "api")]
    assert not pool.ok("container_publish", **SHOP, engine=engine(*later))["changed"]
    assert {method: count for method, count in pool.calls().items() if method not in LOGIN} == READS

    replaced = container("web", Id="f" * 64, Image="box:2")
    changed = pool.four_steps("container_publish", **SHOP, engine=engine(replaced))
    (change,) = changed["changes"]
    assert (change["action"], change["name"], change["reason"]) == ("update", "docker_ps", "shop_web was made anew")
    assert {name: each["image"] for name, each in change["before"].items()} == {
        "shop_api": "box:1",
        "shop_web": "box:1",
    }
    assert change["after"]["shop_web"]["image"] == "box:2"

    pool.four_steps("container_publish", **SHOP, state="absent")
    assert pool.record("VM", "shop")["other_config"] == before


def test_only_at_vms_of_ours(controller_pool: Pool) -> None:
    pool = controller_pool
    there = {"engine": engine(container("web"))}
    assert "make it first" in pool.refused("container_publish", **SHOP, **there)
    assert not pool.ok("container_publish", **SHOP, state="absent")["changed"]
    pool.ok("vm", name="shop", tenant="globex", template="Debian Bookworm 12")
    assert "belongs to globex" in pool.refused("container_publish", **SHOP, **there)
    pool.call("VM.remove_from_other_config", pool.ref("VM", "shop"), "hardshell:vm")
    assert "adopt" in pool.refused("container_publish", **SHOP, **there)
    assert pool.ok("container_publish", **SHOP, **there, adopt=True)["changed"]
    assert names(pool) == ["shop_web"]


def test_what_check_mode_announced_is_not_published(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("vm", name="shop", tenant="acme", host="acme-shop", template="Debian Bookworm 12")
    announced = {"engine": engine(container("web", Id="", Created=0))}
    assert pool.ok("container_publish", check=True, **SHOP, **announced)["changed"]
    result = pool.run("container_publish", **SHOP, **announced)
    assert "engine.containers[0].Id" in result["msg"]
    assert pool.calls() == {}


def test_what_somebody_broke_is_put_right(controller_pool: Pool) -> None:
    pool = controller_pool
    pool.ok("vm", name="shop", tenant="acme", host="acme-shop", template="Debian Bookworm 12")
    pool.call("VM.add_to_other_config", pool.ref("VM", "shop"), "docker_ps", "<docker_ps><item>")
    change = pool.ok("container_publish", **SHOP, engine=engine(container("web")))["changes"][-2]
    assert "cannot be read" in change["reason"]
    assert names(pool) == ["shop_web"]
