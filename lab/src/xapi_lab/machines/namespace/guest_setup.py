# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What runs once in a booting guest: its own identity, and its configuration, as cloud-init would set it.

It works on the guest's own root, in a child of process 1. ``config`` is a CloudConfig as plain data, None when the guest
has no config drive; what belongs to one instance is done once for each instance id.
"""

from __future__ import annotations

import base64
import json
import os
import pwd
import socket
import subprocess
import sys
import uuid as uuids
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from . import syscalls
from .loop import ENVIRONMENT
from .services import SYSTEMCTL

INSTANCE = Path("/var/lib/cloud/data/instance-id")
RESULT = Path("/run/cloud-init/result.json")

_SSHD_CONFIG = """\
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""
_POWER_SCRIPT = """\
#!/bin/sh
# Process 1 of this guest knows systemd's signals: 38 (RTMIN+4) switches off, 39 (RTMIN+5) restarts.
case "${0##*/} $*" in
reboot*|*" -r"*|*"--reboot"*) exec kill -39 1 ;;
*) exec kill -38 1 ;;
esac
"""
_CLOUD_INIT_SCRIPT = """\
#!/bin/sh
# Answers as cloud-init does for what this guest's process 1 has set up from its config drive.
case "$*" in
status*--wait*) while [ ! -e /run/cloud-init/result.json ]; do sleep 0.1; done ;;
status*) ;;
*) echo "usage: cloud-init status [--wait] [--long]" >&2; exit 2 ;;
esac
if [ ! -e /run/cloud-init/result.json ]; then echo "status: running"; exit 0; fi
cat /run/cloud-init/status
! grep -q '^status: error' /run/cloud-init/status
"""


