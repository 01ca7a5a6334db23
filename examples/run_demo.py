#!/usr/bin/env python3
# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the main job for real on this machine: a lab pool, two tenants, their VMs and their containers.

Called by ``make demo``, ``make demo-shell`` and ``make demo-down`` with the project's own Python. Every step writes a log file of its
own; the first that fails ends the demo with one message that says what failed and where its log is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INVENTORY = ROOT / "examples" / "demo"
STATE = INVENTORY / ".state"
LOGS = STATE / "logs"
IMAGES = STATE / "images"
LAB_STATE = STATE / "lab"
SSH_CONFIG = STATE / "ssh_config"
BIN = Path(sys.executable).parent
FRONT_PORT = 8080
HTTP_TRIES = 20
END_SECONDS = 10
INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StepFailed(Exception):
    """A step did not do what it should: one line for the reader."""


class Interrupted(Exception):
    """Somebody ends the demo."""


class Steps:
    """Numbers the steps, times them and keeps a log file for each."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.number = 0
        self.began = time.monotonic()
        self.log = LOGS / "demo.log"

    def begin(self, title: str, log_name: str) -> None:
        self.number += 1
        self.log = LOGS / f"{self.number:02d}-{log_name}.log"
        self.log.write_text("")
        print(f"\n[{self.number}/{self.total}] {title}   (+{self.elapsed()})", flush=True)

    def elapsed(self) -> str:
        seconds = int(time.monotonic() - self.began)
        return f"{seconds // 60}:{seconds % 60:02d}"

    def run(self, command: list[str], shown: Callable[[str], str | None], env: dict[str, str] | None = None) -> str:
        """Run a command, all of its output to the step's log, the lines that ``shown`` makes of it to the screen.

        It ends with the demo: nothing goes on in the background of one that was interrupted.
        """
        output = []
        with (
            self.log.open("a") as log,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=ROOT,
                env=env or environment(),
                start_new_session=True,
            ) as process,
        ):
            try:
                print(f"$ {' '.join(command)}", file=log, flush=True)
                for line in process.stdout or ():
                    log.write(line)
                    log.flush()
                    output.append(line)
                    visible = shown(line.rstrip("\n"))
                    if visible is not None:
                        print(f"      {visible}", flush=True)
            except BaseException:
                end(process)
                raise
        if process.returncode != 0:
            raise StepFailed(f"{Path(command[0]).name} ended with exit code {process.returncode}{last_words(output)}")
        return "".join(output)


def end(process: subprocess.Popen[str]) -> None:
    """End a command and all that it started in its session; by force when it does not end by itself."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)
            return


def last_words(output: list[str]) -> str:
    """The line of the output that says best what went wrong: Ansible's message, else the last line."""
    for line in reversed(output):
        found = re.search(r'"msg": "(.+?)"[,}]?\s*$', line) or re.search(r"\[ERROR\]: (.+)", line)
        if found:
            return f": {found.group(1)}"
    spoken = [line.strip() for line in output if line.strip()]
    return f": {spoken[-1]}" if spoken else ""


def environment() -> dict[str, str]:
    """Our own tools first on the path; Ansible told to be plain, and to hold still about what a demo need not show."""
    return {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_FORCE_COLOR": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }


def nothing(_line: str) -> str | None:
    return None


def everything(line: str) -> str | None:
    return line or None


def tasks_and_progress(line: str) -> str | None:
    """Of a playbook's output: its tasks, what a long task says meanwhile, failures and the recap."""
    task = re.match(r"TASK \[(?:hardshell\.xen\.)?(.+?)\]", line)
    if task:
        return f"- {task.group(1)}"
    if re.match(r"[\w.-]+ \| ", line) or re.match(r"(changed|failed|fatal|unreachable)", line):
        return f"    {line[:160]}"
    if re.match(r"[\w.-]+\s+: ok=", line):
        return line
    return None


def playbook(name: str, *arguments: str) -> list[str]:
    return [str(BIN / "ansible-playbook"), f"hardshell.xen.{name}", "-i", str(INVENTORY.relative_to(ROOT)), *arguments]


def start_lab(steps: Steps) -> dict[str, str]:
    steps.run([str(BIN / "xapi-lab"), "up", "--state-dir", str(LAB_STATE), "--backend", "qemu"], everything)
    status = subprocess.run(
        [str(BIN / "xapi-lab"), "status", "--state-dir", str(LAB_STATE), "--json"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if status.returncode != 0:
        raise StepFailed(f"the lab does not answer: {status.stderr.strip()}")
    (STATE / "lab.json").write_text(status.stdout)
    lab: dict[str, str] = json.loads(status.stdout)
    return lab


def make_key() -> None:
    key = STATE / "id_ed25519"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "demo", "-f", str(key)], check=True)


def front_address(report: list[dict[str, object]], tenant: str) -> str:
    for row in report:
        if row["tenant"] == tenant:
            return f"http://{row['address']}:{FRONT_PORT}/"
    raise StepFailed(f"the report names no VM of {tenant}")


def ask(url: str, data: bytes | None = None) -> str:
    """The front's answer. The engine says healthy before the published port forwards on a slow machine: tried again for a while."""
    problem: Exception = StepFailed("never asked")
    for _attempt in range(HTTP_TRIES):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, data=data), timeout=30) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError) as error:
            problem = error
            time.sleep(1)
    raise StepFailed(f"{url} does not answer: {problem}")


