"""Run make targets one after the other, all of them, and end with a table of seconds and a verdict of one line.

The output of each step is shown while it runs and kept in tests/output/steps/STEP.log.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

LOGS = Path("tests/output/steps")
COUNTS = re.compile(r"^=+ (.*(?:passed|failed|error|skipped|no tests ran).*?) in [\d.]+s.*=+$")


@dataclass(frozen=True)
class Outcome:
    step: str
    passed: bool
    seconds: float
    counts: str


def counts_of(lines: list[str]) -> str:
    """The totals that pytest printed in these lines, if it did."""
    return "; ".join(match[1] for line in lines if (match := COUNTS.match(line.strip())))


def run(step: str) -> Outcome:
    began = time.monotonic()
    log = LOGS / f"{step}.log"
    print(f"\n===== {step}", flush=True)
    command = ["make", "--no-print-directory", "--keep-going", step]
    # A file, not a pipe: a pipe would stay open for as long as anything that the step left running.
    with (
        log.open("wb") as written,
        log.open(encoding="utf-8", errors="replace") as shown,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=written, stderr=subprocess.STDOUT) as process,
    ):
        ended = False
        while not ended:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.3)
                ended = True
            sys.stdout.write(shown.read())
            sys.stdout.flush()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return Outcome(step, process.returncode == 0, time.monotonic() - began, counts_of(lines))


def table(outcomes: list[Outcome]) -> str:
    width = max(len(outcome.step) for outcome in outcomes)
    rows = [
        f"{outcome.step:<{width}}  {'ok' if outcome.passed else 'FAILED':<6}  {outcome.seconds:7.1f} s  {outcome.counts}".rstrip()
        for outcome in outcomes
    ]
    return "\n".join(rows)


def verdict(outcomes: list[Outcome]) -> str:
    minutes, seconds = divmod(round(sum(outcome.seconds for outcome in outcomes)), 60)
    failed = [outcome.step for outcome in outcomes if not outcome.passed]
    if failed:
        logs = ", ".join(str(LOGS / f"{step}.log") for step in failed)
        return f"FAILED: {', '.join(failed)} (of {len(outcomes)} steps, {minutes} min {seconds} s). Read {logs}"
    return f"PASSED: all {len(outcomes)} steps in {minutes} min {seconds} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="+", metavar="TARGET")
    LOGS.mkdir(parents=True, exist_ok=True)
    outcomes = [run(step) for step in parser.parse_args().steps]
    print(f"\n{table(outcomes)}\n{verdict(outcomes)}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
