# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The text of a Compose file, as plain data.

Compose reads YAML 1.2 with the merge key of YAML 1.1: ``yes`` and ``on`` are text and so is ``22:22``. The tags ``!reset`` and ``!override`` tell
what becomes of the files before.
"""

from __future__ import annotations

import re
import traceback
import typing as t
from dataclasses import dataclass

from ansible.module_utils.basic import missing_required_lib

from ..._errors import HardshellError, OptionError

yaml: t.Any = None
try:
    import yaml
except ImportError:
    IMPORT_TRACEBACK: str | None = traceback.format_exc()
else:
    IMPORT_TRACEBACK = None

Path = tuple[str, ...]

# Aliases of aliases grow without bound; no real file comes near.
MOST_NODES = 100_000

_SCALARS: tuple[tuple[str, str, str], ...] = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*|0o?[0-7]+|0x[0-9a-fA-F]+)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)


class Reset:
    """The value of ``!reset``: what the files before say here is taken out."""


@dataclass(frozen=True)
class Override:
    """The value of ``!override``: it takes the place of what the files before say."""

    value: t.Any


@dataclass(frozen=True)
class Document:
    """One document. ``cleared`` are the paths at which nothing of the documents before remains."""

    tree: dict[str, t.Any]
    cleared: tuple[Path, ...] = ()


def parse_documents(name: str, text: str) -> list[Document]:
    """The documents of the text; ``name`` is the file's, for messages. Raises HardshellError."""
    if IMPORT_TRACEBACK is not None:
        raise HardshellError(missing_required_lib("PyYAML"), exception=IMPORT_TRACEBACK)
    try:
        trees = _trees(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it is not YAML"
        raise HardshellError(f"{name}{where}: {problem}") from None
    except RecursionError:
        raise HardshellError(f"{name}: it is nested too deep") from None
    return [document(name, tree) for tree in trees if tree is not None]


def _trees(text: str) -> list[t.Any]:
    loader = _loader()(text)
    trees = []
    try:
        while loader.check_data():
            trees.append(loader.get_data())
    finally:
        loader.dispose()
    return trees


def document(name: str, tree: t.Any) -> Document:
    """The document as plain data that shares nothing. ``name`` is that of the file or option it comes from."""
    if not isinstance(tree, t.Mapping):
        raise OptionError(name, tree, "a Compose file is a mapping with the key services")
    cleared: list[Path] = []
    plain = _Copy(name, cleared).of(tree, ())
    return Document(plain, tuple(cleared))


class _Copy:
    def __init__(self, name: str, cleared: list[Path]) -> None:
        self.name = name
        self.cleared = cleared
        self.nodes = 0
        self.above: list[int] = []

    def of(self, value: t.Any, path: Path) -> t.Any:
        self.nodes += 1
        if self.nodes > MOST_NODES or id(value) in self.above:
            raise HardshellError(f"{self.name}: its aliases at {'.'.join(path)} have no end")
        if isinstance(value, Override):
            self.cleared.append(path)
            value = value.value
        if isinstance(value, t.Mapping):
            self.above.append(id(value))
            copy: t.Any = {
                self._key(key, path): self.of(item, (*path, key))
                for key, item in value.items()
                if not self._is_reset(item, (*path, key))
            }
            self.above.pop()
        elif isinstance(value, list):
            self.above.append(id(value))
            copy = [self.of(item, path) for item in value if not isinstance(item, Reset)]
            self.above.pop()
        elif isinstance(value, (str, int, float)) or value is None:
            copy = value
        else:
            where = ".".join(path) or self.name
            raise OptionError(where, type(value).__name__, "write text, numbers, truth values, lists and mappings")
        return copy

    def _key(self, key: t.Any, path: Path) -> str:
        if not isinstance(key, str):
            raise OptionError(f"{'.'.join(path) or self.name}", key, "keys are text: put it in quotes")
        return str(key)

    def _is_reset(self, value: t.Any, path: Path) -> bool:
        if isinstance(value, Reset):
            self.cleared.append(path)
        return isinstance(value, Reset)


def _loader() -> t.Any:
    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, t.Any] = {}

        def compose_mapping_node(self, anchor: t.Any) -> t.Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if (key.tag, key.value) in seen:
                        raise yaml.constructor.ConstructorError(
                            None, None, f"the key {key.value!r} is there twice", key.start_mark
                        )
                    seen.add((key.tag, key.value))
            return node

    for kind, pattern, first in _SCALARS:
        starts = [character if character != "\0" else "" for character in first]
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", re.compile(rf"^(?:{pattern})$"), starts)
    Loader.add_constructor("!reset", lambda loader, node: Reset())
    Loader.add_constructor("!override", _construct_override)
    return Loader


def _construct_override(loader: t.Any, node: t.Any) -> Override:
    if isinstance(node, yaml.MappingNode):
        return Override(loader.construct_mapping(node, deep=True))
    if isinstance(node, yaml.SequenceNode):
        return Override(loader.construct_sequence(node, deep=True))
    plain = yaml.ScalarNode(loader.resolve(yaml.ScalarNode, node.value, (node.style is None, True)), node.value)
    return Override(loader.construct_object(plain))
