# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What of a set opens its VM to a container, or a container to others: what, where, whose, how bad, and how to mend it. Pure.

Only what an option says is a finding, and only where the harm is known. The keys are those of the findings of a pool.
Sources: capabilities(7), user_namespaces(7), and Docker's pages on the engine's security and on packet filtering.
"""

from __future__ import annotations

import re
import typing as t

from . import names
from .capabilities import ENGINE_CAPABILITIES
from .mounts import Mount
from .ports import Port
from .reported import NO_NEW_PRIVILEGES

Finding = dict[str, t.Any]
Values = t.Mapping[str, t.Any]

_SEVERITIES = ("high", "medium", "low")
# With one of these a process can load code into the kernel, reach the VM's disks or memory, or leave its container.
_OWN_THE_VM = frozenset(
    {"ALL", "BPF", "DAC_READ_SEARCH", "MAC_ADMIN", "SYS_ADMIN", "SYS_BOOT", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO"}
)
_DISKS_AND_MEMORY = re.compile(r"/dev/(mem|kmem|port|dm-|mapper/|nvme|sd|vd|xvd)")
_STORES = {
    2375: "Docker's API without TLS",
    2379: "etcd",
    3306: "MySQL",
    5432: "PostgreSQL",
    6379: "Redis",
    9200: "Elasticsearch",
    11211: "memcached",
    27017: "MongoDB",
}
_MODES = (
    ("pid_mode", "host-pid", "high", "it sees and can signal every process of the VM"),
    ("ipc_mode", "host-ipc", "medium", "it shares the memory segments of the VM's own processes"),
    ("userns_mode", "host-users", "medium", "its root is the VM's root where the engine would keep them apart"),
    (
        "network_mode",
        "host-network",
        "medium",
        "every port that it opens is open in the VM, and it reaches what listens on the VM's loopback",
    ),
    ("uts_mode", "host-uts", "low", "it can change the VM's host name, given the capability"),
)


def container_findings(tenant: str, set_name: str, members: t.Mapping[str, Values]) -> list[Finding]:
    """The findings of a set, the gravest first. ``members`` are the canonical options of each, and its ``network_mode``."""
    found = []
    for member, values in members.items():
        where = f"container {names.container_name(set_name, member)}"
        for identity, severity, what, mend in _of_member(values):
            found.append(
                {"id": identity, "severity": severity, "tenant": tenant, "where": where, "what": what, "mend": mend}
            )
    return in_order(found)


def way_findings(tenant: str, host: str, *, verified: bool) -> list[Finding]:
    """The finding about the way to the engine at ``host``, if there is one."""
    if verified:
        return []
    what = "its certificate is not verified: whoever is on the network between can take the engine over"
    mend = "give the authority with docker_ca_path, and take docker_validate_certs: false out"
    return [
        {
            "id": "unverified-engine",
            "severity": "high",
            "tenant": tenant,
            "where": f"engine {host}",
            "what": what,
            "mend": mend,
        }
    ]


def in_order(findings: t.Iterable[Finding]) -> list[Finding]:
    """The gravest first."""
    return sorted(
        findings, key=lambda each: (_SEVERITIES.index(each["severity"]), each["id"], each["where"], each["what"])
    )


Told = tuple[str, str, str, str]


def _of_member(values: Values) -> t.Iterator[Told]:
    yield from _privileges(values)
    for option, identity, severity, what in _MODES:
        if values.get(option) == "host":
            yield identity, severity, what, f"take {option} out"
    for mount in values["volumes"]:
        yield from _of_mount(mount, values["user"])
    for device, _inner, _access in values["devices"]:
        if _DISKS_AND_MEMORY.match(device) and not values["privileged"]:
            yield (
                "host-disk",
                "high",
                f"it can read and write {device} of the VM past all permissions",
                "mount a volume instead",
            )
    for rule in values["device_cgroup_rules"]:
        if rule[0] in "ab" and "MKNOD" in values["capabilities"] and not values["privileged"]:
            yield (
                "host-disk",
                "high",
                f"with MKNOD and the rule {rule!r} it can reach the VM's disks past all permissions",
                "name the device file under devices instead",
            )
    for port in values["ports"]:
        yield from _of_port(port)


def _privileges(values: Values) -> t.Iterator[Told]:
    if values["privileged"]:
        # It has everything that follows, and more.
        yield (
            "privileged",
            "high",
            "it is not kept apart from its VM",
            "take privileged out; name the capabilities and devices that it needs",
        )
        return
    added = set(values["capabilities"]) - ENGINE_CAPABILITIES
    grave = sorted(added & _OWN_THE_VM)
    if grave:
        yield (
            "owning-capability",
            "high",
            f"with {', '.join(grave)} it can take over its VM",
            "take them out of cap_add",
        )
    if added - _OWN_THE_VM:
        more = ", ".join(sorted(added - _OWN_THE_VM))
        yield (
            "added-capability",
            "medium",
            f"it has {more}, which the engine gives to no container",
            "take out of cap_add what it does not need",
        )
    for item in values["security_opt"]:
        if item in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"):
            kind = item.partition("=")[0]
            yield (
                f"unconfined-{kind}",
                "medium",
                f"{item} takes away the engine's own protection",
                "take it out, or give a profile of its own",
            )
    if NO_NEW_PRIVILEGES not in values["security_opt"]:
        yield (
            "new-privileges",
            "low",
            "a program in it can gain rights by its file's owner",
            "take no_new_privileges: false out",
        )


def _of_mount(mount: Mount, user: str) -> t.Iterator[Told]:
    if mount.is_volume:
        return
    if mount.brings_engine_socket:
        what = f"through {mount.source} it reaches the engine's socket, and owns the VM"
        yield "engine-socket", "high", what, "take the mount out, or mount the directory below it that is meant"
    elif "ro" not in mount.modes and user.partition(":")[0] in ("", "0", "root"):
        what = f"it is root and writes to {mount.source}, and so can leave files there that are root's in the VM"
        yield "root-writes-to-vm", "low", what, "give it a user, mount it read-only, or use a named volume"


def _of_port(port: Port) -> t.Iterator[Told]:
    if port.container in _STORES and not port.address:
        what = f"{_STORES[port.container]} is published on every address of the VM, past the VM's own firewall rules"
        yield (
            "open-store",
            "high" if port.container == 2375 else "medium",
            what,
            "publish it on 127.0.0.1, or link its consumers to it instead",
        )
