"""Who reaches whom: a Compose file's networks and dependencies as links and networks of a set."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import parse_task
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError

from ..model import parameters
from .conftest import Controller

TIERS = """
services:
  web: {image: w, networks: [front], depends_on: [api]}
  api: {image: a, networks: {front: , back: {aliases: [backend]}}, depends_on: [db]}
  db: {image: d, networks: [back]}
networks: {front: , back: }
"""


def test_without_networks_all_services_share_one(controller: Controller) -> None:
    found = controller.compose("services: {web: {image: w, depends_on: [db]}, db: {image: d}}")
    assert found.network == "flat"
    assert found.containers["web"]["links"] == ["db"]
    assert all("networks" not in container for container in found.containers.values())


def test_one_common_network_of_any_name_is_flat(controller: Controller) -> None:
    text = "services: {a: {image: w, networks: [n]}, b: {image: d, networks: [n]}}\nnetworks: {n: , unused: }"
    assert controller.compose(text).network == "flat"


def test_several_networks_are_kept(controller: Controller) -> None:
    found = controller.compose(TIERS)
    assert found.network == "declared"
    assert {name: container["networks"] for name, container in found.containers.items()} == {
        "web": {"front": []},
        "api": {"front": [], "back": ["backend"]},
        "db": {"back": []},
    }


def test_a_service_apart_from_the_default_network(controller: Controller) -> None:
    found = controller.compose("services: {a: {image: w, networks: [n]}, b: {image: d}}\nnetworks: {n: }")
    assert found.network == "declared"
    assert found.containers["b"]["networks"] == {"default": []}


def test_aliases_need_networks_of_the_files_own(controller: Controller) -> None:
    found = controller.compose("services: {a: {image: w, networks: {default: {aliases: [x]}}}}")
    assert (found.network, found.containers["a"]["networks"]) == ("declared", {"default": ["x"]})


def test_what_is_kept_apart_is_not_put_together(controller: Controller) -> None:
    with pytest.raises(OptionError, match="^network: 'flat' cannot be used; the Compose file keeps services apart"):
        controller.compose(TIERS, network="flat")


def test_per_link_leaves_the_dependencies_as_all_that_is_reached(controller: Controller) -> None:
    found = controller.compose(TIERS.replace(" {aliases: [backend]}", ""), network="per-link")
    assert found.network == "per-link"
    assert [container.get("links") for container in found.containers.values()] == [["api"], ["db"], None]
    with pytest.raises(OptionError, match=r"^services\.api\.networks\.back\.aliases: .*write links with an alias"):
        controller.compose(TIERS, network="per-link")


def test_an_alias_is_a_name(controller: Controller) -> None:
    text = "services: {a: {image: w, networks: {default: {aliases: [%s]}}}}"
    with pytest.raises(OptionError, match=r"^services\.a\.networks\.default\.aliases\[0\]: 'a/b'"):
        controller.compose(text % "a/b")
    assert controller.compose(text % "Xmpp.Meet").containers["a"]["networks"] == {"default": ["xmpp.meet"]}


def test_a_service_with_a_name_that_no_member_has_is_found_under_it_all_the_same(controller: Controller) -> None:
    found = controller.compose(
        """
        services:
          frontEnd: {image: w, depends_on: [db.main], links: [db.main, "db.main:DB"], network_mode: bridge}
          db.main: {image: d, network_mode: bridge}
          probe: {image: p, network_mode: "container:The_Front", ipc: "service:frontEnd"}
          other: {image: o, depends_on: {off.line: {condition: service_started, required: false}}}
          off.line: {image: x, profiles: [never]}
        """.replace("{image: w,", "{image: w, container_name: The_Front, ipc: shareable,")
    )
    assert found.containers["frontend"]["links"] == ["db-main", "db-main:db.main", "db-main:db"]
    assert found.containers["frontend"]["networks"] == {"bridge": ["the_front"]}
    assert found.containers["db-main"]["networks"] == {"bridge": ["db.main"]}
    assert found.containers["probe"]["network_mode"] == found.containers["probe"]["ipc_mode"] == "service:frontend"
    assert "links" not in found.containers["other"]
    assert found.warnings[:2] == (
        "services.frontEnd: the member is called frontend",
        "services.db.main: the member is called db-main",
    )


def test_the_vms_own_network_publishes_nothing_and_gives_a_warning() -> None:
    document = {"services": {"a": {"image": "w", "network_mode": "host", "ports": ["80:80"]}}}
    spec = parse_task({**parameters(None, network=None), "compose": document})
    assert [warning.partition(":")[0] for warning in spec.warnings] == [
        "containers.a.network_mode",
        "services.a.ports",
    ]


def test_services_that_depend_on_each_other_are_refused_with_the_circle(controller: Controller) -> None:
    text = "services: {a: {image: i, depends_on: [b]}, b: {image: i, links: ['c:x']}, c: {image: i, depends_on: [a]}}"
    with pytest.raises(HardshellError, match="they depend on each other, a -> b -> c -> a"):
        controller.compose(text)


MAC = "02:42:ac:11:00:07"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("mac_address: '02:42:ac:11:00:07'", {"mac_address": MAC}),
        ("networks: {a: {mac_address: '02:42:ac:11:00:07'}}", {"mac_address": MAC}),
        (
            "mac_address: '02:42:ac:11:00:07', networks: {a: {priority: 1}, b: {priority: 2}}",
            {"networks": {"a": [], "b": {"aliases": [], "mac_address": MAC}}},
        ),
        (
            "networks: {a: {mac_address: '02:42:ac:11:00:07', aliases: [x]}, b: {}}",
            {"networks": {"a": {"aliases": ["x"], "mac_address": MAC}, "b": []}},
        ),
    ],
)
def test_an_address_goes_to_its_network(controller: Controller, service: str, expected: dict[str, t.Any]) -> None:
    found = controller.compose(f"services: {{web: {{image: i, {service}}}}}\nnetworks: {{a: {{}}, b: {{}}}}")
    assert found.containers["web"] == {"image": "i", "restart": "no", **expected}


def test_two_addresses_are_refused(controller: Controller) -> None:
    two = "{a: {mac_address: '02:00:00:00:00:01'}, b: {mac_address: '02:00:00:00:00:02'}}"
    with pytest.raises(OptionError, match=r"^services\.web\.networks\.b\.mac_address: .*keeps one address"):
        controller.compose(f"services: {{web: {{image: i, networks: {two}}}}}\nnetworks: {{a: {{}}, b: {{}}}}")


def test_the_task_says_over_the_file_when_images_are_pulled() -> None:
    document = {"services": {"a": {"image": "box:1", "pull_policy": "always"}, "b": {"image": "box:2"}}}
    for pull, policies in ((None, ["always", ""]), ("never", ["", ""])):
        spec = parse_task({**parameters(None, network=None, pull=pull), "compose": document})
        assert [member.pull for member in spec.members.values()] == policies
        assert spec.pull == (pull or "missing")


ONE_SHOT = "{condition: service_completed_successfully}"


def test_a_service_that_another_waits_to_end_is_a_one_shot(controller: Controller) -> None:
    found = controller.compose(
        f"services: {{web: {{image: w, depends_on: {{init: {ONE_SHOT}}}}}, other: {{image: w, depends_on: [init]}}, init: {{image: d}}}}"
    )
    assert {name: container.get("one_shot") for name, container in found.containers.items()} == {
        "web": None,
        "other": None,
        "init": True,
    }


@pytest.mark.parametrize(
    ("services", "option"),
    [
        (
            f"{{a: {{image: w, depends_on: {{i: {ONE_SHOT}}}}}, b: {{image: w, depends_on: {{i: {{condition: service_healthy}}}}}}, i: {{image: d}}}}",
            "services.b.depends_on.i.condition",
        ),
        (f"{{a: {{image: w, depends_on: {{i: {ONE_SHOT}}}}}, i: {{image: d, restart: always}}}}", "services.i.restart"),
    ],
)
def test_a_service_cannot_end_and_go_on(controller: Controller, services: str, option: str) -> None:
    with pytest.raises(OptionError) as refusal:
        controller.compose(f"services: {services}")
    assert refusal.value.option == option


def test_a_container_name_is_an_alias_and_a_warning(controller: Controller) -> None:
    text = "services: {es: {image: e, container_name: my_search}, web: {image: w}}"
    found = controller.compose(text)
    assert (found.network, found.containers["es"]["networks"]) == ("declared", {"default": ["my_search"]})
    assert found.warnings == (
        "services.es.container_name: the engine calls the container shop_es; it is reached as my_search by the other services",
    )
    apart = controller.compose(text, network="per-link")
    assert "networks" not in apart.containers["es"]
    assert "not reached as my_search" in apart.warnings[0]


def test_a_container_without_a_network_of_its_own_is_not_reached_by_its_name(controller: Controller) -> None:
    text = "services: {vpn: {image: v}, web: {image: w, container_name: my_web, network_mode: 'service:vpn'}}"
    (warning,) = controller.compose(text).warnings
    assert warning.endswith("it is not reached as my_web by the other services")


def test_a_container_name_that_nobody_could_reach_is_refused(controller: Controller) -> None:
    with pytest.raises(OptionError, match=r"^services.es.container_name: 'My Search' cannot be used"):
        controller.compose("services: {es: {image: e, container_name: My Search}}")


def test_names_of_services_may_have_underscores(controller: Controller) -> None:
    found = controller.compose("services: {my_app: {image: a, depends_on: [my_db]}, my_db: {image: d}}")
    assert found.containers["my_app"]["links"] == ["my_db"]
    with pytest.raises(OptionError, match="^services._app: '_app' cannot be used"):
        controller.compose("services: {_app: {image: a}}")


@pytest.mark.parametrize(
    ("service", "option"),
    [
        ({"network_mode": "service:gone"}, "network_mode"),
        ({"network_mode": "service:db", "ports": ["80:80"]}, "ports"),
        ({"ipc": "service:db"}, "ipc"),
        ({"pid": "service:web"}, "pid"),
    ],
)
def test_a_namespace_that_cannot_be_shared_is_refused_by_its_key(service: dict[str, t.Any], option: str) -> None:
    document = {"services": {"web": {"image": "box:1", **service}, "db": {"image": "box:1"}}}
    with pytest.raises(HardshellError, match=rf"^services\.web\.{option}: "):
        parse_task({**parameters(None, network=None, pull=None), "compose": document})


def test_a_service_in_the_network_of_another_leaves_the_file_flat(controller: Controller) -> None:
    found = controller.compose(
        "services: {vpn: {image: v}, app: {image: a, network_mode: 'service:vpn', ipc: shareable}}"
    )
    assert found.network == "flat"
    assert found.containers["app"] == {
        "image": "a",
        "restart": "no",
        "network_mode": "service:vpn",
        "ipc_mode": "shareable",
    }
