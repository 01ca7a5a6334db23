# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The lab as a process: run it in the foreground, put it into the background, find it again."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from xapi_lab.admin import Admin, AdminError, request
from xapi_lab.config import Config
from xapi_lab.server import Server
from xapi_lab.tls import CA_FILE, fingerprint

LOG = "lab.log"
_INFO = "lab.json"
_LOCK = "lab.lock"
STOP_LIMIT = 120
"""Seconds that guests and the lab may take to end."""
START_LIMIT = 120
"""Seconds that a lab may take to answer."""


class DaemonError(Exception):
    """The lab could not be started; the message says why and where its log is."""


def default_state_dir() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "xapi-lab"


def running(state_dir: Path) -> dict[str, Any] | None:
    """What the running lab of a state directory wrote about itself; None when none runs."""
    try:
        with open(state_dir / _LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        pass
    try:
        information: dict[str, Any] = json.loads((state_dir / _INFO).read_text())
    except (OSError, ValueError):
        return None
    return information


def run(state_dir: Path, config: Config) -> None:
    """Serve until SIGTERM, SIGINT or `down`."""
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(state_dir / _LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DaemonError(f"a lab runs in {state_dir} already") from None
        (state_dir / _INFO).unlink(missing_ok=True)
        asyncio.run(_serve(state_dir, config))
        (state_dir / _INFO).unlink(missing_ok=True)


async def _serve(state_dir: Path, config: Config) -> None:
    end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def stop(keep_machines: bool) -> None:
        if not end.done():
            end.set_result(keep_machines)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, True)
    server = Server(state_dir, config)
    await server.start()
    admin = Admin(server, stop)
    await admin.start()
    information = {
        "url": server.url,
        "host": config.address,
        "port": server.port,
        "ca_path": str(state_dir / CA_FILE),
        "fingerprint": fingerprint(state_dir),
        "username": "root",
        "password_file": str(state_dir / "password"),
        "pid": os.getpid(),
        "backend": server.lab.config.backend,
        "state_dir": str(state_dir),
        "log": str(state_dir / LOG),
    }
    temporary = state_dir / f"{_INFO}.new"
    temporary.write_text(json.dumps(information, indent=2) + "\n")
    temporary.rename(state_dir / _INFO)
    logging.getLogger(__name__).info("answering on %s", server.url)
    keep_machines = await end
    await admin.stop()
    await server.stop(stop_machines=not keep_machines)


def start(state_dir: Path, arguments: list[str]) -> dict[str, Any]:
    """Start a lab in the background, or find the one that runs; returns when it answers. Raises DaemonError."""
    information = running(state_dir)
    if information is not None:
        return information
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_path = state_dir / LOG
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "xapi_lab.cli", "up", "--foreground", "--state-dir", str(state_dir), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        information = running(state_dir)
        if information is not None:
            return information
        if process.poll() is not None:
            last = log_path.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise DaemonError(f"the lab ended at once: {last[0]} (log: {log_path})")
        time.sleep(0.05)
    process.terminate()
    raise DaemonError(f"the lab did not answer within {START_LIMIT} s (log: {log_path})")


def stop(state_dir: Path, *, keep_machines: bool) -> bool:
    """End the lab of a state directory and wait for its end; False when none ran. Raises AdminError."""
    if running(state_dir) is None:
        return False
    request(state_dir, "down", keep_machines=keep_machines)
    deadline = time.monotonic() + STOP_LIMIT
    while time.monotonic() < deadline:
        if running(state_dir) is None:
            return True
        time.sleep(0.05)
    raise AdminError(f"the lab in {state_dir} is still ending; its log is {state_dir / LOG}")
