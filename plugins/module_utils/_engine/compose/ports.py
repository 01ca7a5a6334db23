# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Published ports of a service: both forms, as ``container_set`` writes them."""

from __future__ import annotations

import typing as t

from ..._errors import OptionError
from ..ports import parse_ports


def ports(path: str, value: list[t.Any]) -> list[str]:
    """The published ports, as ``[address:][host:]container/protocol``."""
    found = []
    for index, item in enumerate(value):
        option = f"{path}[{index}]"
        text = _long_port(option, item) if isinstance(item, dict) else _short_port(option, item)
        parse_ports(option, text)
        found.append(text)
    return found


def _short_port(option: str, item: t.Any) -> str:
    if isinstance(item, bool) or not isinstance(item, (int, str)):
        raise OptionError(option, item, "write a port such as 8080:80, or a mapping with target and published")
    plain, _slash, protocol = str(item).partition("/")
    rest, _colon, target = plain.rpartition(":")
    address, _colon, published = rest.rpartition(":")
    return _port(option, item, address.strip("[]"), published, target, protocol)


def _long_port(option: str, item: dict[str, t.Any]) -> str:
    if item.get("target") is None:
        raise OptionError(option, item, "say the container's port as target")
    values = [item.get(key) for key in ("host_ip", "published", "target", "protocol")]
    address, published, target, protocol = ("" if value is None else str(value) for value in values)
    return _port(option, item, address.strip("[]"), published, target, protocol)


def _port(option: str, item: t.Any, address: str, published: str, target: str, protocol: str) -> str:
    if address and not published:
        raise OptionError(option, item, "say the host port too: the engine chooses one on all addresses only")
    if "-" in published and "-" not in target:
        raise OptionError(option, item, "say one host port: the engine is not asked to choose out of a range")
    address = f"[{address}]" if ":" in address else address
    host = f"{address}:{published}:" if address else f"{published}:" if published else ""
    return f"{host}{target}/{protocol.lower() or 'tcp'}"
