# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""User-data of guests that Ignition configures (Flatcar, Fedora CoreOS) and not cloud-init. Pure.

Ignition has no platform for Xen. Images for OpenStack read user-data from the volume of this label, wherever they run.
Ignition's configuration specification 3.x: https://coreos.github.io/ignition/specs/
"""

from __future__ import annotations

import base64
import json
import typing as t

from .._errors import OptionError
from .ssh_host_key import SshHostKey

JSON = dict[str, t.Any]

LABEL = "config-2"
OPTION = "config_drive.user_data"


def read_ignition(user_data: str) -> JSON | None:
    """The Ignition configuration that user-data is; None when it is something else. Raises ``OptionError`` for another version than 3."""
    if not user_data.lstrip().startswith("{"):
        return None
    try:
        found = json.loads(user_data)
    except ValueError:
        return None
    if not isinstance(found, dict) or "ignition" not in found:
        return None
    head = found["ignition"]
    version = head.get("version") if isinstance(head, dict) else None
    if not isinstance(version, str) or not version.startswith("3."):
        raise OptionError(
            f"{OPTION}.ignition.version", version, "write a configuration of specification 3, such as 3.3.0"
        )
    return found


def with_host_key(config: JSON, key: SshHostKey) -> JSON:
    """The configuration with the guest's own SSH host key among its files."""
    storage = config.get("storage") or {}
    files = [
        *(storage.get("files") or []),
        _file("/etc/ssh/ssh_host_ed25519_key", 0o600, key.private),
        _file("/etc/ssh/ssh_host_ed25519_key.pub", 0o644, f"{key.public}\n"),
    ]
    return {**config, "storage": {**storage, "files": files}}


def _file(path: str, mode: int, content: str) -> JSON:
    source = "data:;base64," + base64.b64encode(content.encode()).decode()
    return {"path": path, "mode": mode, "overwrite": True, "contents": {"source": source}}
