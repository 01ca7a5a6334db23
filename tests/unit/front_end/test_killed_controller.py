# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that is killed takes its workers with it: none goes on with its task beside the next run."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

PATIENCE = 20


def test_a_worker_ends_when_its_controller_is_killed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as pool:
        pool.settimeout(PATIENCE)
        host, port = pool.getsockname()
        arguments = f"xapi_host={host}:{port} xapi_username=root xapi_password=x xapi_validate_certs=false"
        controller = subprocess.Popen(
            [str(Path(sys.executable).parent / "ansible"), "localhost", "-m", "hardshell.xen.session", "-a", arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        worker, _address = pool.accept()
        with worker:
            worker.settimeout(PATIENCE)
            assert worker.recv(4096), "the worker hung up before it said anything"
            controller.send_signal(signal.SIGKILL)
            controller.wait()
            # The pool never answers: the connection is open for as long as the worker lives, which by itself gives up after ten seconds.
            worker.settimeout(5)
            while worker.recv(4096):
                pass
