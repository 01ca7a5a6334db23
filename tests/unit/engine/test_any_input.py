# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever is written, in a Compose file or in ``containers``, is a definition or is refused: nothing else happens."""

from __future__ import annotations

import collections
import contextlib
import typing as t

import yaml
from ansible_collections.hardshell.xen.plugins.module_utils._engine import options
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.beside import Place
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.compose_set import (
    ComposeSource,
    compose_set,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.keys import KEYS
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import parse_task
from ansible_collections.hardshell.xen.plugins.module_utils._engine.member_spec import MEMBER_KEYS
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from hypothesis import given, settings
from hypothesis import strategies as st

from .model import parameters

# Texts that mean something somewhere, so that what is below the first check is reached too.
_WORDS = (
    *(
        "",
        "web",
        "db",
        "data",
        "default",
        "x",
        "true",
        "no",
        "all",
        "host",
        "service:db",
        "container:db",
        "-1",
        "0",
        "1.5",
    ),
    *(
        "10s",
        "5m",
        "64m",
        "8080:80",
        "80-90:80-90/udp",
        "[::1]:80:80",
        "./a:/b",
        "a:/b:ro",
        "/a:/b",
        "A=b",
        "a=1.1.1.1",
    ),
    *(
        "${X}",
        "${X:?y}",
        "$",
        "$${X}",
        "${",
        "{",
        "é",
        "\x00",
        "/dev/fuse",
        "on-failure:3",
        "NET_ADMIN",
        "redis:7",
        "a@b",
    ),
    *(
        "172.30.0.0/24",
        "fd00::1",
        "/a.conf",
        "one.env",
        "gone.env",
        "seccomp=./a.conf",
        "9" * 30,
        "a b 'c",
        "../..",
        "~",
        "://",
    ),
)
scalars = st.one_of(
    st.sampled_from(_WORDS),
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 80, 65536, 10**20, 0.5, 1e300, float("nan"), float("inf")]),
)
names = st.sampled_from(
    ["web", "db", "data", "default", "x-y", "A.b", "", "test", "target", "source", "type", "extends"]
)
small = st.one_of(scalars, st.lists(scalars, max_size=2), st.dictionaries(names, scalars, max_size=2))
anything = st.one_of(small, st.lists(small, max_size=2), st.dictionaries(names, small, max_size=2))


class Tree(collections.defaultdict[str, t.Any]):
    """The keys below a key of the Compose Specification."""

    def __init__(self) -> None:
        super().__init__(Tree)


TREE = Tree()
for _key in KEYS:
    _place = TREE
    for _part in _key.replace("[]", ".[]").split("."):
        _place = _place[_part]


@st.composite
def written(draw: st.DrawFn, tree: Tree, most: int = 3) -> t.Any:
    """A few of the keys of ``tree``, mostly with what has the right form, and sometimes anything."""
    if not tree or draw(st.integers(0, 9)) == 0:
        return draw(anything)
    if "[]" in tree:
        return [draw(st.one_of(written(tree["[]"]), scalars)) for _item in range(draw(st.integers(0, 2)))]
    if "*" in tree:
        return {draw(names): draw(written(tree["*"])) for _item in range(draw(st.integers(0, 2)))}
    chosen = draw(st.lists(st.sampled_from(sorted(tree)), max_size=most, unique=True))
    return {key: draw(written(tree[key])) for key in chosen}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, t.Any]:
    services: dict[str, t.Any] = {}
    for name in draw(st.sampled_from([["web"], ["web", "db"], ["web", "A.b"]])):
        service = draw(written(TREE["services"]["*"], 4))
        services[name] = {"image": "redis:7", **service} if isinstance(service, dict) else service
    top = Tree()
    top.update({key: own for key, own in TREE.items() if key != "services"})
    rest = draw(written(top))
    return {**(rest if isinstance(rest, dict) else {}), "services": services}


@st.composite
def containers(draw: st.DrawFn) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {}
    for name in draw(st.sampled_from([["web"], ["web", "db"], ["A.b"], []])):
        chosen = draw(st.lists(st.sampled_from(sorted(MEMBER_KEYS)), max_size=4, unique=True))
        found[name] = draw(st.one_of(st.just({"image": "redis:7", **{key: draw(anything) for key in chosen}}), small))
    return found


FILES = {
    "/p/a": "text",
    "/p/a.conf": '{"a": 1}',
    "/p/one.env": "A=1\n",
    "/p/web": "services: {web: {image: x}}",
    "/a.conf": "[]",
}


def look(path: str) -> Place | None:
    return Place(is_file=True) if path in FILES else Place(holds_files=True) if path == "/p" else None


@settings(max_examples=100)
@given(documents(), st.sampled_from([None, "per-link", "flat"]))
def test_a_compose_file_is_a_set_or_is_refused(document: dict[str, t.Any], network: str | None) -> None:
    text = yaml.safe_dump(document, allow_unicode=True)
    read = {**FILES, "/p/compose.yaml": text}.get
    with contextlib.suppress(HardshellError):
        found = compose_set("shop", ComposeSource(files=("/p/compose.yaml",)), read, network, look)
        _read(parameters(found.containers, network=found.network, networks=found.networks, volumes=found.volumes))


@settings(max_examples=60)
@given(documents())
def test_a_compose_document_is_a_set_or_is_refused(document: dict[str, t.Any]) -> None:
    with contextlib.suppress(HardshellError):
        parse_task({**parameters(None, network=None, pull=None), "compose": document})


@settings(max_examples=150)
@given(
    containers(),
    st.sampled_from(["per-link", "flat", "declared"]),
    st.one_of(st.just({}), anything),
    st.one_of(st.just({}), anything),
)
def test_containers_are_a_set_or_are_refused(definition: t.Any, network: str, networks: t.Any, volumes: t.Any) -> None:
    with contextlib.suppress(HardshellError):
        _read(parameters(definition, network=network, networks=networks, volumes=volumes))


def _read(task: dict[str, t.Any]) -> None:
    spec = parse_task({**task, "compose_file": None, "compose": None})
    for member in spec.members.values():
        options.create_body(options.settle(member.asked, {}))