def before_services(name: str, config: Mapping[str, Any] | None) -> list[str]:
    """Set all up that sshd needs. Returns what went wrong, in words for a person."""
    problems = Problems()
    config = config or {}
    new = bool(config) and _is_new_instance(config["instance_id"])
    for directory in ("/run/sshd", "/run/lock", "/run/cloud-init"):
        Path(directory).mkdir(parents=True, exist_ok=True)
    _own_identity(config.get("hostname") or _hostname_of(name))
    _own_boot_id()
    _own_programs()
    run(["groupadd", "--force", "docker"])
    problems.collect("network", _network, config.get("addresses", {}))
    for command in config.get("bootcmd", ()):
        problems.collect("bootcmd", run, command)
    if new:
        problems.collect("ssh_keys", _host_keys, config["host_keys"])
        for file in config["files"]:
            if not file["defer"]:
                problems.collect("write_files", _write, file)
        for user in config["users"]:
            problems.collect(f"user {user['name']}", _user, user)
        for file in config["files"]:
            if file["defer"]:
                problems.collect("write_files", _write, file)
    if not list(Path("/etc/ssh").glob("ssh_host_*_key")):
        key = "/etc/ssh/ssh_host_ed25519_key"
        problems.collect("ssh_keys", run, ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    return problems.found


def after_services(config: Mapping[str, Any] | None, problems: list[str]) -> None:
    """Run the commands of a new instance, and say that all is done."""
    config = config or {}
    found = Problems(problems)
    if config and _is_new_instance(config["instance_id"]):
        for command in config["runcmd"]:
            found.collect("runcmd", run, command)
        if config["script"]:
            found.collect("user-data", _script, base64.b64decode(config["script"]))
        INSTANCE.parent.mkdir(parents=True, exist_ok=True)
        INSTANCE.write_text(config["instance_id"])
    lines = [f"status: {'error' if found.found else 'done' if config else 'disabled'}"]
    lines += ["detail:", "DataSourceNoCloud" if config else "no config drive"]
    lines += ["errors:", *(f"  - {problem}" for problem in found.found)] if found.found else []
    RESULT.with_name("status").write_text("\n".join(lines) + "\n")
    RESULT.write_text(json.dumps({"v1": {"datasource": "DataSourceNoCloud", "errors": found.found}}) + "\n")


class Problems:
    """What went wrong so far; one failed part does not keep the others from being set up."""

    def __init__(self, found: Iterable[str] = ()) -> None:
        self.found = list(found)

    def collect(self, what: str, work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            self.found.append(f"{what}: {error}")
            print(f"cloud-init: {what}: {error}", file=sys.stderr, flush=True)


def run(command: Any, stdin: str = "") -> None:
    """Run a list of words, or a line for sh; its output goes to the console."""
    words = [str(word) for word in command] if isinstance(command, (list, tuple)) else ["/bin/sh", "-c", str(command)]
    subprocess.run(words, check=True, input=stdin.encode(), stdout=2, env=ENVIRONMENT, cwd="/")


def _is_new_instance(instance: str) -> bool:
    return not INSTANCE.exists() or INSTANCE.read_text() != instance


def _hostname_of(name: str) -> str:
    """A host name from a VM's name: letters, digits and hyphens (RFC 1123)."""
    return (
        "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-")[:63] or "guest"
    )


def _own_identity(hostname: str) -> None:
    short = hostname.partition(".")[0]
    names = hostname if short == hostname else f"{hostname} {short}"
    socket.sethostname(short)
    _put("/etc/hostname", f"{short}\n")
    _put("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {names}\n::1 localhost ip6-localhost ip6-loopback\n")
    for path, content in (
        ("/etc/machine-id", f"{uuids.uuid4().hex}\n"),
        ("/etc/ssh/sshd_config", _SSHD_CONFIG),
        ("/etc/docker/daemon.json", "{}\n"),
        ("/etc/resolv.conf", ""),
    ):
        marker = Path("/var/lib/cloud/own") / Path(path).name
        if not marker.exists():
            _put(path, content)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()


def _own_boot_id() -> None:
    """A boot id of this guest's own, by which tools notice that it has restarted (random(4))."""
    place = "/proc/sys/kernel/random/boot_id"
    if not os.path.ismount(place):
        Path("/run/boot_id").touch()
        syscalls.mount("/run/boot_id", place, flags=syscalls.MS_BIND)
    Path(place).write_text(f"{uuids.uuid4()}\n")


def _own_programs() -> None:
    for name in ("poweroff", "halt", "reboot", "shutdown"):
        _put(f"/usr/sbin/{name}", _POWER_SCRIPT, 0o755)
    _put("/usr/bin/cloud-init", _CLOUD_INIT_SCRIPT, 0o755)
    _put("/usr/bin/systemctl", SYSTEMCTL, 0o755)


def _put(path: str, content: str, mode: int = 0o644) -> None:
    """Write a file in the place of what is there, which may be a link to this machine's."""
    if os.path.lexists(path):
        os.unlink(path)
    Path(path).write_text(content)
    os.chmod(path, mode)


def _network(addresses: Mapping[str, Iterable[str]]) -> None:
    devices = {path.read_text().strip(): path.parent.name for path in Path("/sys/class/net").glob("*/address")}
    lines = [
        line.replace("DEV", devices[mac]) for mac, wanted in addresses.items() if mac in devices for line in wanted
    ]
    if lines:
        run(["ip", "-batch", "-"], "\n".join(lines) + "\n")


def _host_keys(keys: Mapping[str, str]) -> None:
    for old in Path("/etc/ssh").glob("ssh_host_*_key*"):
        old.unlink()
    for name, content in keys.items():
        path = Path("/etc/ssh") / Path(name).name
        path.touch(mode=0o644 if name.endswith(".pub") else 0o600)
        path.write_text(content)


def _write(file: Mapping[str, Any]) -> None:
    path = Path(file["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    content = base64.b64decode(file["content"])
    with path.open("ab" if file["append"] else "wb") as opened:
        opened.write(content)
    path.chmod(file["mode"])
    run(["chown", file["owner"], str(path)])


def _user(user: Mapping[str, Any]) -> None:
    name = user["name"]
    for group in user["groups"]:
        run(["groupadd", "--force", group])
    options: list[str] = ["--shell", user["shell"], "--password", user["password_hash"]]
    options += ["--comment", user["gecos"]] if user["gecos"] else []
    options += ["--groups", ",".join(user["groups"])] if user["groups"] else []
    options += ["--gid", user["primary_group"]] if user["primary_group"] else []
    if _exists(name):
        run(["usermod", *(["--append"] if user["groups"] else []), *options, name])
    else:
        options += ["--uid", user["uid"]] if user["uid"] else []
        options += ["--home-dir", user["home"]] if user["home"] else []
        run(["useradd", "--system" if user["system"] else "--create-home", *options, name])
    if user["sudo"]:
        Path("/etc/sudoers.d").mkdir(mode=0o750, exist_ok=True)
        rules = Path("/etc/sudoers.d/90-cloud-init-users")
        before = rules.read_text() if rules.exists() else ""
        added = [line for line in user["sudo"] if line not in before.splitlines()]
        rules.write_text(before + "".join(f"{line}\n" for line in added))
        rules.chmod(0o440)
    if user["authorized_keys"]:
        _authorize(name, user["authorized_keys"])


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _authorize(name: str, keys: Iterable[str]) -> None:
    entry = pwd.getpwnam(name)
    folder = Path(entry.pw_dir) / ".ssh"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "authorized_keys"
    known = file.read_text().splitlines() if file.exists() else []
    file.write_text("".join(f"{key}\n" for key in dict.fromkeys([*known, *keys])))
    file.chmod(0o600)
    for path in (folder, file):
        os.chown(path, entry.pw_uid, entry.pw_gid)


def _script(content: bytes) -> None:
    path = Path("/var/lib/cloud/user-script")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o700)
    run([str(path)])
