# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Environment files of members: read on the controller, as ``docker run --env-file`` reads them, into what the definition says of the environment."""

from __future__ import annotations

import os
import typing as t

from .._errors import OptionError
from . import parsers
from .compose.env_file import parse_env_file
from .compose.interpolate import Variables

Read = t.Callable[[str], "str | None"]


def with_environment_files(containers: t.Any, read: Read) -> t.Any:
    """``containers`` without ``env_file``: later files over earlier ones, ``environment`` over all. What has another shape is left to be refused.

    Raises OptionError for a file that is not there, HardshellError for a line that sets no variable.
    """
    if not isinstance(containers, t.Mapping):
        return containers
    return {name: _member(f"containers.{name}", given, read) for name, given in containers.items()}


def _member(path: str, given: t.Any, read: Read) -> t.Any:
    if not isinstance(given, t.Mapping) or given.get("env_file") is None:
        return given
    found: dict[str, str] = {}
    files = [given["env_file"]] if isinstance(given["env_file"], str) else given["env_file"]
    for index, file in enumerate(parsers.texts(f"{path}.env_file", files)):
        text = read(os.path.abspath(os.path.expanduser(file)))
        if text is None:
            raise OptionError(f"{path}.env_file[{index}]", file, "there is no such file on the controller")
        found.update(parse_env_file(file, text, Variables({}), raw=True))
    rest = {key: value for key, value in given.items() if key != "env_file"}
    own = parsers.mapping(f"{path}.environment", given.get("environment") or {})
    return {**rest, "environment": {**found, **own}}
