# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The parameters of a ``container_set`` task that names Compose files, as those of one that names containers."""

from __future__ import annotations

import contextlib
import os
import stat
import typing as t

from ..._errors import HardshellError, OptionError
from ..environment_files import with_environment_files
from ..spec import SetSpec, parse
from .beside import Place
from .compose_set import ComposeSource, compose_set
from .services import KEY_OF_OPTION

# What a Compose file says itself.
_ONLY_CONTAINERS = ("volumes", "networks")
_ONLY_BESIDE = ("compose_environment", "compose_env_files", "compose_profiles", "compose_engine_socket")

# What stands for an empty directory in a repository.
_KEEPING = (".gitkeep", ".keep", ".gitignore")


def parse_task(parameters: t.Mapping[str, t.Any]) -> SetSpec:
    """The set that the task describes, whichever way. Raises ``OptionError`` or ``HardshellError`` naming the option, or the key of the Compose file."""
    files, inline = parameters.get("compose_file"), parameters.get("compose")
    if not files and inline is None:
        for option in _ONLY_BESIDE:
            if parameters.get(option) is not None:
                raise OptionError(option, sorted(parameters[option]), "it goes with compose_file or compose")
        return parse({**parameters, "containers": with_environment_files(parameters["containers"], read_text)})
    if parameters["state"] != "present":
        return parse({**parameters, "containers": None})
    for option in _ONLY_CONTAINERS:
        if parameters.get(option):
            raise OptionError(option, parameters[option], "it goes with containers; the Compose file says it itself")
    source = ComposeSource(
        files=tuple(os.path.abspath(path) for path in files or ()),
        inline=inline,
        environment=_texts("compose_environment", parameters.get("compose_environment") or {}),
        env_files=_paths(parameters.get("compose_env_files")),
        profiles=_optional_tuple(parameters.get("compose_profiles")),
        engine_sockets=tuple(parameters.get("compose_engine_socket") or ()),
    )
    found = compose_set(parameters["name"], source, read_text, parameters["network"], look)
    as_containers = {
        **parameters,
        "containers": _without_pull(found.containers) if parameters["pull"] else found.containers,
        "network": found.network,
        "volumes": found.volumes,
        "networks": found.networks,
    }
    try:
        spec = parse(as_containers)
    except HardshellError as error:
        raise _in_terms_of_compose(error) from None
    return spec.with_warnings(found.warnings)


def _without_pull(containers: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What the task says holds for all of the file's services."""
    return {name: {key: item for key, item in own.items() if key != "pull"} for name, own in containers.items()}


def read_text(path: str) -> str | None:
    """The text of a file of the controller; None where there is none."""
    try:
        if path != os.devnull and not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):
            # Whoever opens a pipe waits for what comes out of it, and a device has no end.
            raise HardshellError(f"{path} cannot be read: it is no regular file")
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise HardshellError(f"{path} cannot be read: {reason}") from None


def look(path: str) -> Place | None:
    """What the controller has at a path."""
    if os.path.isdir(path):
        with contextlib.suppress(OSError):
            return Place(holds_files=any(name not in _KEEPING for name in os.listdir(path)))
        return Place(holds_files=True)
    return Place(is_file=True, executable=os.access(path, os.X_OK)) if os.path.exists(path) else None


def _paths(given: t.Sequence[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(os.path.abspath(path) for path in given)


def _optional_tuple(given: t.Sequence[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


def _texts(option: str, given: t.Mapping[str, t.Any]) -> dict[str, str]:
    found = {}
    for name, value in given.items():
        if not isinstance(value, (str, int, float)) or isinstance(value, bool):
            # Not the value: it may be secret.
            raise OptionError(
                f"{option}.{name}", type(value).__name__, "write a text or a number; quote true and false"
            )
        found[name] = str(value)
    return found


def _in_terms_of_compose(error: HardshellError) -> HardshellError:
    """The error with the path of the key that the user wrote in place of the option it became."""
    option = str(error.details.get("option", ""))
    parts = option.split(".")
    if parts[0] != "containers" or len(parts) < 2:
        return error
    key, _bracket, index = parts[2].partition("[") if len(parts) > 2 else ("", "", "")
    parts[0] = "services"
    if key in KEY_OF_OPTION:
        parts[2] = KEY_OF_OPTION[key] + (f"[{index}" if index else "")
    path = ".".join(parts)
    return HardshellError(error.message.replace(option, path, 1), **{**error.details, "option": path})
