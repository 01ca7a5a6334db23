# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What a container may do: the collection's base, the engine's, and what a definition makes of it."""

from __future__ import annotations

import typing as t

BASE_CAPABILITIES = frozenset({"CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"})
# What the engine gives a container that asks for nothing. Source: Docker Engine 20.10 to 28.5, daemon/oci/caps.
ENGINE_CAPABILITIES = BASE_CAPABILITIES | {
    "AUDIT_WRITE",
    "FSETID",
    "MKNOD",
    "NET_RAW",
    "SETFCAP",
    "SETPCAP",
    "SYS_CHROOT",
}


def effective_capabilities(added: t.Iterable[str], dropped: t.Iterable[str]) -> tuple[str, ...]:
    """What a container may do, out of the collection's own base, ``cap_add`` and ``cap_drop``."""
    if "ALL" in added:
        return ("ALL",)
    base = set() if "ALL" in dropped else set(BASE_CAPABILITIES) - set(dropped)
    return tuple(sorted(base | set(added)))
