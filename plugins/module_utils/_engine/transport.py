# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The way to a Docker Engine: a unix socket, ssh, or TLS."""

from __future__ import annotations

import typing as t

TRANSPORT_ARGUMENTS: dict[str, t.Any] = {
    "docker_host": {"type": "str", "required": True},
    "docker_ssh_key": {"type": "path"},
    "docker_ssh_host_key": {"type": "str"},
    "docker_ssh_options": {"type": "list", "elements": "str", "default": []},
    "docker_ca_path": {"type": "path"},
    "docker_cert_path": {"type": "path"},
    "docker_key_path": {"type": "path"},
    "docker_validate_certs": {"type": "bool", "default": True},
    "docker_timeout": {"type": "int", "default": 60},
}
