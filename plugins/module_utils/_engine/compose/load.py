# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""From Compose files to one model: variables filled in, files merged, ``include`` and ``extends`` carried out.

Relative paths in a file become absolute here, while it is known which file they stand in. What the model says is not judged yet.
"""

from __future__ import annotations

import posixpath
import typing as t

from ..._errors import HardshellError, OptionError
from ..ports import refuse_number
from .document import Document, Path, document, parse_documents
from .env_file import parse_env_file
from .interpolate import Variables, interpolate_tree
from .merge import JSON, merge, without

# The text of a file, or None where there is none. Raises HardshellError for a file that cannot be read.
Read = t.Callable[[str], t.Optional[str]]  # noqa: UP045  # read by pylint as Python 3.8

INCLUDED = ("services", "volumes", "networks", "secrets", "configs", "models")


class Loader:
    """Loads with one way to ``read`` files, which must be given absolute paths."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def load_files(
        self,
        paths: t.Sequence[str],
        variables: Variables,
        directory: str | None = None,
        within: tuple[str, ...] = (),
    ) -> JSON:
        """The model of these files, each over those before it. Relative paths in them start at ``directory``, by default the first file's.

        ``within`` are the files that include these.
        """
        base = directory or posixpath.dirname(paths[0])
        model: JSON = {}
        for path in paths:
            if path in within:
                raise HardshellError(f"include: the files include each other, {' -> '.join([*within, path])}")
            for found in self._documents(path):
                model = self._over(model, found, base, variables, path, (*within, path))
        return _with_environment(model, variables)

    def load_inline(self, name: str, tree: t.Mapping[str, t.Any], variables: Variables) -> JSON:
        """The model of a document that stands in the option called ``name``. Relative paths in it are refused, and so are truth values in
        environment: the playbook's YAML has made them out of words such as ``yes`` and ``on``, which are text in Compose. So are numbers of two ports."""
        for service, definition in _mapping(dict(tree), ("services",)).items():
            environment = definition.get("environment") if isinstance(definition, dict) else None
            for key, value in environment.items() if isinstance(environment, dict) else ():
                if isinstance(value, bool):
                    raise OptionError(f"services.{service}.environment.{key}", value, "put it in quotes")
            published = definition.get("ports") if isinstance(definition, dict) else None
            for index, item in enumerate(published if isinstance(published, list) else ()):
                refuse_number(f"services.{service}.ports[{index}]", item)
        model = self._over({}, document(name, tree), None, variables, name, ())
        return _with_environment(model, variables)

    def text(self, option: str, path: str) -> str:
        """The text of a file that must be there; ``option`` names it."""
        text = self._read(path)
        if text is None:
            raise OptionError(option, path, "there is no such file on the controller")
        return text

    def optional_text(self, path: str) -> str | None:
        """The text of a file that need not be there."""
        return self._read(path)

    def env_files(self, option: str, paths: t.Sequence[str], variables: Variables) -> dict[str, str]:
        """The variables of these files, the later over the earlier."""
        found: dict[str, str] = {}
        for path in paths:
            found.update(parse_env_file(path, self.text(option, path), variables.over(found)))
        return found

    def beside(self, directory: str) -> list[str]:
        """The file ``.env`` of a directory, where there is one."""
        path = posixpath.join(directory, ".env")
        return [] if self._read(path) is None else [path]

    def _documents(self, path: str, option: str = "compose_file") -> list[Document]:
        return parse_documents(path, self.text(option, path))

    def _over(
        self,
        model: JSON,
        found: Document,
        directory: str | None,
        variables: Variables,
        name: str,
        within: tuple[str, ...],
    ) -> JSON:
        tree = interpolate_tree(found.tree, variables)
        tree = _with_absolute_paths(tree, directory)
        tree = self._with_included(tree, directory, variables, within)
        services = _mapping(tree, ("services",))
        extended = {
            service: self._extended(service, services, found.cleared, name, directory, variables, ())
            for service in services
        }
        if services:
            tree = {**tree, "services": extended}
        return merge(without(model, found.cleared), tree)

    def _with_included(self, tree: JSON, directory: str | None, variables: Variables, within: tuple[str, ...]) -> JSON:
        entries = tree.get("include") or []
        if not isinstance(entries, list):
            raise OptionError("include", entries, "write a list of files")
        tree = {key: value for key, value in tree.items() if key != "include"}
        for index, entry in enumerate(entries):
            option = f"include[{index}]"
            imported = self._included(option, entry, directory, variables, within)
            for kind in INCLUDED:
                own, other = _mapping(tree, (kind,)), _mapping(imported, (kind,))
                for name in own.keys() & other.keys():
                    if merge({}, {kind: {name: own[name]}}) != merge({}, {kind: {name: other[name]}}):
                        raise OptionError(option, f"{kind}.{name}", "the file that includes has one of that name too")
                if other:
                    tree = {**tree, kind: {**other, **own}}
        return tree

    def _included(
        self, option: str, entry: t.Any, directory: str | None, variables: Variables, within: tuple[str, ...]
    ) -> JSON:
        entry = {"path": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or not entry.get("path"):
            raise OptionError(option, entry, "write the path of a Compose file, or a mapping with path")
        unknown = sorted(
            key for key in entry if key not in ("path", "env_file", "project_directory") and not key.startswith("x-")
        )
        if unknown:
            raise OptionError(f"{option}.{unknown[0]}", unknown[0], "known are env_file, path, project_directory")
        paths = [absolute(f"{option}.path", path, directory) for path in _texts(entry["path"])]
        base = posixpath.dirname(paths[0])
        if entry.get("project_directory"):
            base = absolute(f"{option}.project_directory", entry["project_directory"], directory)
        env_files = [absolute(f"{option}.env_file", path, directory) for path in _texts(entry.get("env_file") or [])]
        found = self.env_files(f"{option}.env_file", env_files or self.beside(base), variables)
        return self.load_files(paths, variables.over(found), base, within)

    def _extended(
        self,
        service: str,
        services: JSON,
        cleared: tuple[Path, ...],
        name: str,
        directory: str | None,
        variables: Variables,
        above: tuple[tuple[str, str], ...],
    ) -> t.Any:
        """The service over the one that it extends, if any. ``above`` are the files and services that extend it."""
        own = services[service]
        if not isinstance(own, dict) or own.get("extends") is None:
            return own
        option = f"services.{service}.extends"
        if (name, service) in above:
            circle = [*above[above.index((name, service)) :], (name, service)]
            raise HardshellError(
                f"{option}: the services extend each other, {' -> '.join(item for _n, item in circle)}"
            )
        extends = own["extends"]
        extends = {"service": extends} if isinstance(extends, str) else extends
        if not isinstance(extends, dict) or not isinstance(extends.get("service"), str):
            raise OptionError(option, extends, "write the name of a service, or a mapping with service and file")
        unknown = sorted(key for key in extends if key not in ("service", "file") and not key.startswith("x-"))
        if unknown:
            raise OptionError(f"{option}.{unknown[0]}", unknown[0], "known are file, service")
        base = extends["service"]
        above = (*above, (name, service))
        where, base_cleared = name, cleared
        if extends.get("file") is not None:
            where = absolute(f"{option}.file", extends["file"], directory)
            directory = posixpath.dirname(where)
            services, base_cleared = self._services_of(f"{option}.file", where, variables)
        if base not in services:
            raise OptionError(option, base, f"{where} holds no such service")
        below = self._extended(base, services, base_cleared, where, directory, variables, above) or {}
        path = ("services", service)
        below = without(
            {"services": {service: below}}, [item for item in cleared if item[:2] == path and len(item) > 2]
        )
        merged = merge(below["services"][service], {key: value for key, value in own.items() if key != "extends"}, path)
        return {key: value for key, value in merged.items() if key != "extends"}

    def _services_of(self, option: str, path: str, variables: Variables) -> tuple[JSON, tuple[Path, ...]]:
        model: JSON = {}
        cleared: list[Path] = []
        for found in self._documents(path, option):
            tree = _with_absolute_paths(interpolate_tree(found.tree, variables), posixpath.dirname(path))
            model = merge(without(model, found.cleared), tree)
            cleared += found.cleared
        return _mapping(model, ("services",)), tuple(cleared)


def absolute(option: str, path: t.Any, directory: str | None) -> str:
    """The path of a file on the controller, from ``directory`` where it is relative."""
    if not isinstance(path, str) or not path:
        raise OptionError(option, path, "write the path of a file on the controller")
    if "://" in path or path.startswith("git@"):
        raise OptionError(option, path, "files are read from the controller only: fetch it first")
    if path.startswith("/"):
        return posixpath.normpath(path)
    if directory is None:
        raise OptionError(option, path, "a document given inline is in no directory: write an absolute path")
    return posixpath.normpath(posixpath.join(directory, path))


# Marks a source of a bind mount that is the controller's.
_CONTROLLER = "."


def on_controller(source: str) -> str:
    """The absolute path on the controller of a relative source of a bind mount, once the file that it stands in is loaded."""
    return source.removeprefix(_CONTROLLER) if source.startswith(f"{_CONTROLLER}/") else source


def _with_absolute_sources(service: str, volumes: list[t.Any], directory: str | None) -> list[t.Any]:
    """The mounts, with a source that begins with a dot as the absolute path of the controller after that dot."""
    return [
        _with_absolute_source(f"services.{service}.volumes[{index}]", item, directory)
        for index, item in enumerate(volumes)
    ]


def _with_absolute_source(option: str, item: t.Any, directory: str | None) -> t.Any:
    if isinstance(item, str) and item.startswith(_CONTROLLER) and ":" in item:
        source, _colon, rest = item.partition(":")
        return f"{_CONTROLLER}{absolute(option, source, directory)}:{rest}"
    if isinstance(item, dict) and item.get("type") == "bind" and str(item.get("source")).startswith(_CONTROLLER):
        return {**item, "source": f"{_CONTROLLER}{absolute(option, item['source'], directory)}"}
    return item


def _with_absolute_paths(tree: JSON, directory: str | None) -> JSON:
    """The document with the files that it names under absolute paths."""
    services = _mapping(tree, ("services",))
    changed = {}
    for name, service in services.items():
        if isinstance(service, dict):
            found = dict(service)
            for key in ("env_file", "label_file"):
                if service.get(key) is not None:
                    found[key] = _absolute_files(f"services.{name}.{key}", service[key], directory)
            if isinstance(service.get("volumes"), list):
                found["volumes"] = _with_absolute_sources(name, service["volumes"], directory)
            changed[name] = found
    tree = {**tree, "services": {**services, **changed}} if changed else tree
    for kind in ("secrets", "configs"):
        granted = {
            name: {**item, "file": absolute(f"{kind}.{name}.file", item["file"], directory)}
            for name, item in _mapping(tree, (kind,)).items()
            if isinstance(item, dict) and item.get("file") is not None
        }
        tree = {**tree, kind: {**tree[kind], **granted}} if granted else tree
    return tree


def _absolute_files(option: str, given: t.Any, directory: str | None) -> list[t.Any]:
    return [
        {**item, "path": absolute(f"{option}[{index}].path", item.get("path"), directory)}
        if isinstance(item, dict)
        else absolute(f"{option}[{index}]", item, directory)
        for index, item in enumerate(given if isinstance(given, list) else [given])
    ]


def _with_environment(model: JSON, variables: Variables) -> JSON:
    """The model with the variables that services merely name, as far as they are set here."""
    services = _mapping(model, ("services",))
    changed = {}
    for name, service in services.items():
        environment = service.get("environment") if isinstance(service, dict) else None
        if isinstance(environment, dict):
            resolved = {
                key: variables[key] if value is None and key in variables else value
                for key, value in environment.items()
            }
            changed[name] = {**service, "environment": resolved}
    return {**model, "services": {**services, **changed}} if changed else model


def _mapping(tree: JSON, path: Path) -> JSON:
    found = tree.get(path[0])
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise OptionError(".".join(path), found, "write a mapping of names to definitions")
    return found


def _texts(value: t.Any) -> list[t.Any]:
    return value if isinstance(value, list) else [value]
