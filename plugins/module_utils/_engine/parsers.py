# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""From what a person writes for one option to its canonical value.

A parser takes the option's path, for messages, and the value. Canonical values are equal exactly when the engine treats them alike.
"""

from __future__ import annotations

import difflib
import posixpath
import re
import shlex
import typing as t

from .._errors import OptionError
from .mounts import container_path
from .ports import plain_address
from .quantities import parse_duration, parse_size

Parser = t.Callable[[str, t.Any], t.Any]

_CAPABILITY = re.compile(r"[A-Z][A-Z0-9_]*")
_MAC_ADDRESS = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
_DEVICE_RULE = re.compile(r"[abc] (\d+|\*):(\d+|\*) [rwm]{1,3}")
# The names that an engine has for the one that comes with it.
PLAIN_RUNTIMES = ("", "runc", "io.containerd.runc.v2")
_SIGNAL = re.compile(r"SIG[A-Z][A-Z0-9+-]*")
# MAX_ARG_STRLEN of Linux: 32 pages, with the zero at the end.
MOST_VARIABLE_BYTES = 131072
_HEALTH_KEYS = ("test", "interval", "timeout", "retries", "start_period", "start_interval")


def boolean(option: str, value: t.Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("yes", "true", "no", "false"):
        return str(value).lower() in ("yes", "true")
    raise OptionError(option, value, "write true or false")


def integer(lowest: int, highest: int = 2**63 - 1) -> Parser:
    def parse(option: str, value: t.Any) -> int:
        if (
            isinstance(value, bool)
            or not re.fullmatch(r"-?\d+", str(value).strip())
            or not lowest <= int(value) <= highest
        ):
            limit = "" if highest == 2**63 - 1 else f" to {highest}"
            raise OptionError(option, value, f"write a whole number from {lowest}{limit}")
        return int(value)

    return parse


def text(option: str, value: t.Any) -> str:
    if isinstance(value, (bool, list, dict)) or value is None or not str(value):
        raise OptionError(option, value, "write a text")
    return str(value)


def one_of(*choices: str) -> Parser:
    def parse(option: str, value: t.Any) -> str:
        if value not in choices:
            raise OptionError(option, value, f"write {' or '.join(choices)}")
        return str(value)

    return parse


def words(option: str, value: t.Any) -> tuple[str, ...]:
    """A command line: a list, or a string split as a shell would."""
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise OptionError(option, value, f"its quotes do not match ({error}); write a list instead") from None
    return arguments(option, value)


def arguments(option: str, value: t.Any) -> tuple[str, ...]:
    """The words of a command: unlike other texts, one may be empty."""
    if not isinstance(value, (list, tuple)):
        raise OptionError(option, value, "write a list")
    return tuple(item if item == "" else text(f"{option}[{index}]", item) for index, item in enumerate(value))


def texts(option: str, value: t.Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise OptionError(option, value, "write a list")
    return tuple(text(f"{option}[{index}]", item) for index, item in enumerate(value))


def addresses(option: str, value: t.Any) -> tuple[str, ...]:
    return tuple(plain_address(f"{option}[{index}]", item) for index, item in enumerate(texts(option, value)))


def sorted_texts(option: str, value: t.Any) -> tuple[str, ...]:
    return tuple(sorted(set(texts(option, value))))


def mapping(option: str, value: t.Any) -> dict[str, t.Any]:
    if not isinstance(value, t.Mapping):
        raise OptionError(option, value, "write a mapping of names to values")
    return {str(key): item for key, item in value.items()}


def known_keys(option: str, value: t.Any, known: t.Iterable[str]) -> dict[str, t.Any]:
    """The mapping, refused when it holds a key that is not ``known``."""
    given = mapping(option, value)
    names = sorted(known)
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise OptionError(f"{option}.{key}", key, f"there is no such key; {hint}")
    return given


def environment(option: str, value: t.Any) -> dict[str, str]:
    variables: dict[str, str] = {}
    for key, item in mapping(option, value).items():
        if not key or "=" in key or "\0" in key:
            raise OptionError(f"{option}.{key}", key, "a variable's name is not empty and holds no =")
        if isinstance(item, (bool, list, dict)) or item is None:
            # The value may be a secret: say what it is, not what it holds.
            raise OptionError(
                f"{option}.{key}", type(item).__name__, "write a string or a number; quote true, false, yes and no"
            )
        variables[key] = str(item)
        if len(f"{key}={item}".encode()) >= MOST_VARIABLE_BYTES:
            expected = "the kernel starts no program with a variable of 128 KiB or more; give it as one of files"
            raise OptionError(f"{option}.{key}", f"{len(str(item))} characters", expected)
    return variables


def _written(item: t.Any) -> str:
    """A scalar as it is written: YAML's truth values are true and false."""
    return "" if item is None else str(item).lower() if isinstance(item, bool) else str(item)


