# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused before the engine is spoken to, and in which words."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import options
from ansible_collections.hardshell.xen.plugins.module_utils._engine.links import find_cycle, start_order
from ansible_collections.hardshell.xen.plugins.module_utils._engine.ports import Port, parse_ports
from ansible_collections.hardshell.xen.plugins.module_utils._engine.quantities import parse_duration, parse_size
from ansible_collections.hardshell.xen.plugins.module_utils._engine.references import Images, parse_reference
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from hypothesis import given
from hypothesis import strategies as st

from .model import spec_of, wanted_of

BOX = {"image": "box:1"}


@pytest.mark.parametrize(
    ("containers", "path", "hint"),
    [
        ({"web": {**BOX, "links": ["dv"]}, "db": BOX}, "containers.web.links[0]", "did you mean 'db'?"),
        ({"web": {**BOX, "links": ["web"]}}, "containers.web.links[0]", "reaches itself as localhost"),
        (
            {"a": {**BOX, "links": ["b:x", "c:x"]}, "b": BOX, "c": BOX},
            "containers.a.links[1]",
            "'b' is already reached as 'x'",
        ),
        ({"a": {**BOX, "links": ["b", "c:b"]}, "b": BOX, "c": BOX}, "containers.a.links[1]", "'b'"),
        ({"web": {**BOX, "memory": "2 Gigs"}}, "containers.web.memory", "512MiB"),
        ({"web": {**BOX, "memroy": "2g"}}, "containers.web.memroy", "did you mean 'memory'?"),
        ({"web": {"image": "Redis:7"}}, "containers.web.image", "redis:7"),
        ({"web": {}}, "containers.web.image", "needs an image"),
        ({"web": {**BOX, "ports": ["99999:80"]}}, "containers.web.ports[0]", "1 to 65535"),
        ({"web": {**BOX, "ports": [1342]}}, "containers.web.ports[0]", "reads 22:22 as the number 1342"),
        ({"web": {**BOX, "ports": ["8000-8002:80-81"]}}, "containers.web.ports[0]", "do not fit"),
        (
            {"a": {**BOX, "ports": ["80:80"]}, "b": {**BOX, "ports": ["127.0.0.1:80:81"]}},
            "containers.b.ports",
            "'a' publishes",
        ),
        ({"web": {**BOX, "environment": {"DEBUG": True}}}, "containers.web.environment.DEBUG", "quote true"),
        ({"web": {**BOX, "environment": {"V": "x" * 131070}}}, "containers.web.environment.V", "one of files"),
        ({"web": {**BOX, "volumes": ["/var/run/docker.sock:/s"]}}, "containers.web.volumes[0]", "owns the VM"),
        *(
            (
                {"web": {**BOX, "volumes": [f"{folder}:/host:ro"]}},
                "containers.web.volumes[0]",
                f"socket is below {folder}, and",
            )
            for folder in ("/", "/run", "/var", "/var/run", "/run/containerd", "/run/user/1000", "/run/podman")
        ),
        ({"web": {**BOX, "dns": ["resolver"]}}, "containers.web.dns[0]", "write an IPv4 address"),
        ({"web": {**BOX, "volumes": ["a:/x", "b:/x"]}}, "containers.web.volumes", "two volumes"),
        ({"web": {**BOX, "restart": "sometimes"}}, "containers.web.restart", "unless-stopped"),
        ({"web": {**BOX, "healthcheck": {"tets": "x"}}}, "containers.web.healthcheck.tets", "did you mean 'test'?"),
        ({"web": {**BOX, "cap_add": ["KILL"], "cap_drop": ["KILL"]}}, "containers.web.cap_add", "cap_drop too"),
        ({"web": {**BOX, "one_shot": True, "restart": "always"}}, "containers.web.restart", "on-failure:3"),
        ({"Web": BOX}, "containers", "lower-case"),
        ({}, "containers", "at least one"),
    ],
)
def test_bad_input_is_refused_by_name(containers: dict[str, t.Any], path: str, hint: str) -> None:
    with pytest.raises(HardshellError) as refusal:
        spec_of(containers)
    assert refusal.value.message.startswith(path + ":")
    assert hint in refusal.value.message


