# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The xapi-lab command."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from xapi_lab import daemon, message_table, saved_pool
from xapi_lab.admin import AdminError, request
from xapi_lab.config import BACKENDS, Config, ConfigError, load, validated
from xapi_lab.faults import OPTIONS
from xapi_lab.machines.command_line import CONSOLE_LOG
from xapi_lab.record_set import RecordSetError


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="xapi-lab", description="An XAPI-compatible pool on a loopback port, whose VMs really boot."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--state-dir", type=Path, default=daemon.default_state_dir(), help="where the pool lives (default: %(default)s)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    up = commands.add_parser("up", parents=[common], help="start the lab, or find the one that runs")
    up.add_argument("--port", type=int, help="TLS port (default: the last one, else a free one)")
    up.add_argument(
        "--backend",
        choices=BACKENDS,
        help="what a VM is: a QEMU machine, Linux namespaces with sshd and Docker (as root), or nothing but a record "
        "(default: as when the pool was made, qemu at first)",
    )
    up.add_argument("--config", type=Path, help="YAML file with the shape of the pool")
    up.add_argument("--nat-subnet", help="loopback addresses of VMs (default: 127.77.0.0/16)")
    up.add_argument("--foreground", action="store_true", help="stay in the foreground, log to standard error")
    up.add_argument("--json", action="store_true", help="print JSON")

    down = commands.add_parser("down", parents=[common], help="end the lab and its machines")
    down.add_argument("--keep-machines", action="store_true", help="leave the machines running for the next `up`")

    status = commands.add_parser("status", parents=[common], help="say where the lab is and what runs")
    status.add_argument("--json", action="store_true", help="print JSON")

    console = commands.add_parser("console", parents=[common], help="print a VM's serial console")
    console.add_argument("vm", metavar="VM", help="name or uuid")

    save = commands.add_parser("save", parents=[common], help="write all records of the pool to a file")
    save.add_argument("file", metavar="FILE", type=Path, help="JSON file to write")

    load_ = commands.add_parser(
        "load", parents=[common], help="make a new pool from saved records, or from what xe pool-dump-database wrote"
    )
    load_.add_argument("file", metavar="FILE", type=Path, help="JSON or XML file to read")
    load_.add_argument("--backend", choices=BACKENDS, help="what a VM is (default: qemu)")

    host = commands.add_parser("host", help="lose a host of the pool, or let it come back")
    hosts = host.add_subparsers(dest="host_command", required=True, metavar="COMMAND")
    for name, help_ in (("lose", "take the power from a host"), ("return", "let a lost host boot again"),
                        ("promote", "make a host the coordinator")):  # fmt: skip
        command = hosts.add_parser(name, parents=[common], help=help_)
        command.add_argument("host", metavar="HOST", help="name, uuid or address")

    calls = commands.add_parser("calls", parents=[common], help="count the calls that clients made")
    calls.add_argument("--json", action="store_true", help="print JSON")
    calls.add_argument("--reset", action="store_true", help="start counting anew")

    commands.add_parser("messages", help="print which messages have behaviour, are plain data, or are not there yet")

    fault = commands.add_parser("fault", help="make calls fail, slow or cut")
    faults = fault.add_subparsers(dest="fault_command", required=True, metavar="COMMAND")
    add = faults.add_parser("add", parents=[common], help="add a fault")
    add.add_argument("--method", default="", help="VM.start, VM.*, /import_raw_vdi, ...")
    add.add_argument("--nth", type=int, default=0, help="only the n-th such call from now on")
    add.add_argument("--count", type=int, default=0, help="at most so many calls")
    add.add_argument("--error", default="", help="error code and parameters, with commas: SR_FULL,1,2")
    add.add_argument("--latency", type=float, default=0.0, help="seconds")
    add.add_argument("--jitter", type=float, default=0.0, help="most seconds added at random")
    add.add_argument("--cut", choices=("before", "after"), default="", help="cut the connection")
    add.add_argument("--expire-session", action="store_true", help="end the caller's session first")
    at = "at the call, or at once without --method"
    add.add_argument("--host-loss", metavar="HOST", default="", help=f"lose a host, or `coordinator`, {at}")
    add.add_argument("--failover", action="store_true", help=f"make the next host the coordinator {at}")
    add.add_argument("--restart", action="store_true", help=f"restart XAPI on the coordinator {at}")
    add.add_argument("--downtime", type=float, default=0.0, help="seconds that a restart takes")
    add.add_argument("--sr-full", metavar="SR", default="", help="an SR (name or uuid) has no space left")
    add.add_argument(
        "--agent", choices=("late", "stale", "missing"), default="", help="how guest agents report; late by --latency"
    )
    add.add_argument(
        "--vm", metavar="VM", default="", help="name (with wildcards) or uuid of the VMs with such an agent"
    )
    faults.add_parser("list", parents=[common], help="list faults and how often they hit")
    clear = faults.add_parser("clear", parents=[common], help="remove a fault, or all")
    clear.add_argument("number", type=int, nargs="?")
    return parser


def _config(arguments: argparse.Namespace) -> Config:
    config = load(arguments.config) if arguments.config else Config()
    given = {name: getattr(arguments, name) for name in ("port", "backend", "nat_subnet")}
    return validated(replace(config, **{name: value for name, value in given.items() if value is not None}))


