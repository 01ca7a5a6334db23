# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""One service of a Compose model as one container of ``container_set``.

The service has passed ``check`` and is in canonical form. Each value is checked by the parser of the option it becomes, under the path that the
user wrote, so that messages speak of the Compose file.
"""

from __future__ import annotations

import json
import re
import typing as t

from ..._errors import OptionError
from .. import parsers
from ..namespaces import WITHOUT_OWN_NETWORK, mode
from ..options import BY_NAME
from ..references import parse_reference
from .beside import Beside
from .devices import blkio, device_requests, devices
from .env_file import parse_env_file
from .interpolate import Variables
from .load import Loader, absolute
from .ports import ports
from .volumes import volumes

JSON = dict[str, t.Any]

# Keys that mean the same under another name or the same one.
_RENAMED = {
    "cpu_shares": "cpu_shares",
    "cpus": "cpus",
    "cpuset": "cpuset",
    "cgroup": "cgroupns_mode",
    "device_cgroup_rules": "device_cgroup_rules",
    "dns": "dns",
    "dns_opt": "dns_opt",
    "dns_search": "dns_search",
    "domainname": "domainname",
    "group_add": "group_add",
    "hostname": "hostname",
    "init": "init",
    "ipc": "ipc_mode",
    "logging": "log",
    "mem_limit": "memory",
    "mem_reservation": "memory_reservation",
    "memswap_limit": "memory_swap",
    "oom_score_adj": "oom_score_adj",
    "pid": "pid_mode",
    "pids_limit": "pids_limit",
    "privileged": "privileged",
    "read_only": "read_only",
    "runtime": "runtime",
    "shm_size": "shm_size",
    "stdin_open": "stdin_open",
    "stop_grace_period": "stop_grace_period",
    "stop_signal": "stop_signal",
    "sysctls": "sysctls",
    "tmpfs": "tmpfs",
    "tty": "tty",
    "ulimits": "ulimits",
    "user": "user",
    "userns_mode": "userns_mode",
    "uts": "uts_mode",
    "working_dir": "working_dir",
}
# What an option of a container is called in a Compose file, where that is not the same.
KEY_OF_OPTION = {option: key for key, option in _RENAMED.items() if option != key}
_PULL = {
    "missing": "missing",
    "if_not_present": "missing",
    "build": "missing",
    "always": "always",
    "daily": "always",
    "weekly": "always",
    "never": "never",
}
_EVERY = re.compile(r"every_[0-9]+.*")
# A limit of 0 is none, and so is one of -1 where the kernel counts that way.
_NO_LIMIT: dict[str, tuple[str, ...]] = {
    "cpu_shares": ("0",),
    "cpus": ("0", "0.0", "0.00", "0.000"),
    "memory": ("0",),
    "memory_reservation": ("0",),
    "memory_swap": ("0",),
    "pids_limit": ("0", "-1"),
    "shm_size": ("0",),
}
_RESTART_CONDITIONS = {
    "none": "no",
    "no": "no",
    "on-failure": "on-failure",
    "any": "always",
    "always": "always",
    "unless-stopped": "unless-stopped",
}


class Services:
    """Translates the services of one model. ``directory`` is where relative paths start, None for a document given inline."""

    def __init__(
        self,
        loader: Loader,
        variables: Variables,
        directory: str | None,
        declared_volumes: t.Collection[str],
        beside: Beside,
        sockets: t.Container[str] = (),
    ) -> None:
        self._loader = loader
        self._variables = variables
        self._directory = directory
        self._declared_volumes = declared_volumes
        self._beside = beside
        self._sockets = sockets
        self.warnings: list[str] = []

    def container(self, name: str, service: JSON) -> JSON:
        """The service as a value of ``containers``, without its links and networks."""
        path = f"services.{name}"
        given = {key: value for key, value in service.items() if value is not None}
        if given.get("build") and "image" not in given:
            expected = "images are built elsewhere: build this one, push it or give its archive under images, and name it as image"
            raise OptionError(f"{path}.build", None, expected)
        if "image" not in given:
            raise OptionError(f"{path}.image", None, "every service needs an image, such as redis:7")
        if given.get("build"):
            self.warnings.append(f"{path}.build: nothing is built; {given['image']} is taken as it is")
        parse_reference(f"{path}.image", given["image"])
        found: JSON = {"image": given["image"], **_restart(path, given), **self._command(path, given)}
        for key, option in _RENAMED.items():
            if key in given:
                _add(found, option, f"{path}.{key}", _WRITTEN.get(key, _as_it_is)(given[key]))
        _add_deploy(found, f"{path}.deploy", given.get("deploy") or {})
        _add(found, "environment", f"{path}.environment", self._environment(path, given))
        _add(found, "labels", f"{path}.labels", self._labels(path, given))
        _add(found, "healthcheck", f"{path}.healthcheck", _healthcheck(path, given.get("healthcheck") or {}))
        _add(found, "blkio", f"{path}.blkio_config", blkio(path, given.get("blkio_config") or {}))
        _add(found, "devices", f"{path}.devices", devices(path, given.get("devices") or []))
        _add(found, "device_requests", f"{path}.devices", device_requests(path, given))
        _add(found, "extra_hosts", f"{path}.extra_hosts", _extra_hosts(path, given.get("extra_hosts") or []))
        for key in ("cap_add", "cap_drop"):
            if given.get(key):
                parsers.capabilities(f"{path}.{key}", given[key])
                found[key] = given[key]
        if given.get("ports"):
            found["ports"] = ports(f"{path}.ports", given["ports"])
        if given.get("volumes"):
            allowed = name in self._sockets
            mounts = volumes(
                f"{path}.volumes", name, given["volumes"], self._declared_volumes, self._beside, socket_allowed=allowed
            )
            found.update({"volumes": mounts.volumes} if mounts.volumes else {})
            found.update({"files": mounts.files} if mounts.files else {})
            found.update({"engine_socket": True} if allowed else {})
            _add(found, "tmpfs", f"{path}.volumes", [*found.get("tmpfs", []), *mounts.tmpfs])
        found.update(_replicas(path, given))
        if given.get("network_mode") is not None:
            found["network_mode"] = mode(*WITHOUT_OWN_NETWORK)(f"{path}.network_mode", given["network_mode"])
        found.update(_pull(f"{path}.pull_policy", given.get("pull_policy")))
        _add(found, "annotations", f"{path}.annotations", _annotations(given.get("annotations") or {}))
        found.update(self._security(f"{path}.security_opt", given.get("security_opt") or []))
        return found

    def _command(self, path: str, given: JSON) -> JSON:
        found: JSON = {}
        for key in ("entrypoint", "command"):
            if key in given:
                parsers.words(f"{path}.{key}", given[key])
                found[key] = given[key]
        if "command" in found and not found["command"]:
            del found["command"]
            if not found.get("entrypoint"):
                self.warnings.append(
                    f"{path}.command: for an empty one the engine takes the image's; give an entrypoint to have none"
                )
        return found

    def _environment(self, path: str, given: JSON) -> JSON:
        own = given.get("environment") or {}
        set_here = {key: scalar_text(value) for key, value in own.items() if isinstance(value, (str, int, float))}
        lookup = self._variables.over(set_here)
        found: JSON = {}
        for index, item in enumerate(given.get("env_file") or []):
            option = f"{path}.env_file[{index}]"
            entry = item if isinstance(item, dict) else {"path": item}
            file_format = entry.get("format")
            if file_format not in (None, "", "raw"):
                raise OptionError(f"{option}.format", file_format, "write raw, or leave it out")
            if not parsers.boolean(f"{option}.required", entry.get("required", True)):
                text = self._loader.optional_text(entry["path"])
            else:
                text = self._loader.text(option, entry["path"])
            if text is not None:
                found.update(parse_env_file(entry["path"], text, lookup.over(found), raw=file_format == "raw"))
        for key, value in own.items():
            # A name without a value that nothing sets is taken out, of the env files' variables too.
            found[key] = scalar_text(value)
        return {key: value for key, value in found.items() if value is not None}

    def _labels(self, path: str, given: JSON) -> JSON:
        found: JSON = {}
        for index, item in enumerate(given.get("label_file") or []):
            text = self._loader.text(f"{path}.label_file[{index}]", item)
            found.update(parse_env_file(item, text, self._variables))
        found.update({key: scalar_text(value) for key, value in (given.get("labels") or {}).items()})
        for key in found:
            if key.startswith("com.docker.compose"):
                raise OptionError(f"{path}.labels.{key}", key, "labels that begin so are the compose program's own")
        return found

    def _security(self, path: str, given: t.Any) -> JSON:
        found: JSON = {}
        settings: list[str] = []
        for index, item in enumerate(parsers.texts(path, given)):
            option = f"{path}[{index}]"
            separator = "=" if "=" in item else ":"
            key, _separator, value = item.partition(separator)
            if key == "no-new-privileges":
                found["no_new_privileges"] = parsers.boolean(option, value or True)
                continue
            if key == "seccomp" and value not in ("unconfined", "builtin"):
                value = self._seccomp(option, value)
            settings += parsers.security_options(option, [f"{key}={value}"])
        return {**found, "security_opt": settings} if settings else found

    def _seccomp(self, option: str, value: str) -> str:
        text = self._loader.text(option, absolute(option, value, self._directory))
        try:
            return json.dumps(json.loads(text), separators=(",", ":"))
        except ValueError as error:
            raise OptionError(option, value, f"the profile is not JSON ({error})") from None


def scalar_text(value: t.Any) -> t.Any:
    """A number or a truth value as Compose writes it into a text; None, and what is neither, as they are."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    return str(value) if isinstance(value, int) else value


