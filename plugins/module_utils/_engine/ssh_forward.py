# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""One connection of OpenSSH's own client that carries a task's whole traffic: the engine's socket, forwarded to a socket of ours.

OpenSSH and not a library: the user's configuration, agent, jump hosts and hardware keys work as they do everywhere else. Measured: 180 ms once,
then 1 to 2 ms a request; a process for each request costs 145 to 370 ms. See ssh(1), ssh_config(5).
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import typing as t
import urllib.parse

from .._errors import HardshellError, OptionError

ENGINE_SOCKET = "/var/run/docker.sock"
_HOST_KEY = re.compile(r"(?:ssh-|ecdsa-|sk-)[A-Za-z0-9@.-]+ [A-Za-z0-9+/]+={0,3}(?: .*)?")
# Runs a program that ends with the process that started it, also when that is killed. Linux only; elsewhere it just runs the program.
_ENDS_WITH_ITS_PARENT = """\
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1  # linux/prctl.h
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""
_KEEPALIVE = ("ServerAliveInterval=10", "ServerAliveCountMax=3")


class SshForward:
    """A running ``ssh -N -L``. A context manager; ``path`` is the local socket, in a directory of our own (mode 0700)."""

    def __init__(
        self,
        destination: str,
        port: int | None,
        engine_socket: str,
        options: t.Sequence[str],
        key: str | None,
        host_key: str | None,
        timeout: int,
    ) -> None:
        self._destination = destination
        self._port = port
        self._engine_socket = engine_socket
        self._options = list(options)
        self._key = key
        self._host_key = host_key
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._directory = ""
        self._complaints = ""

    @classmethod
    def from_parameters(cls, parameters: t.Mapping[str, t.Any]) -> SshForward:
        host, key = parameters["docker_host"], parameters["docker_ssh_key"]
        target = urllib.parse.urlsplit(host)
        try:
            port = target.port
        except ValueError:
            raise OptionError("docker_host", host, "its port is not a number from 1 to 65535") from None
        name = target.hostname or ""
        if not name or name.startswith("-") or (target.username or "").startswith("-") or target.password is not None:
            raise OptionError("docker_host", host, "write ssh://user@host:port, without a password")
        if key and not os.access(key, os.R_OK):
            raise OptionError("docker_ssh_key", key, "there is no such file, or it cannot be read")
        host_key = parameters["docker_ssh_host_key"]
        if host_key and not _HOST_KEY.fullmatch(host_key.strip()):
            raise OptionError(
                "docker_ssh_host_key", host_key, "write one line of a public host key, such as ssh-ed25519 AAAA..."
            )
        for index, option in enumerate(parameters["docker_ssh_options"]):
            if not re.match(r"[A-Za-z]+[= ].", option):
                raise OptionError(
                    f"docker_ssh_options[{index}]",
                    option,
                    "write an option of ssh_config(5), as ProxyJump=gateway.example",
                )
        destination = f"{target.username}@{name}" if target.username else name
        socket_path = target.path if target.path not in ("", "/") else ENGINE_SOCKET
        return cls(
            destination,
            port,
            socket_path,
            parameters["docker_ssh_options"],
            key,
            host_key,
            parameters["docker_timeout"],
        )

    @property
    def path(self) -> str:
        return os.path.join(self._directory, "engine.sock")

    def __enter__(self) -> SshForward:
        if shutil.which("ssh") is None:
            raise HardshellError(
                "docker_host: an ssh:// engine needs the OpenSSH client, and there is no program ssh here; install it"
            )
        # The path of a socket may be 107 bytes long: TMPDIR may be longer than that allows.
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"
        self._directory = tempfile.mkdtemp(prefix="hardshell-", dir=base)
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()

    def explain(self) -> str:
        """Why the way is closed, or "" when it is not ssh's doing."""
        if self._process is None or self._process.poll() is None:
            return self._translate(self._said())
        return self._translate(self._said()) or f"ssh ended with status {self._process.returncode}"

    def revive(self) -> None:
        """Start ssh again when it has ended."""
        if self._process is not None and self._process.poll() is not None:
            self._stop()
            self._open()

    def command(self) -> list[str]:
        """The ssh command line. No secret is on it: the key is named by its path."""
        settings = [
            "BatchMode=yes",
            "ControlMaster=no",
            "ControlPath=none",
            "ExitOnForwardFailure=yes",
            "StreamLocalBindUnlink=yes",
            "StreamLocalBindMask=0177",
            "ClearAllForwardings=no",
            "RequestTTY=no",
            "LogLevel=INFO",
            f"ConnectTimeout={self._timeout}",
            *_KEEPALIVE,
        ]
        if self._host_key:
            settings += [
                f"UserKnownHostsFile={self._known_hosts}",
                "GlobalKnownHostsFile=none",
                "HostKeyAlias=pinned",
                "UpdateHostKeys=no",
                "VerifyHostKeyDNS=no",
                "KnownHostsCommand=none",
                f"HostKeyAlgorithms={_algorithms(self._host_key)}",
            ]
        settings.append("StrictHostKeyChecking=yes")
        if self._key:
            settings += [f"IdentityFile={_quoted(self._key)}", "IdentitiesOnly=yes", "IdentityAgent=none"]
        # The first value of an option counts: what the user asks for comes first, except where it would undo the verification.
        protected = {name.partition("=")[0].lower() for name in settings if self._host_key or "HostKey" in name}
        asked = [option for option in self._options if re.split(r"[= ]", option)[0].lower() not in protected]
        flags = [part for setting in (*asked, *settings) for part in ("-o", setting)]
        port = ["-p", str(self._port)] if self._port else []
        return ["ssh", "-N", "-T", *flags, *port, "-L", f"{self.path}:{self._engine_socket}", "--", self._destination]

    @property
    def _known_hosts(self) -> str:
        return os.path.join(self._directory, "known_hosts")

    @property
    def _stderr(self) -> str:
        return os.path.join(self._directory, "stderr")

    def _open(self) -> None:
        if self._host_key:
            with open(self._known_hosts, "w", encoding="ascii") as known:
                known.write(f"pinned {self._host_key.strip()}\n")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        with open(self._stderr, "wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _ENDS_WITH_ITS_PARENT, str(os.getpid()), *self.command()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        self._wait_until_open()

    def _wait_until_open(self) -> None:
        """Return when the engine answers through the socket, which ssh makes once it has logged in."""
        assert self._process is not None
        deadline = time.monotonic() + self._timeout + 5
        problem: OSError | http.client.HTTPException | None = None
        while not os.path.exists(self.path) or isinstance(problem := self._ping(), ConnectionRefusedError):
            # ssh binds its socket and listens on it in two steps: until the second it refuses.
            try:
                self._process.wait(0.01)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise HardshellError(
                        f"docker_host: {self._destination} did not answer within {self._timeout} s (docker_timeout)"
                    ) from None
                continue
            raise HardshellError(f"docker_host: no connection to {self._destination}: {self.explain()}")
        if problem is not None:
            # ssh writes down why the other end closed the channel just after closing ours.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.2)
            said = self._translate(self._said()) or str(problem) or type(problem).__name__
            raise HardshellError(f"docker_host: no engine at {self._destination}:{self._engine_socket}: {said}")

    def _ping(self) -> OSError | http.client.HTTPException | None:
        connection = http.client.HTTPConnection("engine", timeout=self._timeout)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(self._timeout)
        try:
            connection.sock.connect(self.path)
            connection.request("GET", "/_ping")
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return error
        finally:
            connection.close()
        return None if status == 200 else http.client.HTTPException(f"HTTP status {status}")

    def _said(self) -> str:
        try:
            with open(self._stderr, encoding="utf-8", errors="replace") as said:
                return said.read().strip()
        except FileNotFoundError:
            return self._complaints

    def _translate(self, said: str) -> str:
        """What ssh said, and what to do about it."""
        if not said:
            return ""
        last = " ".join(said.split())[-600:]
        for sign, advice in _ADVICE:
            if re.search(sign, said):
                return f"{advice.format(socket=self._engine_socket, host=self._destination)} (ssh: {last})"
        return last

    def _stop(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None

    def _close(self) -> None:
        self._stop()
        self._complaints = self._said()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)


_ADVICE = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed|No .* host key is known",
        "the host key is not the one that is pinned or known: this is another machine, or its key is new; compare docker_ssh_host_key with the VM's",
    ),
    (
        r"no matching host key type|Unable to negotiate",
        "the machine does not offer the kind of host key that is pinned; compare docker_ssh_host_key with the VM's own",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "the login was refused; see docker_ssh_key, the user in docker_host and the VM's authorized_keys",
    ),
    (
        r"administratively prohibited|forwarding is disabled|open failed: unknown channel type",
        "the VM's sshd does not allow the forwarding of sockets; set AllowStreamLocalForwarding yes there",
    ),
    (
        # sshd does not tell which of the two it is.
        r"open failed: connect failed",
        "nothing answers at {socket}, or the user may not use it: is Docker Engine installed and running in the VM (systemctl status docker), "
        "and is the user root or in the group docker?",
    ),
    (r"Could not resolve hostname", "the name is not known; see docker_host"),
    (r"Connection refused", "nothing listens there; is the VM up, and is sshd running? See docker_host"),
    (
        r"timed out|No route to host|Network is unreachable",
        "the machine cannot be reached; is the VM up? See docker_host",
    ),
)


def _algorithms(host_key: str) -> str:
    """The signature algorithms of a pinned key: one type of key may sign in several ways."""
    kind = host_key.split()[0]
    return "rsa-sha2-512,rsa-sha2-256" if kind == "ssh-rsa" else kind


def _quoted(path: str) -> str:
    """A path for ssh_config, where a % begins a token and a space ends a word."""
    return '"' + path.replace("%", "%%") + '"'