def _forwarded(arguments: argparse.Namespace) -> list[str]:
    """The options of `up` for the process in the background."""
    options = {"--port": arguments.port, "--backend": arguments.backend, "--nat-subnet": arguments.nat_subnet,
               "--config": arguments.config.resolve() if arguments.config else None}  # fmt: skip
    return [text for name, value in options.items() if value is not None for text in (name, str(value))]


def _up(arguments: argparse.Namespace) -> int:
    state_dir = arguments.state_dir.resolve()
    if arguments.foreground:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        daemon.run(state_dir, _config(arguments))
        return 0
    _config(arguments)
    _print_information(daemon.start(state_dir, _forwarded(arguments)), as_json=arguments.json)
    return 0


def _print_information(information: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(information, indent=2))
        return
    for label, key in (("url", "url"), ("CA", "ca_path"), ("user", "username"), ("password file", "password_file"),
                       ("backend", "backend"), ("log", "log")):  # fmt: skip
        print(f"{label + ':':15}{information[key]}")


def _down(arguments: argparse.Namespace) -> int:
    state_dir = arguments.state_dir.resolve()
    ended = daemon.stop(state_dir, keep_machines=arguments.keep_machines)
    print(f"the lab in {state_dir} has ended" if ended else f"no lab runs in {state_dir}")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    state_dir = arguments.state_dir.resolve()
    information = daemon.running(state_dir)
    if information is None:
        if arguments.json:
            print(json.dumps({"state": "down", "state_dir": str(state_dir)}, indent=2))
        else:
            print(f"no lab runs in {state_dir}; start it with: xapi-lab up")
        return 3
    information = {"state": "up", **information, **request(state_dir, "status")}
    if arguments.json:
        print(json.dumps(information, indent=2))
        return 0
    _print_information(information, as_json=False)
    for host in information["hosts"]:
        role = "coordinator" if host["coordinator"] else "member"
        print(f"  {host['name']:30} {role if host['up'] else 'lost':11} {host['url']}")
    for vm in information["vms"]:
        print(f"  {vm['name']:30} {vm['power_state']:10} {vm['networks'].get('0/ip', '-'):16} {vm['uuid']}")
    return 0


def _console(arguments: argparse.Namespace) -> int:
    found = request(arguments.state_dir.resolve(), "console", vm=arguments.vm)
    directory = Path(found["directory"])
    log = directory / CONSOLE_LOG
    if not log.exists():
        print(f"VM {arguments.vm} has no console log in {directory}", file=sys.stderr)
        return 1
    print(log.read_text(errors="replace"), end="")
    sockets = ", ".join(str(path) for path in sorted(directory.glob("*.sock")))
    print(f"(log file: {log}; sockets: {sockets or 'none'})", file=sys.stderr)
    return 0


def _host(arguments: argparse.Namespace) -> int:
    request(arguments.state_dir.resolve(), f"host-{arguments.host_command}", host=arguments.host)
    outcome = {"lose": "lost", "return": "back", "promote": "the coordinator"}
    print(f"{arguments.host} is {outcome[arguments.host_command]}")
    return 0


def _save(arguments: argparse.Namespace) -> int:
    path = arguments.file.resolve()
    number = request(arguments.state_dir.resolve(), "save", timeout=300.0, path=str(path))
    print(f"{number} objects are in {path}")
    return 0


def _load(arguments: argparse.Namespace) -> int:
    state_dir = arguments.state_dir.resolve()
    number, unread = saved_pool.load(state_dir, arguments.file, Config(backend=arguments.backend or ""))
    print(f"{number} objects are in {state_dir}; start the pool with: xapi-lab up --state-dir {state_dir}")
    if unread:
        print(f"not read, since the lab's data model has no such thing: {', '.join(unread)}", file=sys.stderr)
    return 0


def _calls(arguments: argparse.Namespace) -> int:
    counts = request(arguments.state_dir.resolve(), "calls", reset=arguments.reset)
    if arguments.json:
        print(json.dumps(counts, indent=2))
        return 0
    for method, count in counts.items():
        print(f"{count:8} {method}")
    return 0


def _messages(arguments: argparse.Namespace) -> int:  # noqa: ARG001
    print(message_table.document(), end="")
    return 0


def _fault(arguments: argparse.Namespace) -> int:
    state_dir = arguments.state_dir.resolve()
    if arguments.fault_command == "add":
        number = request(state_dir, "fault-add", **{name: getattr(arguments, name) for name in OPTIONS})
        print("done" if number is None else f"fault {number} added")
    elif arguments.fault_command == "list":
        for fault in request(state_dir, "fault-list"):
            number = fault.pop("id")
            told = {name: value for name, value in fault.items() if value or name == "hits"}
            print(f"{number}: " + ", ".join(f"{name}={value}" for name, value in told.items()))
    else:
        request(state_dir, "fault-clear", number=arguments.number)
    return 0


_COMMANDS = {
    "up": _up, "down": _down, "status": _status, "console": _console, "save": _save, "load": _load, "host": _host,
    "calls": _calls, "messages": _messages, "fault": _fault,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _COMMANDS[arguments.command](arguments)
    except (AdminError, ConfigError, RecordSetError, daemon.DaemonError) as error:
        print(f"xapi-lab: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