def _add(found: JSON, option: str, path: str, value: t.Any) -> None:
    """Set an option, checked; an empty value and a limit that is none ask for nothing."""
    if value in ("", [], {}) or str(value) in _NO_LIMIT.get(option, ()):
        return
    parse = BY_NAME[option].parse
    assert parse is not None
    parse(path, value)
    found[option] = value


def _restart(path: str, given: JSON) -> JSON:
    policy = (given.get("deploy") or {}).get("restart_policy")
    if policy is None:
        return {"restart": parsers.restart_policy(f"{path}.restart", given.get("restart", "no"))}
    option = f"{path}.deploy.restart_policy"
    condition = policy.get("condition", "any")
    name = _RESTART_CONDITIONS.get("no" if condition is False else str(condition))
    if name is None:
        raise OptionError(f"{option}.condition", condition, "write none, on-failure or any")
    attempts = policy.get("max_attempts")
    if attempts is None:
        return {"restart": name}
    if name != "on-failure":
        raise OptionError(f"{option}.max_attempts", attempts, "the engine counts attempts with on-failure only")
    return {"restart": f"{name}:{parsers.integer(1)(f'{option}.max_attempts', attempts)}"}


def _logging(given: t.Any) -> t.Any:
    return {"driver": "json-file", **given} if isinstance(given, dict) and given else given


