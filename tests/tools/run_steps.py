"""Run make targets, all of them, and end with a table of seconds and a verdict of one line.

Each argument is a stage: one target, or several with commas between them, of which two run at a time. A stage begins
when the one before it has ended. What a target says is shown while it runs, and kept in tests/output/steps/TARGET.log.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LOGS = Path("tests/output/steps")
COUNTS = re.compile(r"^=+ (.*(?:passed|failed|error|skipped|no tests ran).*?) in [\d.]+s.*=+$")
AT_ONCE = 2


@dataclass(frozen=True)
class Outcome:
    step: str
    passed: bool
    seconds: float
    counts: str


def counts_of(lines: list[str]) -> str:
    """The totals that pytest printed in these lines, if it did."""
    return "; ".join(match[1] for line in lines if (match := COUNTS.match(line.strip())))


def as_it_is(text: str) -> str:
    return text


class Labelled:
    """Shows whole lines, each with the name of its step before it: two steps speak at a time."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._begun = ""

    def __call__(self, text: str) -> str:
        *lines, self._begun = (self._begun + text).split("\n")
        return "".join(f"{self._label} | {line}\n" for line in lines)


def run(step: str, show: Callable[[str], str] = as_it_is) -> Outcome:
    """Run one target; ``show`` makes what is printed of what it said since it was last asked."""
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
            try:
                process.wait(timeout=0.3)
                ended = True
            except subprocess.TimeoutExpired:
                pass
            sys.stdout.write(show(shown.read()))
            sys.stdout.flush()
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return Outcome(step, process.returncode == 0, time.monotonic() - began, counts_of(lines))


def run_stage(steps: list[str]) -> list[Outcome]:
    """Run the targets of one stage."""
    if len(steps) == 1:
        return [run(steps[0])]
    width = max(map(len, steps))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        started = [pool.submit(run, step, Labelled(f"{step:<{width}}")) for step in steps]
    return [future.result() for future in started]


def table(outcomes: list[Outcome]) -> str:
    width = max(len(outcome.step) for outcome in outcomes)
    rows = [
        f"{outcome.step:<{width}}  {'ok' if outcome.passed else 'FAILED':<6}  {outcome.seconds:7.1f} s  {outcome.counts}".rstrip()
        for outcome in outcomes
    ]
    return "\n".join(rows)


def verdict(outcomes: list[Outcome], elapsed: float) -> str:
    minutes, seconds = divmod(round(elapsed), 60)
    failed = [outcome.step for outcome in outcomes if not outcome.passed]
    if failed:
        logs = ", ".join(str(LOGS / f"{step}.log") for step in failed)
        return f"FAILED: {', '.join(failed)} (of {len(outcomes)} steps, {minutes} min {seconds} s). Read {logs}"
    return f"PASSED: all {len(outcomes)} steps in {minutes} min {seconds} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stages", nargs="+", metavar="TARGET[,TARGET...]")
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    outcomes = [outcome for stage in parser.parse_args().stages for outcome in run_stage(stage.split(","))]
    print(f"\n{table(outcomes)}\n{verdict(outcomes, time.monotonic() - began)}")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