def labels(option: str, value: t.Any) -> dict[str, str]:
    given = {key: _written(item) for key, item in mapping(option, value).items()}
    for key in given:
        if key.startswith("hardshell."):
            raise OptionError(f"{option}.{key}", key, "labels that begin with hardshell. are the collection's own")
    return given


def runtime_annotations(option: str, value: t.Any) -> dict[str, str]:
    return {key: "" if item is None else text(f"{option}.{key}", item) for key, item in mapping(option, value).items()}


def mac_address(option: str, value: t.Any) -> str:
    """Of one station: the lowest bit of the first byte is that of a group. Lower-case, with colons."""
    found = value.lower().replace("-", ":") if isinstance(value, str) else ""
    if not _MAC_ADDRESS.fullmatch(found):
        raise OptionError(option, value, 'write an address of one station in quotes, such as "02:42:ac:11:00:07"')
    return found


def directory(option: str, value: t.Any) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise OptionError(option, value, "write an absolute path inside the container")
    # POSIX leaves two slashes at the beginning as they are; the engine does not.
    return posixpath.normpath(value).replace("//", "/")


def restart_policy(option: str, value: t.Any) -> str:
    """``no``, ``always``, ``unless-stopped``, ``on-failure`` or ``on-failure:N``. YAML reads a bare no as false."""
    policy = "no" if value is False else str(value)
    if not re.fullmatch(r"no|always|unless-stopped|on-failure(:[1-9]\d*)?", policy):
        raise OptionError(option, value, "write no, on-failure, on-failure:5, always or unless-stopped")
    return policy


def cores(option: str, value: t.Any) -> int:
    """Billionths of a core."""
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError):
        number = -1.0
    if not 0.01 <= number <= 4096:
        raise OptionError(option, value, "write a number of cores, as 2 or 0.5, from 0.01")
    return round(number * 10**9)


def memory(option: str, value: t.Any) -> int:
    size = parse_size(option, value)
    if size < 6 * 1024**2:
        raise OptionError(option, value, "the engine allows no less than 6MiB")
    return size


def swap(option: str, value: t.Any) -> int:
    return -1 if str(value) in ("-1", "unlimited") else memory(option, value)


def signal(option: str, value: t.Any) -> str:
    name = str(value).upper()
    name = name if name.startswith("SIG") or name.isdigit() else f"SIG{name}"
    if isinstance(value, bool) or not (_SIGNAL.fullmatch(name) or name.isdigit()):
        raise OptionError(option, value, "write a signal such as SIGTERM")
    return name


