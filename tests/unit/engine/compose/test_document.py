"""The YAML of Compose files."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.document import Document, parse_documents
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError


def parse(text: str) -> Document:
    (found,) = parse_documents("compose.yaml", text)
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("22:22", "22:22"),
        ("0440", 0o440),
        ("0o440", 0o440),
        ("0x1f", 31),
        ("089", "089"),
        ("-1", -1),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("1.2.3", "1.2.3"),
        ("2020-01-01", "2020-01-01"),
        ("~", None),
        ("", None),
        ('"1"', "1"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: t.Any) -> None:
    found = parse(f"a: {text}").tree["a"]
    assert found == value
    assert type(found) is type(value)


def test_anchors_and_merge_keys() -> None:
    found = parse(
        """
        x-one: &one {a: 1, b: 1}
        x-two: &two {b: 2, c: 2}
        single: {<<: *one, a: 0}
        several: {<<: [*one, *two]}
        """
    ).tree
    assert found["single"] == {"a": 0, "b": 1}
    assert found["several"] == {"a": 1, "b": 1, "c": 2}


def test_what_an_alias_names_is_not_shared() -> None:
    found = parse("a: &a {b: {c: 1}}\nd: *a").tree
    assert found["a"] == found["d"]
    assert found["a"]["b"] is not found["d"]["b"]


def test_reset_and_override_clear_what_was_there_before() -> None:
    found = parse(
        "services: {web: {ports: !override ['1:1'], environment: {A: !reset null}, user: !override 12, dns: !reset []}}"
    )
    assert found.tree == {"services": {"web": {"ports": ["1:1"], "environment": {}, "user": 12}}}
    web = ("services", "web")
    assert set(found.cleared) == {(*web, "ports"), (*web, "environment", "A"), (*web, "user"), (*web, "dns")}


def test_several_documents_in_one_file() -> None:
    assert [found.tree for found in parse_documents("f", "a: 1\n---\n---\nb: 2\n")] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "compose.yaml, line 1"),
        ("a: 1\na: 2", "compose.yaml, line 2, column 1: the key 'a' is there twice"),
        ("a: {b: {1: x}}", "a.b: 1 cannot be used; keys are text"),
        ("- a", "compose.yaml: ['a'] cannot be used; a Compose file is a mapping"),
        ("a: &a [*a]", "compose.yaml: its aliases at a have no end"),
        ("a: !vault x", "compose.yaml, line 1"),
        ("a: *nope", "compose.yaml, line 1, column 4: found undefined alias"),
        ("x: &h\n  e:\n    <<: *h\n", "compose.yaml: its aliases at x.e.e have no end"),
        ("a: " + "[" * 3000 + "]" * 3000, "compose.yaml: it is nested too deep"),
        ("a: \x00", "compose.yaml: special characters are not allowed"),
        ("a: {b: !!binary aGk=}", "a.b: 'bytes' cannot be used"),
    ],
)
def test_what_is_no_compose_file_is_refused(text: str, message: str) -> None:
    with pytest.raises(HardshellError) as failed:
        parse(text)
    assert failed.value.message.startswith(message)


def test_aliases_that_multiply_are_stopped() -> None:
    lines = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(HardshellError, match="have no end"):
        parse("\n".join(lines))