def _search(given: t.Any) -> t.Any:
    """An empty domain takes the VM's own away, which the engine calls a dot."""
    return ["." if item == "" else item for item in given] if isinstance(given, list) else given


def _as_it_is(given: t.Any) -> t.Any:
    return given


_WRITTEN: t.Mapping[str, t.Callable[[t.Any], t.Any]] = {"logging": _logging, "dns_search": _search}


def _replicas(path: str, given: JSON) -> JSON:
    told = {
        f"{path}.{key}": value
        for key, value in (
            ("scale", given.get("scale")),
            ("deploy.replicas", (given.get("deploy") or {}).get("replicas")),
        )
        if value is not None
    }
    counts = {option: parsers.integer(1)(option, value) for option, value in told.items()}
    if len(set(counts.values())) > 1:
        raise OptionError(
            f"{path}.deploy.replicas", counts[f"{path}.deploy.replicas"], "scale says another number; keep one of them"
        )
    count = next(iter(counts.values()), 1)
    return {"replicas": count} if count > 1 else {}


def _pull(path: str, policy: t.Any) -> JSON:
    if policy is None:
        return {}
    told = "always" if _EVERY.fullmatch(str(policy)) else _PULL.get(str(policy))
    if told is None:
        raise OptionError(path, policy, "write missing, always or never")
    return {"pull": told}


def _annotations(given: JSON) -> JSON:
    return {key: "" if value is None else scalar_text(value) for key, value in given.items()}


def _add_deploy(found: JSON, path: str, deploy: JSON) -> None:
    resources = deploy.get("resources") or {}
    limits, reservations = resources.get("limits") or {}, resources.get("reservations") or {}
    for option, key, where, value in (
        ("cpus", "cpus", "limits.cpus", limits.get("cpus")),
        ("memory", "mem_limit", "limits.memory", limits.get("memory")),
        ("pids_limit", "pids_limit", "limits.pids", limits.get("pids")),
        ("memory_reservation", "mem_reservation", "reservations.memory", reservations.get("memory")),
    ):
        if value is None:
            continue
        option_path = f"{path}.resources.{where}"
        parse = BY_NAME[option].parse
        assert parse is not None
        if option in found and parse(option_path, value) != parse(option_path, found[option]):
            raise OptionError(option_path, value, f"{key} says {found[option]!r}; keep one of them")
        _add(found, option, option_path, value)


def _healthcheck(path: str, given: JSON) -> JSON:
    found = {key: value for key, value in given.items() if value is not None and not key.startswith("x-")}
    if parsers.boolean(f"{path}.healthcheck.disable", found.pop("disable", False)):
        return {"test": ["NONE"]}
    if isinstance(found.get("test"), str):
        found["test"] = ["CMD-SHELL", found["test"]]
    if not found.get("test", True):
        del found["test"]
    return found


def _extra_hosts(path: str, given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in given:
        name, _equals, address = item.partition("=")
        if found.setdefault(name, address) != address:
            raise OptionError(f"{path}.extra_hosts", item, f"{name} is {found[name]} already; a name has one address")
    return found
