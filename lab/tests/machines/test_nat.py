# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The addresses at which machines on `nat` networks are reached."""

from __future__ import annotations

import socket

import pytest
from xapi_lab.machines.contract import MachineError
from xapi_lab.machines.nat import check_ports_are_free


def test_a_port_that_another_lab_has_is_told_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.91.0.2", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"127.91.0.2:{port} .* another lab, give each lab a --nat-subnet"):
            check_ports_are_free("127.91.0.2", (port,))
    check_ports_are_free("127.91.0.2", (port,))
