# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role container_host on a guest without Python: an sshd in a mount namespace of its own, with a real engine and a
supervisor of services that takes notes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

from .conftest import Daemon
from .sshd import run_sshd

pytestmark = pytest.mark.engine

FIREWALL_SCRIPT = Path(__file__).parents[3] / "roles/container_host/files/hardshell-firewall.sh"

# What a supervisor of services says and does, as far as the role asks; the last argument of all but rc-update is the service.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>{directory}/notes
for service; do :; done
case $1 in
    is-enabled) test -e {directory}/enabled-$service ;;
    is-active) test -e {directory}/started-$service ;;
    enable) touch {directory}/enabled-$service ;;
    disable) rm -f {directory}/enabled-$service {directory}/started-$service ;;
    show) echo {directory}/docker.service ;;
    start) touch {directory}/started-$service ;;
    restart)
        if test "$2" = docker && grep -q refused /etc/docker/daemon.json; then exit 1; fi
        test "$2" != hardshell-firewall || {firewall} || exit 1
        touch {directory}/started-$service
        ;;
esac
"""
RC_UPDATE = """#!/bin/sh
echo "update $*" >>{directory}/notes
case $* in
    "show default") for name in {directory}/enabled-*; do echo "  ${{name##*/enabled-}} | default"; done ;;
    "--quiet add "*) touch {directory}/enabled-$3 ;;
    "--quiet delete "*) rm -f {directory}/enabled-$3 ;;
esac
"""
RC_SERVICE = """#!/bin/sh
echo "service $*" >>{directory}/notes
case $2 in
    status) test -e {directory}/started-$1 ;;
    start | restart)
        test "$1" != hardshell-firewall || {firewall} || exit 1
        touch {directory}/started-$1
        ;;
esac
"""
FIREWALL = "sh /opt/hardshell/hardshell-firewall.sh apply /opt/hardshell/firewall"
# The guest's rules are those of the engine's network namespace, and not this machine's own.
IN_THE_GUEST = """#!/bin/sh
exec nsenter --net=/proc/{process}/ns/net {program} "$@"
"""
# What the role writes to must not be this machine's own.
START = """
for folder in /etc/docker /etc/systemd/system /etc/init.d /opt; do mkdir -p $folder && mount -t tmpfs tmpfs $folder || exit 1; done
echo '{"log-driver": "journald", "labels": ["kept=yes"]}' >/etc/docker/daemon.json
exec "$@"
"""
# A file that is not executable is no program.
HIDE = "! program=$(command -v {program}) || mount --bind /etc/passwd $(realpath $program) || exit 1\n"
HIDDEN = {"systemd": (), "openrc": ("systemctl",), "alpine": ("systemctl", "dockerd")}
# An engine that answers when it has been started.
STOPPED_DOCKER = """
test -e {directory}/started-docker || exit 1
exec {docker} "$@"
"""
PLAYBOOK = """
- hosts: guest
  gather_facts: false
  roles: [hardshell.xen.container_host]
