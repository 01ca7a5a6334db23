# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo leaves nothing running when it is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
# One step, of a command that has a child of its own. Both hold the writing end of a FIFO.
DEMO = """
import pathlib, sys
import run_demo
folder = pathlib.Path(sys.argv[1])
run_demo.STATE = run_demo.LOGS = run_demo.IMAGES = folder

def run_steps(steps):
    steps.begin("Wait", "wait")
    steps.run(["sh", "-c", "exec 9>$0; sleep 1000 & echo begun; wait", str(folder / "held")], run_demo.everything)

run_demo.run_steps = run_steps
run_demo.up()
"""
PATIENCE = 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_a_step_runs_ends_with_the_demo(number: signal.Signals, tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    demo = subprocess.Popen(
        [sys.executable, "-c", DEMO, str(tmp_path)],
        cwd=EXAMPLES,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ended = threading.Event()

    def watch() -> None:
        held.read_bytes()
        ended.set()

    threading.Thread(target=watch, daemon=True).start()
    assert demo.stdout is not None
    assert any("begun" in line for line in demo.stdout)
    demo.send_signal(number)
    _said, told = demo.communicate(timeout=PATIENCE)
    assert ended.wait(PATIENCE), "what the step started still runs"
    assert "make demo was ended in step 1" in told
    assert demo.returncode == 1