def ask_twice(url: str, steps: Steps) -> None:
    """Write two entries through the front, and read both back: they went web -> api -> database and returned."""
    for attempt in (1, 2):
        entry = f"entry {attempt} of {time.strftime('%H:%M:%S')}"
        written = ask(url, urllib.parse.urlencode({"text": entry}).encode())
        page = ask(url)
        with steps.log.open("a") as log:
            print(f"POST {url} text={entry}\n{written}\nGET {url}\n{page}", file=log)
        if entry not in page:
            raise StepFailed(f"{url} did not give back what was written to it ({entry!r})")
        print(f"      wrote {entry!r} to {url}, read it back", flush=True)


def changed_counts(recap: str) -> Iterator[tuple[str, int]]:
    for host, changed in re.findall(r"^([\w.-]+)\s+: ok=\d+\s+changed=(\d+)", recap, re.MULTILINE):
        yield host, int(changed)


def report(steps: Steps) -> list[dict[str, object]]:
    steps.run(playbook("report", "-e", f"report_file={STATE / 'report.json'}"), nothing)
    rows: list[dict[str, object]] = json.loads((STATE / "report.json").read_text())["rows"]
    return rows


def write_ssh_config(rows: list[dict[str, object]]) -> None:
    """An OpenSSH configuration with the VMs by name, their host keys pinned as the playbook pinned them."""
    SSH_CONFIG.write_text(
        "".join(
            f"Host {row['vm']}\n  HostName {row['address']}\n  User {row['user']}\n  IdentityFile {STATE}/id_ed25519\n"
            f"  UserKnownHostsFile {STATE}/known_hosts/{row['tenant']}-{row['vm']}\n  HostKeyAlias {row['tenant']}-{row['vm']}\n"
            f"  StrictHostKeyChecking yes\n  GlobalKnownHostsFile /dev/null\n"
            for row in rows
        )
    )


def interrupt(number: int, _frame: object) -> None:
    for each in INTERRUPTIONS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal.Signals(number).name)


def up() -> None:
    for folder in (STATE, LOGS, IMAGES):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    steps = Steps(8)
    for number in INTERRUPTIONS:
        signal.signal(number, interrupt)
    try:
        run_steps(steps)
    except Interrupted:
        sys.exit(
            f"\nmake demo was ended in step {steps.number}; the next one goes on from there, make demo-down takes all away"
        )
    except StepFailed as problem:
        sys.exit(f"\nmake demo failed at step {steps.number}: {problem}\nThe log is {steps.log}")


def run_steps(steps: Steps) -> None:
    steps.begin("Start the lab: a pool whose VMs are QEMU machines", "lab")
    lab = start_lab(steps)
    make_key()

    steps.begin("Make the guest's disk image: Debian with Docker (cached)", "guest-image")
    builder = ROOT / "roles" / "guest_image" / "files" / "build_debian_image.py"
    steps.run([sys.executable, str(builder)], everything)

    steps.begin("Make the demo's container images (cached)", "container-images")
    steps.run(
        [sys.executable, str(ROOT / "examples" / "images" / "build_images.py"), "--output", str(IMAGES)], everything
    )

    steps.begin("Upload the disk image and make it a template", "template")
    steps.run(playbook("guest_image"), tasks_and_progress)

    steps.begin("Converge two tenants: ansible-playbook hardshell.xen.site -i examples/demo", "site")
    steps.run(playbook("site"), tasks_and_progress)

    steps.begin("Ask the front of acme, twice", "front")
    rows = report(steps)
    url = front_address(rows, "acme")
    ask_twice(url, steps)

    steps.begin("Run the same playbook again: nothing may change", "site-again")
    recap = steps.run(playbook("site"), tasks_and_progress)
    changed = {host: count for host, count in changed_counts(recap) if count}
    if changed:
        raise StepFailed(f"the second run changed something: {changed}")
    print("      changed=0 on every host", flush=True)

    steps.begin("What runs where, and whose it is", "report")
    report(steps)
    print((STATE / "report.txt").read_text())
    write_ssh_config(rows)
    print(f"Open       {url}")
    print(f"Pool       {lab['url']}   (password in {lab['password_file']})")
    print("Look       make demo-shell   a shell with the demo's environment; with its inventory, ssh and lab at hand")
    print("End        make demo-down    (the images stay cached)")
    print(f"Took       {steps.elapsed()}")


def shell() -> None:
    """A shell in the demo's environment."""
    env = {**environment(), "ANSIBLE_INVENTORY": str(INVENTORY), "PS1": "demo$ "}
    print("Try: ansible-inventory --graph")
    print("     ansible-playbook hardshell.xen.site --check --diff")
    print("     ansible-playbook hardshell.xen.report -e report_engines=false   # from the pool alone")
    print(f"     ssh -F {SSH_CONFIG.relative_to(ROOT)} acme-shop docker ps")
    print(f"     xapi-lab status --state-dir {LAB_STATE.relative_to(ROOT)}")
    os.chdir(ROOT)
    os.execvpe("bash", ["bash", "--norc", "-i"], env)


def down() -> None:
    lab = subprocess.run([str(BIN / "xapi-lab"), "down", "--state-dir", str(LAB_STATE)], check=False)
    if lab.returncode != 0:
        sys.exit(f"the lab was not stopped; its state is in {LAB_STATE}")
    shutil.rmtree(LAB_STATE, ignore_errors=True)
    for name in ("lab.json", "report.json", "report.txt"):
        (STATE / name).unlink(missing_ok=True)
    shutil.rmtree(STATE / "known_hosts", ignore_errors=True)
    print("The demo's lab is stopped and its VMs are gone; the cached images stay.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "shell", "down"])
    {"up": up, "shell": shell, "down": down}[parser.parse_args().action]()


if __name__ == "__main__":
    main()