"""


RULES = [
    {"sources": ["192.0.2.0/24", "2001:db8::/32"]},
    {"sources": ["0.0.0.0/0"], "ports": ["443", "8000-8010/udp"]},
]


class Guest:
    """The guest, and the role run on it."""

    def __init__(self, directory: Path, port: int, process: int) -> None:
        self._directory = directory
        self._root = Path(f"/proc/{process}/root")
        self._inventory = {
            "all": {
                "hosts": {
                    "guest": {
                        "ansible_host": "127.0.0.1",
                        "ansible_port": port,
                        "ansible_user": "root",
                        "ansible_ssh_private_key_file": str(directory / "client"),
                        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
                        "ansible_python_interpreter": "/no/python/in/this/guest",
                    }
                }
            }
        }

    def converge(self, *flags: str, **variables: t.Any) -> tuple[int, str]:
        """The number of changed tasks, or -1 for a run that failed; and the output."""
        self._inventory["all"]["hosts"]["guest"].update(variables)
        (self._directory / "inventory.json").write_text(json.dumps(self._inventory))
        (self._directory / "play.yml").write_text(PLAYBOOK)
        command = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(self._directory / "inventory.json"),
        ]
        environment = {
            **os.environ,
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._directory / "cp"),
            "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=5s",
        }
        done = subprocess.run(
            [*command, *flags, str(self._directory / "play.yml")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        output = done.stdout + done.stderr
        counted = re.search(r"changed=(\d+)", output)
        assert counted, output
        return (int(counted[1]) if done.returncode == 0 else -1), output

    def daemon_json(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", json.loads((self._root / "etc/docker/daemon.json").read_text()))

    def text(self, path: str) -> str:
        return (self._root / path).read_text()

    def has(self, path: str) -> bool:
        return (self._root / path).exists()

    def flush(self) -> None:
        subprocess.run([str(self._directory / "bin/iptables"), "-t", "mangle", "-F"], check=True)

    def told(self) -> list[str]:
        """What the supervisor of services was told to do since the last time."""
        notes = self._directory / "notes"
        found = notes.read_text().splitlines() if notes.exists() else []
        notes.write_text("")
        return [
            line
            for line in found
            if not line.startswith(("is-", "show", "update show")) and not line.endswith(" status")
        ]


@pytest.fixture(params=["systemd"])
def guest(daemon: Daemon, tmp_path: Path, request: pytest.FixtureRequest) -> t.Iterator[Guest]:
    if not shutil.which("docker"):
        pytest.skip("needs Docker's command line")
    (tmp_path / "bin").mkdir()
    openrc = request.param in ("openrc", "alpine")
    for name, text in (
        {"rc-update": RC_UPDATE, "rc-service": RC_SERVICE}.items() if openrc else [("systemctl", SYSTEMCTL)]
    ):
        (tmp_path / "bin" / name).write_text(text.format(directory=tmp_path, firewall=FIREWALL))
    for name in ("iptables", "iptables-restore", "ip6tables", "ip6tables-restore"):
        program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
        (tmp_path / "bin" / name).write_text(IN_THE_GUEST.format(process=daemon.pid, program=program))
    for stand_in in (tmp_path / "bin").iterdir():
        stand_in.chmod(0o755)
    environment = f'DOCKER_HOST=unix://{daemon.socket} "PATH={tmp_path}/bin:{os.environ["PATH"]}"'
    hidden = "".join(HIDE.format(program=program) for program in HIDDEN[request.param])
    within = ["unshare", "--mount", "sh", "-c", hidden + START, "sh"]
    with run_sshd(tmp_path, within=within, SetEnv=environment) as server:
        yield Guest(tmp_path, server.port, server.process)
    clear = ["nsenter", f"--net=/proc/{daemon.pid}/ns/net", str(FIREWALL_SCRIPT), "clear"]
    subprocess.run(clear, check=True)


def test_a_guest_without_python_is_converged(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS\n")
    given = {
        "container_host_tls": True,
        "container_host_tls_dir": str(tmp_path / "acme"),
        "container_host_tls_names": ["192.0.2.7", "shop.example"],
    }
    announced, _output = guest.converge("--check", **given)
    assert announced > 0
    assert guest.daemon_json() == {"log-driver": "journald", "labels": ["kept=yes"]}
    assert not guest.has("opt/hardshell")
    assert not (tmp_path / "acme").exists()
    assert guest.told() == []

    changed, output = guest.converge()
    assert changed > 0, output
    assert guest.daemon_json() == {"log-driver": "journald", "labels": ["kept=yes"], "live-restore": True}
    assert guest.has("opt/hardshell/hardshell-fate.sh")
    assert guest.has("etc/systemd/system/hardshell-fate.service")
    engine_listens_for_the_tenant_alone(guest, tmp_path)
    assert guest.told() == [
        "reload docker",
        "restart docker",
        "daemon-reload",
        "restart docker",
        "daemon-reload",
        "enable --quiet hardshell-fate",
        "restart hardshell-fate",
    ]
    changed, output = guest.converge()
    assert changed == 0
    assert "fate.yml" not in output, "what one look tells was asked for again"
    assert guest.told() == []

    authority = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    more = {
        "container_host_registry_mirrors": ["https://mirror.example"],
        "container_host_registry_cas": {"registry.example:5000": authority},
        "container_host_fate": False,
        "container_host_tls": False,
        "container_host_firewall": RULES,
    }
    guest.told()
    # The rules, their service, the configuration, its restart, the authority, the closed port, the service of the fate.
    assert guest.converge(**more)[0] == 7
    assert guest.told()[:3] == ["daemon-reload", "enable --quiet hardshell-firewall", "restart hardshell-firewall"]
    assert guest.text("opt/hardshell/firewall").splitlines() == [
        "192.0.2.0/24 any any",
        "2001:db8::/32 any any",
        "0.0.0.0/0 tcp 443",
        "0.0.0.0/0 udp 8000:8010",
    ]
    assert guest.daemon_json()["userland-proxy"] is False
    assert guest.daemon_json()["registry-mirrors"] == ["https://mirror.example"]
    assert guest.has("etc/docker/certs.d/registry.example:5000/ca.crt")
    assert not guest.has("opt/hardshell/hardshell-fate.sh")
    assert not guest.has("etc/systemd/system/docker.service.d/hardshell-tls.conf")


@pytest.mark.parametrize("guest", ["openrc"], indirect=True)
def test_a_guest_with_openrc_has_the_same_services(guest: Guest) -> None:
    changed, output = guest.converge(container_host_firewall=RULES)
    assert changed > 0, output
    assert guest.told() == [
        "update --quiet add hardshell-firewall default",
        "service hardshell-firewall restart",
        "service docker reload",
        "service docker restart",
        "update --quiet add hardshell-fate default",
        "service hardshell-fate restart",
    ]
    assert guest.text("etc/init.d/hardshell-fate").startswith("#!/sbin/openrc-run")
    assert guest.text("etc/init.d/hardshell-firewall").startswith("#!/sbin/openrc-run")
    assert guest.converge()[0] == 0
    # Somebody takes the rules away behind the back of the service.
    guest.told()
    guest.flush()
    assert guest.converge("--check")[0] == 1
    assert guest.told() == []
    assert guest.converge()[0] == 1
    assert guest.told() == ["update --quiet add hardshell-firewall default", "service hardshell-firewall restart"]


def test_an_engine_that_is_there_is_started_and_not_installed(guest: Guest, tmp_path: Path) -> None:
    """As on a guest whose docker.service is not enabled, and whose user is not in the group of the engine."""
    for name, text in {
        "docker": STOPPED_DOCKER,
        "id": "echo users",
        "usermod": 'echo "$*" >>{directory}/notes',
    }.items():
        (tmp_path / "bin" / name).write_text(
            "#!/bin/sh\n" + text.format(directory=tmp_path, docker=shutil.which("docker"))
        )
        (tmp_path / "bin" / name).chmod(0o755)
    given = {
        "container_host_user": "shop",
        "container_host_packages": ["no-such-package"],
        "container_host_fate": False,
    }
    announced, output = guest.converge("--check", **given)
    assert announced > 0, output
    assert guest.told() == []
    changed, output = guest.converge()
    assert changed > 0, output
    assert guest.told()[:4] == [
        "daemon-reload",
        "enable --quiet docker",
        "start docker",
        "--append --groups docker shop",
    ]
    assert guest.converge()[0] == 0


@pytest.mark.parametrize("guest", ["alpine"], indirect=True)
def test_alpine_installs_an_engine_without_python(guest: Guest, tmp_path: Path) -> None:
    for name, text in {"docker": STOPPED_DOCKER, "apk": 'echo "apk $*" >>{directory}/notes'}.items():
        (tmp_path / "bin" / name).write_text(
            "#!/bin/sh\n" + text.format(directory=tmp_path, docker=shutil.which("docker"))
        )
        (tmp_path / "bin" / name).chmod(0o755)
    announced, output = guest.converge("--check", container_host_fate=False)
    assert announced > 0, output
    assert guest.told() == []
    changed, output = guest.converge()
    assert changed > 0, output
    assert guest.told()[:3] == ["apk add --quiet docker", "update --quiet add docker default", "service docker start"]
    assert guest.converge()[0] == 0


def test_an_engine_that_does_not_answer_is_said_so(guest: Guest, tmp_path: Path) -> None:
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\necho 'no permission for the socket' >&2\nexit 1\n")
    (tmp_path / "bin" / "docker").chmod(0o755)
    changed, output = guest.converge(container_host_user="root")
    assert changed == -1, output
    assert "does not answer root: no permission for the socket" in " ".join(output.split()), output
    assert guest.daemon_json() == {"log-driver": "journald", "labels": ["kept=yes"]}


def test_rules_that_cannot_be_meant_are_refused_before_anything_is_changed(guest: Guest) -> None:
    changed, output = guest.converge(container_host_firewall=[{"sources": ["192.0.2.0/24"], "ports": ["http"]}])
    assert changed == -1, output
    assert "ports are as in 443" in output
    assert guest.told() == []


def engine_listens_for_the_tenant_alone(guest: Guest, folder: Path) -> None:
    assert guest.text("etc/systemd/system/docker.service.d/hardshell-tls.conf").splitlines()[1:] == [
        "[Service]",
        "ExecStart=",
        "ExecStart=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS --host=tcp://0.0.0.0:2376 --tlsverify --tlscacert=/etc/docker/tls/ca.pem "
        "--tlscert=/etc/docker/tls/cert.pem --tlskey=/etc/docker/tls/key.pem",
    ]
    (folder / "found.pem").write_text(guest.text("etc/docker/tls/cert.pem"))
    shown = ["openssl", "x509", "-in", str(folder / "found.pem"), "-noout", "-ext", "subjectAltName"]
    names = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    assert "IP Address:192.0.2.7, DNS:shop.example" in names
    # The engine's key is in the guest alone.
    key = guest.text("etc/docker/tls/key.pem")
    assert not [path for path in (folder / "acme").iterdir() if key in path.read_text()]


def test_an_engine_that_does_not_start_with_its_new_configuration_gets_the_old_one_back(guest: Guest) -> None:
    before = guest.daemon_json()
    changed, output = guest.converge(container_host_daemon={"refused": True})
    assert changed == -1, output
    assert "has its old one back" in output
    assert guest.daemon_json() == before
