"""Every key of the Compose Specification, one by one: it works as the table says, or is refused by its name.

``specification_keys.txt`` lists the keys of the specification's schema.
"""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.compose_set import (
    ComposeSource,
    compose_set,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.keys import (
    KEYS,
    Refused,
    Supported,
    Told,
    WithoutEffect,
    answer,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.spec import parse
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError

from .conformance_cases import DOCUMENTS, GRANTED, IDLE, NETWORKS, PLAIN, SERVICES, TOLD

SPECIFICATION = pathlib.Path(__file__).with_name("specification_keys.txt").read_text(encoding="utf-8").split()
FILES = {
    "/p/one.env": "A=1\n",
    "/p/key.txt": "text of key",
    "/p/one.labels": "a.b=c\n",
    "/p/seccomp.json": '{"defaultAction": "SCMP_ACT_ALLOW"}',
    "/p/other.yaml": "services: {app: {image: other}, second: {image: second}}\n",
    "/p/second/compose.yaml": "services: {second: {image: 'second:${TAG:-0}', env_file: two.env}}\n",
    "/p/second/tag.env": "TAG=7\n",
    "/p/second/two.env": "TWO=2\n",
    "/q/two.env": "TWO=q\n",
}


def containers(tree: dict[str, t.Any], **source: t.Any) -> dict[str, t.Any]:
    files = {**FILES, "/p/compose.yaml": yaml.safe_dump(tree)}
    found = compose_set("shop", ComposeSource(files=("/p/compose.yaml",), **source), files.get)
    parse(
        {"name": "shop", "tenant": "acme", "state": "present", "wait_timeout": 9, "remove_volumes": False, "images": []}
        | {"pull": "missing", "network": "flat", "recreate": "when_changed", "remove_orphans": True}
        | {"fate": "independent", "fate_reaction": None}
        | {
            "containers": {
                name: {k: v for k, v in own.items() if k != "networks"} for name, own in found.containers.items()
            }
        }
    )
    return found.containers


def web(service: dict[str, t.Any], **top: t.Any) -> dict[str, t.Any]:
    services = {"web": {"image": "redis:7", **service}, "db": {"image": "redis:7"}, "mq": {"image": "redis:7"}}
    return containers({"services": services, "volumes": {"data": None}, **GRANTED, **top})["web"]


SERVICE_CASES = [(f"services.*.{key}", *case) for key, cases in SERVICES.items() for case in cases]
REFUSED = {key: answer for key, answer in KEYS.items() if isinstance(answer, Refused)}


@pytest.mark.parametrize("key", SPECIFICATION)
def test_the_table_answers_every_key_of_the_specification(key: str) -> None:
    assert answer(key) is not None


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_table_holds_keys_of_the_specification_only(key: str) -> None:
    assert key in SPECIFICATION


def test_no_key_is_without_a_case() -> None:
    supported = {key for key, answer in KEYS.items() if isinstance(answer, Supported)}
    assert {key for key, *_case in SERVICE_CASES} | DOCUMENTS.keys() == supported
    assert IDLE.keys() == {key for key, answer in KEYS.items() if isinstance(answer, WithoutEffect)}
    assert TOLD.keys() == {key for key, answer in KEYS.items() if isinstance(answer, Told)}


@pytest.mark.parametrize("path", sorted(TOLD))
def test_a_key_without_effect_on_one_engine_is_told(path: str) -> None:
    tree = {"services": {"web": {"image": "redis:7", "deploy": TOLD[path]}}}
    found = compose_set(
        "shop", ComposeSource(files=("/p/compose.yaml",)), {"/p/compose.yaml": yaml.safe_dump(tree)}.get
    )
    assert found.containers == {"web": PLAIN}
    (warning,) = found.warnings
    assert warning.startswith(f"{path.replace('*', 'web')} has no effect: ")


@pytest.mark.parametrize(("key", "service", "expected"), SERVICE_CASES)
def test_a_supported_key_of_a_service(key: str, service: dict[str, t.Any], expected: dict[str, t.Any]) -> None:
    assert web(service) == {**PLAIN, **expected}


@pytest.mark.parametrize("key", sorted(DOCUMENTS))
def test_a_supported_key_of_the_file(key: str) -> None:
    tree, expected = DOCUMENTS[key]
    assert containers(tree, environment={"KEY": "text of key", "WORD": "key"}) == expected


@pytest.mark.parametrize("key", sorted(NETWORKS))
def test_what_a_file_says_of_a_network_is_said_of_the_sets(key: str) -> None:
    tree = {
        "services": {"a": {"image": "b", "networks": ["n"]}},
        "networks": {"n": NETWORKS[key], "unused": {"internal": True}},
    }
    found = compose_set("shop", ComposeSource(files=("/p/c.yaml",)), {"/p/c.yaml": yaml.safe_dump(tree)}.get)
    assert found.network == "declared"
    flattened = {
        **NETWORKS[key],
        **({"ipam_config": NETWORKS[key]["ipam"]["config"]} if "ipam" in NETWORKS[key] else {}),
    }
    assert found.networks == {"n": {name: value for name, value in flattened.items() if name != "ipam"}}


def _without(tree: t.Any, key: str) -> t.Any:
    if isinstance(tree, dict):
        return {name: _without(value, key) for name, value in tree.items() if name != key}
    return [_without(item, key) for item in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("path", sorted(IDLE))
def test_a_key_without_effect(path: str) -> None:
    key = path.rpartition(".")[2]
    with_it = IDLE[path]
    without_it = _without(with_it, key)
    assert with_it != without_it
    if path.startswith("services."):
        assert web(with_it) == web(without_it)
    else:
        assert web({}, **with_it) == web({}, **without_it)


def _document(path: str, value: t.Any) -> dict[str, t.Any]:
    """A document that says ``value`` at the path of the table."""
    tree: t.Any = value
    for part in reversed(path.split(".")):
        name, listed, _rest = part.partition("[]")
        tree = {"one" if name == "*" else name: [tree] if listed else tree}
    tree.setdefault("services", {"one": {}})["one"]["image"] = "redis:7"
    return tree


@pytest.mark.parametrize("path", sorted(REFUSED))
def test_a_refused_key(path: str) -> None:
    key = path.rpartition(".")[2]
    lists = ("secrets", "configs", "link_local_ips", "annotations", "labels")
    with pytest.raises(OptionError) as failed:
        containers(_document(path, ["x"] if key in lists else "x"))
    assert failed.value.option == path.replace("*", "one").replace("[]", "[0]")
    assert failed.value.message == f"{failed.value.option}: {key!r} cannot be used; {REFUSED[path].instead}"


@pytest.mark.parametrize("path", sorted(path for path, answer in REFUSED.items() if answer.unless))
def test_a_refused_key_may_say_what_is_done_anyway(path: str) -> None:
    for value in REFUSED[path].unless:
        tree = _document(path, value)
        service = tree["services"]["one"]
        service.setdefault("depends_on", {}).setdefault("one", {})
        service["depends_on"] = {"db": service["depends_on"]["one"]}
        tree["services"]["db"] = {"image": "redis:7"}
        tree.setdefault("networks", {}).setdefault("one", None)
        for mount in service.get("volumes", []):
            mount.update(type="bind", source="/a", target="/b")
        plain = {"image": "redis:7", "restart": "no", "links": ["db"]}
        if "networks" in service:
            plain["networks"] = {"one": []}
        if "volumes" in service:
            plain["volumes"] = ["/a:/b"]
        assert containers(tree)["one"] == plain


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ({"entrypoint": 3}, "entrypoint: 3"),
        ({"depends_on": {"db": {"condition": "service_done"}}}, r"depends_on\.db\.condition: "),
        ({"scale": 0}, "scale: 0"),
        ({"scale": 2, "deploy": {"replicas": 3}}, r"deploy\.replicas: 3 .*scale says another"),
        ({"ipc": "container:abc"}, "ipc: 'container:abc'"),
        ({"blkio_config": {"device_read_bps": [{"path": "/dev/sda"}]}}, r"blkio_config\.device_read_bps\[0\]\.rate: "),
        ({"depends_on": ["mqq"]}, r"depends_on\.mqq: .*did you mean 'mq'"),
        ({"depends_on": ["web"]}, r"depends_on\.web: .*does not depend on itself"),
        ({"links": ["dbx:y"]}, r"links\[0\]: .*did you mean 'db'"),
        ({"ports": ["8000-9000:80"]}, r"ports\[0\]: .*say one host port"),
        ({"ports": ["127.0.0.1::80"]}, r"ports\[0\]: .*say the host port too"),
        ({"ports": [{"published": 80}]}, r"ports\[0\]: .*say the container's port"),
        ({"ports": ["99999"]}, r"ports\[0\]: "),
        ({"ports": [{"target": 80, "publish": 80}]}, r"ports\[0\]\.publish: .*did you mean 'published'"),
        ({"volumes": ["~/html:/html"]}, r"volumes\[0\]: '~/html' .*an absolute path of the VM"),
        ({"volumes": ["unknown:/x"]}, r"volumes\[0\]: 'unknown' .*declare it under volumes"),
        ({"volumes": ["data:/x:what"]}, r"volumes\[0\]: .*'what' is no mode"),
        ({"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]}, r"volumes\[0\]: .*owns the VM"),
        ({"volumes": ["/run:/host/run:ro"]}, r"volumes\[0\]: .*owns the VM.*compose_engine_socket"),
        ({"volumes": [{"type": "npipe", "source": "x", "target": "/x"}]}, r"volumes\[0\]\.type: 'npipe'"),
        ({"volumes": [{"type": "bind", "source": "data", "target": "/x"}]}, r"volumes\[0\]\.source: .*absolute path"),
        ({"volumes": [{"type": "tmpfs", "target": "x"}]}, r"volumes\[0\]\.target: 'x'"),
        ({"blkio_config": {"device_read_bps": [None]}}, r"blkio_config\.device_read_bps\[0\]: .*path and rate"),
        ({"gpus": [{"count": 0}]}, r"gpus\[0\]\.count: 0"),
        ({"gpus": "some"}, "gpus: 'str' .*write a list"),
        ({"gpus": [{"count": 1, "device_ids": ["0"]}]}, r"gpus\[0\]\.count: 1 .*keep one"),
        ({"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia"}]}}}}, r"deploy\.resources\.reservations\.devices\[0\]\.capabilities: "),
        ({"device_cgroup_rules": ["c 1:3"]}, r"device_cgroup_rules\[0\]: 'c 1:3'"),
        ({"networks": ["back"]}, r"networks\.back: .*no such network"),
        ({"mac_address": "01:00:5e:00:00:01"}, r"networks\.default\.mac_address: '01:00:5e"),
        ({"annotations": {"a": [1]}}, r"annotations\.a: "),
        ({"network_mode": "container:abc"}, r"network_mode: 'container:abc' .*none, host, service:NAME"),
        ({"network_mode": "service:db", "networks": {"default": None}}, r"networks: .*network_mode has no networks"),
        ({"network_mode": "none", "mac_address": "02:42:ac:11:00:07"}, r"mac_address: "),
        ({"pid": "container:abc"}, r"pid: 'container:abc'"),
        ({"pull_policy": "hourly"}, r"pull_policy: 'hourly'"),
        ({"pull_policy": ["always"]}, "pull_policy: "),
        ({"devices": [{"source": {}}]}, r"devices\[0\]: "),
        ({"restart": "sometimes"}, "restart: 'sometimes'"),
        ({"deploy": {"restart_policy": {"condition": "any", "max_attempts": 3}}}, r"deploy\.restart_policy\.max_attempts: 3"),
        ({"cpus": 1, "deploy": {"resources": {"limits": {"cpus": 2}}}}, r"deploy\.resources\.limits\.cpus: 2 .*cpus says 1"),
        ({"mem_limit": "2 Gigs"}, "mem_limit: '2 Gigs'"),
        ({"healthcheck": {"test": ["curl"]}}, r"healthcheck\.test: "),
        ({"extra_hosts": ["a=1.1.1.1", "a=2.2.2.2"]}, "extra_hosts: .*a is 1.1.1.1 already"),
        ({"labels": {"com.docker.compose.project": "x"}}, r"labels\.com\.docker\.compose\.project: "),
        ({"security_opt": ["seccomp=./none.json"]}, r"security_opt\[0\]: '/p/none.json' .*no such file"),
        ({"env_file": [{"path": "one.env", "format": "toml"}]}, r"env_file\[0\]\.format: 'toml'"),
        ({"environment": {"A": ["x"]}}, r"environment\.A: 'list'"),
        ({"secrets": ["x"]}, r"secrets\[0\]: 'x' .*define it under secrets"),
        ({"configs": ["c", {"source": "c", "target": "/c"}], "secrets": [{"source": "s", "target": "/c"}]}, r"configs\[0\]: '/c' .*another file"),
        ({"secrets": [{"source": "s", "mode": "rw"}]}, r"secrets\[0\]\.mode: 'rw'"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_refused_by_its_key(service: dict[str, t.Any], message: str) -> None:
    with pytest.raises(OptionError, match=rf"^services\.web\.{message}"):
        web(service)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({}, r"^secrets\.x: \[\] .*one of file, environment"),
        (None, r"^secrets\.x: \[\] .*one of file, environment"),
        ({"file": "key.txt", "environment": "KEY"}, r"^secrets\.x: \['environment', 'file'\]"),
        ({"file": "gone.txt"}, r"^secrets\.x\.file: '/p/gone.txt' .*no such file"),
        ({"environment": "GONE"}, r"^secrets\.x\.environment: 'GONE' .*not set"),
        ({"content": "x"}, r"^secrets\.x\.content: .*no such key"),
    ],
)
def test_a_secret_that_comes_from_nowhere_is_refused(definition: dict[str, t.Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        web({"secrets": ["x"]}, secrets={"x": definition})


def test_a_refusal_does_not_show_what_may_be_secret() -> None:
    with pytest.raises(OptionError) as failed:
        web({"environment": {"PASSWORD": ["hunter2"]}})
    assert "hunter2" not in failed.value.message
