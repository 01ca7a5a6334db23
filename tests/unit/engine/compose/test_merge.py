"""One Compose file over another. The cases of the specification's chapter Merge and of its section on extends."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.merge import canonical, merge, without
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("key", "base", "over", "expected"),
    [
        ("image", "a", "b", "b"),
        ("image", "a", None, "a"),
        ("command", ["a", "b"], ["c"], ["c"]),
        ("command", "a", ["c"], ["c"]),
        ("command", "a", None, None),
        ("entrypoint", ["a"], "b", "b"),
        ("healthcheck", {"test": ["CMD", "a"], "retries": 3}, {"test": ["CMD", "b"]}, {"test": ["CMD", "b"], "retries": 3}),
        ("environment", {"A": "1", "B": "1"}, ["B=2", "C"], {"A": "1", "B": "2", "C": None}),
        ("environment", {"A": "1"}, {"A": None}, {"A": None}),
        ("labels", ["a=1"], {"a": "2", "b": ""}, {"a": "2", "b": ""}),
        ("sysctls", ["net.a=1"], {"net.a": 2}, {"net.a": 2}),
        ("dns", "1.1.1.1", ["8.8.8.8", "1.1.1.1"], ["1.1.1.1", "8.8.8.8"]),
        ("env_file", "a.env", ["b.env"], ["a.env", "b.env"]),
        ("env_file", ["a.env"], [{"path": "a.env", "required": False}], [{"path": "a.env", "required": False}]),
        ("tmpfs", "/run", "/run:size=1m", ["/run:size=1m"]),
        ("tmpfs", "/run:mode=1", "/tmp:mode=2", ["/run:mode=1", "/tmp:mode=2"]),
        ("cap_add", ["A"], ["A", "B"], ["A", "B"]),
        ("security_opt", ["label=role:a"], ["label=user:b", "label=role:a"], ["label=role:a", "label=user:b"]),
        ("volumes", ["foo:/work"], ["bar:/work"], ["bar:/work"]),
        ("volumes", ["foo:/work:ro", "a:/a"], [{"type": "bind", "source": "/x", "target": "/work"}],
         [{"type": "bind", "source": "/x", "target": "/work"}, "a:/a"]),
        ("devices", ["/dev/a:/dev/x"], ["/dev/b:/dev/x:r", "/dev/c"], ["/dev/b:/dev/x:r", "/dev/c"]),
        ("ports", ["8080:80"], ["8443:443"], ["8080:80", "8443:443"]),
        ("ports", ["8080:80"], [{"target": 80, "published": "8080"}], [{"target": 80, "published": "8080"}]),
        ("ports", ["8080:80"], ["8080:80/udp", "127.0.0.1:8080:80"], ["8080:80", "8080:80/udp", "127.0.0.1:8080:80"]),
        ("ports", ["0.0.0.0:8080:80/tcp"], ["8080:80"], ["8080:80"]),
        ("secrets", ["key"], [{"source": "other", "target": "/run/secrets/key"}], [{"source": "other", "target": "/run/secrets/key"}]),
        ("configs", ["conf"], [{"source": "b", "target": "/conf"}], [{"source": "b", "target": "/conf"}]),
        ("expose", [80], ["80", "81"], ["80", "81"]),
        ("links", ["db"], ["db:database", "db"], ["db", "db:database"]),
        ("profiles", ["a"], ["b"], ["a", "b"]),
        ("depends_on", ["db"], {"db": {"condition": "service_healthy"}, "mq": {"condition": "service_started"}},
         {"db": {"condition": "service_healthy", "required": True}, "mq": {"condition": "service_started"}}),
        ("networks", ["front"], {"front": {"aliases": ["a"]}, "back": None}, {"front": {"aliases": ["a"]}, "back": None}),
        ("networks", {"n": {"aliases": ["a"]}}, {"n": {"aliases": ["a", "b"]}}, {"n": {"aliases": ["a", "b"]}}),
        ("networks", {"n": {"aliases": ["a"]}}, ["n"], {"n": {"aliases": ["a"]}}),
        ("logging", {"driver": "syslog", "options": {"a": 1}}, {"options": {"b": 2}}, {"driver": "syslog", "options": {"a": 1, "b": 2}}),
        ("logging", {"driver": "syslog", "options": {"a": 1}}, {"driver": "local"}, {"driver": "local"}),
        ("ulimits", {"nofile": {"soft": 1, "hard": 2}, "nproc": 1}, {"nofile": 5}, {"nofile": 5, "nproc": 1}),
        ("extra_hosts", {"a": "1.1.1.1"}, ["a:1.1.1.1", "b=::1"], ["a=1.1.1.1", "b=::1"]),
        ("extra_hosts", ["a=1.1.1.1,2.2.2.2"], {}, ["a=1.1.1.1", "a=2.2.2.2"]),
        ("build", ".", {"args": ["A=1"]}, {"context": ".", "args": {"A": "1"}}),
        ("deploy", {"resources": {"limits": {"cpus": 1}}}, {"resources": {"limits": {"memory": "1g"}}},
         {"resources": {"limits": {"cpus": 1, "memory": "1g"}}}),
        ("group_add", ["mail"], [12], ["mail", 12]),
    ],
)  # fmt: skip
def test_keys_of_a_service(key: str, base: t.Any, over: t.Any, expected: t.Any) -> None:
    found = merge({"services": {"web": {key: base}}}, {"services": {"web": {key: over}}})
    assert found == {"services": {"web": {key: expected}}}


def test_missing_entries_are_added() -> None:
    found = merge(
        {"services": {"a": {"image": "x"}}, "volumes": {"v": None}},
        {"services": {"b": {"image": "y"}}, "volumes": {"w": {}}},
    )
    assert found == {"services": {"a": {"image": "x"}, "b": {"image": "y"}}, "volumes": {"v": None, "w": {}}}


def test_a_service_may_be_called_like_a_key() -> None:
    found = merge({"services": {"environment": {"command": ["a"]}}}, {"services": {"environment": {"command": ["b"]}}})
    assert found == {"services": {"environment": {"command": ["b"]}}}


@pytest.mark.parametrize(
    ("base", "over"), [({"deploy": {"mode": "x"}}, {"deploy": ["mode"]}), ({"group_add": ["a"]}, {"group_add": "a"})]
)
def test_forms_that_do_not_fit_are_refused(base: dict[str, t.Any], over: dict[str, t.Any]) -> None:
    with pytest.raises(OptionError, match=r"^services\.web\.(deploy|group_add): .*the file before has"):
        merge({"services": {"web": base}}, {"services": {"web": over}})


def test_a_wrong_form_does_not_show_values_of_the_environment() -> None:
    with pytest.raises(OptionError, match=r"^services\.web\.environment: ") as failed:
        merge({}, {"services": {"web": {"environment": "PASSWORD=hunter2"}}})
    assert "hunter2" not in failed.value.message


def test_what_is_cleared_is_gone() -> None:
    tree = {"services": {"web": {"ports": [1], "environment": {"A": 1, "B": 2}}, "db": {}}}
    cleared = [
        ("services", "web", "ports"),
        ("services", "web", "environment", "A"),
        ("services", "gone", "x"),
        ("volumes",),
    ]
    assert without(tree, cleared) == {"services": {"web": {"environment": {"B": 2}}, "db": {}}}


names = st.sampled_from(["a", "b", "c"])
variables = st.one_of(
    st.dictionaries(names, st.one_of(st.none(), st.integers(0, 2)), max_size=3),
    st.lists(st.sampled_from(["a=1", "a=2", "b", "c=3"]), max_size=3),
)
services = st.fixed_dictionaries(
    {},
    optional={
        "image": st.sampled_from(["x", "y"]),
        "command": st.one_of(st.none(), st.sampled_from(["run", ["a", "b"]])),
        "environment": variables,
        "labels": variables,
        "ports": st.lists(st.sampled_from([80, "80", "8080:80", "8080:80/udp", {"target": 80, "published": 8080}]), max_size=3),
        "volumes": st.lists(st.sampled_from(["a:/a", "b:/a", "c:/c", {"type": "tmpfs", "target": "/a"}]), max_size=3),
        "dns": st.one_of(st.just("1.1.1.1"), st.lists(st.sampled_from(["1.1.1.1", "8.8.8.8"]), max_size=2)),
        "networks": st.one_of(st.lists(names, unique=True), st.dictionaries(names, st.none(), max_size=2)),
        "depends_on": st.lists(names, unique=True),
        "healthcheck": st.fixed_dictionaries({}, optional={"test": st.just(["CMD", "x"]), "retries": st.integers(1, 2)}),
        "group_add": st.lists(names, max_size=2),
        "extra_hosts": st.one_of(st.just({"h": "1.1.1.1"}), st.lists(st.sampled_from(["h=1.1.1.1", "g:2.2.2.2"]), max_size=2)),
    },
)  # fmt: skip
models = st.fixed_dictionaries({"services": st.dictionaries(names, services, max_size=2)})


@given(models)
def test_an_empty_file_changes_nothing(model: dict[str, t.Any]) -> None:
    assert merge(model, {}) == merge({}, model) == canonical(model)


@given(models)
def test_the_canonical_form_is_its_own(model: dict[str, t.Any]) -> None:
    assert canonical(canonical(model)) == canonical(model)


@given(models, models, models)
def test_it_does_not_matter_which_two_of_three_files_meet_first(
    first: dict[str, t.Any], second: dict[str, t.Any], third: dict[str, t.Any]
) -> None:
    assert merge(merge(first, second), third) == merge(first, merge(second, third))


@given(models, models)
def test_nothing_that_was_given_is_changed(first: dict[str, t.Any], second: dict[str, t.Any]) -> None:
    before = repr((first, second))
    merge(first, second)
    assert repr((first, second)) == before