def test_a_circle_of_links_is_shown() -> None:
    with pytest.raises(HardshellError, match="a -> b -> c -> a"):
        spec_of({"a": {**BOX, "links": ["b"]}, "b": {**BOX, "links": ["c"]}, "c": {**BOX, "links": ["a"]}})


def test_a_secret_is_not_in_the_refusal() -> None:
    with pytest.raises(HardshellError) as refusal:
        spec_of({"web": {**BOX, "environment": {"TOKEN": ["s3cret"]}}})
    assert "s3cret" not in refusal.value.message


graphs = st.dictionaries(st.sampled_from("abcde"), st.lists(st.sampled_from("abcde"), unique=True))


@given(graphs)
def test_a_graph_has_a_circle_or_an_order(graph: dict[str, list[str]]) -> None:
    cycle = find_cycle(graph)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert all(after in graph[before] for before, after in zip(cycle, cycle[1:], strict=False))
    else:
        order = start_order(graph)
        assert sorted(order) == sorted(graph)
        assert all(order.index(p) < order.index(name) for name in graph for p in graph[name] if p in graph)


@given(st.integers(0, 2**40), st.sampled_from(["", "k", "MiB", "g", "KB", "TiB"]))
def test_sizes_are_binary(number: int, unit: str) -> None:
    assert parse_size("x", f"{number}{unit}") == number * 1024 ** " kmgt".index((unit or " ")[0].lower())


@pytest.mark.parametrize("value", ["", "-1", "2 Gigs", "1.5.1g", None, True, "g"])
def test_what_is_no_size_is_refused(value: t.Any) -> None:
    with pytest.raises(HardshellError):
        parse_size("x", value)


def test_durations() -> None:
    assert [parse_duration("x", text) for text in ("500ms", "2s", "1m30s", 3, "0.5")] == [
        5 * 10**8,
        2 * 10**9,
        9 * 10**10,
        3 * 10**9,
        5 * 10**8,
    ]


def test_ports() -> None:
    assert parse_ports("x", "127.0.0.1:53:54/udp") == (Port(54, "udp", 53, "127.0.0.1"),)
    assert parse_ports("x", 80) == (Port(80, "tcp", 0),)
    assert [port.host for port in parse_ports("x", "8000-8002:80-82")] == [8000, 8001, 8002]
    assert parse_ports("x", "[::1]:80:80")[0].address == "::1"
    assert parse_ports("x", "0.0.0.0:80:80") == parse_ports("x", "80:80")


def test_references_are_compared_whole() -> None:
    assert parse_reference("x", "redis") == parse_reference("x", "docker.io/library/redis:latest")
    assert parse_reference("x", "team/app:1") == parse_reference("x", "index.docker.io/team/app:1")
    assert str(parse_reference("x", "registry:5000/app")) == "registry:5000/app:latest"
    assert parse_reference("x", "localhost/app").name == "localhost/app"
    images = Images([{"Id": "sha256:" + "1" * 64, "RepoTags": ["redis:7", "<none>:<none>"], "RepoDigests": None}])
    assert images.id_of(parse_reference("x", "docker.io/library/redis:7")) == "sha256:" + "1" * 64
    assert images.id_of(parse_reference("x", "redis:8")) is None


def test_truth_values_of_labels_are_written_as_yaml_writes_them() -> None:
    asked = spec_of(
        {
            "web": {
                **BOX,
                "labels": {"on": True, "n": 1, "e": None},
                "log": {"driver": "local", "options": {"compress": False}},
            }
        }
    )
    assert asked.members["web"].asked["labels"] == {"on": "true", "n": "1", "e": ""}
    assert asked.members["web"].asked["log"]["options"] == {"compress": "false"}


def test_a_container_gets_no_new_privileges_unless_that_is_asked_for() -> None:
    def security(**asked: t.Any) -> list[str]:
        wanted = wanted_of(spec_of({"web": {**BOX, **asked}}))["web"]
        return list(options.create_body(wanted.values)["HostConfig"]["SecurityOpt"])

    assert security() == ["no-new-privileges"]
    assert security(no_new_privileges=False) == []
    assert security(security_opt=["apparmor=x"]) == ["apparmor=x", "no-new-privileges"]
    assert security(security_opt=["apparmor=x"], no_new_privileges=False) == ["apparmor=x"]