def grace(option: str, value: t.Any) -> int:
    """Whole seconds, rounded up."""
    return -(-parse_duration(option, value) // 10**9)


def capabilities(option: str, value: t.Any) -> tuple[str, ...]:
    return tuple(sorted({capability(option, name) for name in texts(option, value)}))


def capability(option: str, name: str) -> str:
    plain = name.upper().removeprefix("CAP_")
    if not _CAPABILITY.fullmatch(plain):
        raise OptionError(option, name, "write capabilities such as NET_ADMIN")
    return plain


def healthcheck(option: str, value: t.Any) -> dict[str, t.Any]:
    given = known_keys(option, value, _HEALTH_KEYS)
    check: dict[str, t.Any] = {}
    if "test" in given:
        check["test"] = _health_test(f"{option}.test", given["test"])
    for key in ("interval", "timeout", "start_period", "start_interval"):
        if key in given:
            nanoseconds = parse_duration(f"{option}.{key}", given[key])
            if nanoseconds < 10**6:
                raise OptionError(f"{option}.{key}", given[key], "the engine allows no less than 1ms")
            check[key] = nanoseconds
    if "retries" in given:
        check["retries"] = integer(1)(f"{option}.retries", given["retries"])
    if not check:
        raise OptionError(option, value, "say at least the test, or none as the test to switch the image's off")
    return check


def _health_test(option: str, value: t.Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return ("NONE",) if value.lower() == "none" else ("CMD-SHELL", text(option, value))
    test = arguments(option, value)
    right = test and (
        test[0] == "CMD" and len(test) > 1 or test[0] == "CMD-SHELL" and len(test) == 2 or test == ("NONE",)
    )
    if not right:
        raise OptionError(
            option, value, "write [CMD, program, argument...], [CMD-SHELL, line], a string for the shell, or none"
        )
    return test


def ulimits(option: str, value: t.Any) -> tuple[tuple[str, int, int], ...]:
    limits = []
    for name, item in mapping(option, value).items():
        path = f"{option}.{name}"
        number = integer(-1)
        if isinstance(item, t.Mapping):
            given = known_keys(path, item, ("soft", "hard"))
            if "soft" not in given:
                raise OptionError(path, dict(item), "say the soft limit, and the hard one where it is another")
            soft = number(f"{path}.soft", given["soft"])
            hard = number(f"{path}.hard", given.get("hard", soft))
        else:
            soft = hard = number(path, item)
        if hard != -1 and (soft == -1 or soft > hard):
            raise OptionError(path, item, "the soft limit cannot be above the hard one")
        limits.append((name, soft, hard))
    return tuple(sorted(limits))


def sysctls(option: str, value: t.Any) -> dict[str, str]:
    return {key: text(f"{option}.{key}", item) for key, item in mapping(option, value).items()}


def devices(option: str, value: t.Any) -> tuple[tuple[str, str, str], ...]:
    """Device on the VM, device in the container, access (of r, w, m)."""
    found = []
    for index, item in enumerate(texts(option, value)):
        outer, _colon, rest = item.partition(":")
        inner, _colon, access = rest.partition(":")
        if re.fullmatch(r"[rwm]{1,3}", inner) and not access:
            inner, access = outer, inner
        inner, access = inner or outer, access or "rwm"
        if not outer.startswith("/dev/") or not inner.startswith("/") or not re.fullmatch(r"[rwm]{1,3}", access):
            raise OptionError(f"{option}[{index}]", item, "write a device such as /dev/fuse or /dev/fuse:/dev/fuse:rw")
        found.append((outer, inner, access))
    return tuple(sorted(found))


def device_rules(option: str, value: t.Any) -> tuple[str, ...]:
    """Rules of the kernel's devices cgroup, in their order: a kind (all, block, character), numbers, access."""
    for index, item in enumerate(texts(option, value)):
        if not _DEVICE_RULE.fullmatch(item):
            raise OptionError(f"{option}[{index}]", item, "write a rule such as c 189:* rmw")
    return texts(option, value)


def runtime(option: str, value: t.Any) -> str:
    """The engine knows the one that comes with it under several names; here it is runc."""
    found = text(option, value)
    return "runc" if found in PLAIN_RUNTIMES else found


def blkio(option: str, value: t.Any) -> dict[str, t.Any]:
    """A weight, and limits by device of the VM: bytes a second, operations a second."""
    limits: dict[str, t.Any] = {}
    for key, item in known_keys(
        option, value, ("weight", "device_read_bps", "device_write_bps", "device_read_iops", "device_write_iops")
    ).items():
        if key == "weight":
            limits[key] = integer(10, 1000)(f"{option}.{key}", item)
            continue
        rate = parse_size if key.endswith("bps") else integer(1)
        for path, limit in mapping(f"{option}.{key}", item).items():
            if not path.startswith("/dev/"):
                raise OptionError(f"{option}.{key}.{path}", path, "write a device of the VM such as /dev/xvdb")
            limits.setdefault(key, {})[path] = rate(f"{option}.{key}.{path}", limit)
    return limits


def extra_hosts(option: str, value: t.Any) -> tuple[str, ...]:
    hosts = []
    for name, item in mapping(option, value).items():
        address = str(item) if item == "host-gateway" else plain_address(f"{option}.{name}", str(item))
        hosts.append(f"{name}:{address}")
    return tuple(sorted(hosts))


def tmpfs(option: str, value: t.Any) -> dict[str, str]:
    mounts: dict[str, str] = {}
    for index, item in enumerate(texts(option, value)):
        path, _colon, flags = item.partition(":")
        mounts[container_path(f"{option}[{index}]", path)] = flags
    return mounts


def log(option: str, value: t.Any) -> dict[str, t.Any]:
    given = known_keys(option, value, ("driver", "options"))
    if "driver" not in given:
        raise OptionError(option, value, "say the driver, such as json-file, local, journald or none")
    flags = mapping(f"{option}.options", given.get("options") or {})
    return {
        "driver": text(f"{option}.driver", given["driver"]),
        "options": {key: _written(item) for key, item in flags.items()},
    }


def security_options(option: str, value: t.Any) -> tuple[str, ...]:
    found = sorted_texts(option, value)
    for item in found:
        key, _equals, setting = item.partition("=")
        if key not in ("seccomp", "apparmor", "label", "systempaths") or not setting:
            raise OptionError(
                option,
                item,
                "write seccomp=, apparmor=, label= or systempaths=unconfined; no-new-privileges has an option of its own",
            )
        if key == "seccomp" and setting not in ("unconfined", "builtin") and not setting.lstrip().startswith("{"):
            raise OptionError(option, item, "write seccomp=unconfined, seccomp=builtin or the profile itself as JSON")
    return found
