# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Every key of the Compose Specification and what becomes of it here.

``docs/COMPOSE.md`` shows this table. A path has a star for a name that the user chooses and ``[]`` for an entry of a list. A key below a refused one
is refused with it and has no line of its own.
"""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass


@dataclass(frozen=True)
class Supported:
    """The key works. ``how`` says as what, where that is not plain."""

    how: str = ""


@dataclass(frozen=True)
class WithoutEffect:
    """The key may stand there: the containers are the same with it and without. ``why`` says why."""

    why: str


@dataclass(frozen=True)
class Refused:
    """The key is refused before anything is changed. ``instead`` says what would be right.

    ``unless`` holds the values that ask for nothing else than what is done anyway.
    """

    instead: str
    unless: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """The key may stand there, and has no effect on one engine, as it has none with the compose program. A warning tells it. ``why`` says why."""

    why: str


Answer = t.Union[Supported, WithoutEffect, Told, Refused]  # noqa: UP007  (ansible-test's pylint knows no `|` of classes here)

_SWARM = "that is for a cluster; a set runs on the one engine of its VM"
_CGROUP = "write cpus, which is the quota divided by the period; besides there are cpu_shares and cpuset"
_BUILD = (
    "images are built elsewhere; `image` names what was built, in a registry or under `images`, and a warning tells it"
)
_X86 = ("linux/amd64", "linux/x86_64", "amd64", "x86_64", "")
_HOOK = "no command is run inside a container from outside: let the image's entrypoint do it"
_EXTERNAL = "what the set uses belongs to the set: take external out"
_VM_NETWORK = "containers get their addresses from the engine"
_PLAIN_BRIDGE = "the networks of a set have addresses of version 4"
_NO_OBJECT = "there is no object on the engine beside the file in the container: take it out"
_GPU = "`device_requests`; the VM needs the device, its driver and the runtime's support"

_HEALTHCHECK: dict[str, Answer] = {
    key: Supported() for key in ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")
}

SERVICE: dict[str, Answer] = {
    "annotations": Supported("`annotations`"),
    "attach": WithoutEffect("it is about what the compose program shows while it runs"),
    "blkio_config": Supported("`blkio`"),
    "blkio_config.weight": Supported(),
    "blkio_config.weight_device": Refused("write weight, or limit the device"),
    **{
        f"blkio_config.device_{what}{part}": Supported()
        for what in ("read_bps", "read_iops", "write_bps", "write_iops")
        for part in ("", "[].path", "[].rate")
    },
    "build": WithoutEffect(_BUILD),
    "cap_add": Supported("`cap_add`, on top of what the collection leaves a container"),
    "cap_drop": Supported("`cap_drop`"),
    "cgroup": Supported("`cgroupns_mode`; `host` with a warning"),
    "cgroup_parent": Refused("the engine's own cgroup holds the containers"),
    "command": Supported(
        "`command`; for an empty one without an `entrypoint` the engine takes the image's, of which a warning tells"
    ),
    "configs": Supported("`files`, at `/NAME`; see Secrets and configs"),
    **{f"configs[].{key}": Supported() for key in ("source", "target", "uid", "gid", "mode")},
    "container_name": Supported(
        "an alias in the service's networks; the container itself is called SET_SERVICE, of which a warning tells"
    ),
    "cpu_count": Refused("it is for Windows; write cpus"),
    "cpu_percent": Refused("it is for Windows; write cpus"),
    "cpu_period": Refused(_CGROUP),
    "cpu_quota": Refused(_CGROUP),
    "cpu_rt_period": Refused(_CGROUP),
    "cpu_rt_runtime": Refused(_CGROUP),
    "cpu_shares": Supported("`cpu_shares`"),
    "cpus": Supported("`cpus`; 0 is no limit"),
    "cpuset": Supported("`cpuset`"),
    "credential_spec": Refused("it is for Windows"),
    "depends_on": Supported("`links`, for the order: the provider is started, and healthy if it has a check, first"),
    "depends_on.*.condition": Supported(
        "`service_healthy`, `service_started`, which waits for health too, and `service_completed_successfully`, which makes the provider a `one_shot`"
    ),
    "depends_on.*.required": Supported("false lets the service be one that no profile enables"),
    "depends_on.*.restart": Supported("`follows`: the service is replaced with the one that it depends on"),
    "deploy": Supported(),
    "deploy.endpoint_mode": Told(_SWARM),
    "deploy.labels": Told("there is no service beside its container: write labels of the service"),
    "deploy.mode": Refused(_SWARM, unless=("replicated", "global")),
    "deploy.placement": Told(_SWARM),
    "deploy.replicas": Supported("`replicas`, at least 1"),
    "deploy.resources": Supported(),
    "deploy.resources.limits": Supported(),
    "deploy.resources.limits.cpus": Supported("`cpus`"),
    "deploy.resources.limits.memory": Supported("`memory`"),
    "deploy.resources.limits.pids": Supported("`pids_limit`"),
    "deploy.resources.reservations": Supported(),
    "deploy.resources.reservations.cpus": Refused("an engine reserves no CPUs; write cpu_shares for a weight"),
    "deploy.resources.reservations.devices": Supported(_GPU),
    **{
        f"deploy.resources.reservations.devices[].{key}": Supported()
        for key in ("capabilities", "count", "device_ids", "driver", "options")
    },
    "deploy.resources.reservations.generic_resources": Refused(_SWARM),
    "deploy.resources.reservations.memory": Supported("`memory_reservation`"),
    "deploy.restart_policy": Supported("takes the place of `restart`"),
    "deploy.restart_policy.condition": Supported("`none` is `no`, `any` is `always`"),
    "deploy.restart_policy.delay": Told("the engine chooses the pause itself"),
    "deploy.restart_policy.max_attempts": Supported("with `on-failure`"),
    "deploy.restart_policy.window": Told("the engine knows no window"),
    "deploy.rollback_config": Told("a set is replaced, and taken back, as a whole"),
    "deploy.update_config": Told("the option update_order says how members are replaced"),
    "develop": WithoutEffect("it is about watching source files, not about what runs"),
    "device_cgroup_rules": Supported("`device_cgroup_rules`"),
    "devices": Supported("`devices`; CDI names are `device_requests` with the driver `cdi`"),
    "devices[].permissions": Supported(),
    "devices[].source": Supported(),
    "devices[].target": Supported(),
    "dns": Supported("`dns`"),
    "dns_opt": Supported("`dns_opt`"),
    "dns_search": Supported("`dns_search`"),
    "domainname": Supported("`domainname`"),
    "entrypoint": Supported("`entrypoint`; an empty one sets the image's aside"),
    "env_file": Supported("`environment`; read on the controller"),
    "env_file[].format": Supported("`raw`, or none"),
    "env_file[].path": Supported(),
    "env_file[].required": Supported(),
    "environment": Supported(
        "`environment`; a name alone takes its value from the variables given to the task, and is left out when there is none"
    ),
    "expose": WithoutEffect("containers that share a network reach each other's ports anyway"),
    "extends": Supported("from the same or another file; circles are refused"),
    "extends.file": Supported(),
    "extends.service": Supported(),
    "external_links": Refused("a container reaches only members of its set"),
    "extra_hosts": Supported("`extra_hosts`; one address for each name"),
    "gpus": Supported(f"{_GPU}; `all`, or a list"),
    **{f"gpus[].{key}": Supported() for key in ("capabilities", "count", "device_ids", "driver", "options")},
    "group_add": Supported("`group_add`"),
    "healthcheck": Supported("`healthcheck`"),
    **{f"healthcheck.{key}": answer for key, answer in _HEALTHCHECK.items()},
    "hostname": Supported("`hostname`"),
    "image": Supported("`image`"),
    "init": Supported("`init`"),
    "ipc": Supported("`ipc_mode`, `service:NAME` too; not `container:`"),
    "isolation": Refused("it is for Windows"),
    "label_file": Supported("`labels`; read on the controller"),
    "labels": Supported("`labels`"),
    "links": Supported("`links`, with their aliases"),
    "logging": Supported("`log`; without a driver it is `json-file`"),
    "logging.driver": Supported(),
    "logging.options": Supported(),
    "mac_address": Supported("`mac_address`, in the network with the highest `priority`"),
    "mem_limit": Supported("`memory`"),
    "mem_reservation": Supported("`memory_reservation`"),
    "mem_swappiness": Refused("control groups of version 2 have none, and the engine drops it; write memswap_limit"),
    "memswap_limit": Supported("`memory_swap`"),
    "models": Refused("no model is run for a container"),
    "network_mode": Supported(
        "`network_mode`: `none`, `service:NAME` and, with a warning, `host`; `bridge` is a network of the set; `container:NAME` where a service has that name"
    ),
    "networks": Supported("see Networks"),
    "networks.*.aliases": Supported(),
    "networks.*.driver_opts": Refused(_VM_NETWORK),
    "networks.*.gw_priority": Refused(_VM_NETWORK, unless=("0",)),
    "networks.*.interface_name": Refused(_VM_NETWORK),
    "networks.*.ipv4_address": Supported("in a network with a subnet"),
    "networks.*.ipv6_address": Supported("in a network with a subnet"),
    "networks.*.link_local_ips": Refused(_VM_NETWORK),
    "networks.*.mac_address": Supported("`mac_address`; in one network of a service"),
    "networks.*.priority": Supported("it decides where a `mac_address` of the service goes"),
    "oom_kill_disable": Refused("a container that nothing may end can halt its VM; set mem_limit", unless=("false",)),
    "oom_score_adj": Supported("`oom_score_adj`"),
    "pid": Supported("`pid_mode`; `host` with a warning, `service:NAME`; not `container:`"),
    "pids_limit": Supported("`pids_limit`; -1 and 0 are no limit"),
    "platform": Refused(
        "the VMs of XenServer and XCP-ng are of linux/amd64: name an image that has it, and take this out", unless=_X86
    ),
    "ports": Supported("`ports`; the range of host ports is as long as that of the container's"),
    "ports[].app_protocol": WithoutEffect("a hint"),
    "ports[].host_ip": Supported(),
    "ports[].mode": WithoutEffect("without a cluster `host` and `ingress` are the same"),
    "ports[].name": WithoutEffect("documentation"),
    "ports[].protocol": Supported(),
    "ports[].published": Supported(),
    "ports[].target": Supported(),
    "post_start": Refused(_HOOK),
    "pre_start": Refused("no container is run before the service's own: let the image's entrypoint do it"),
    "pre_stop": Refused(_HOOK),
    "privileged": Supported("`privileged`, with a warning"),
    "profiles": Supported("with `compose_profiles`"),
    "provider": Refused("a set holds containers only"),
    "pull_policy": Supported(
        "`pull`; `daily`, `weekly` and `every_…` are `always`, which asks the registry each time and pulls what is newer; `build` is `missing`"
    ),
    "pull_refresh_after": Refused("images are pulled when they are missing, always or never"),
    "read_only": Supported("`read_only`"),
    "restart": Supported("`restart`; `no` unless it is written"),
    "runtime": Supported("`runtime`; the engine of the VM must know it"),
    "scale": Supported("`replicas`, at least 1"),
    "secrets": Supported("`files`, at `/run/secrets/NAME`; see Secrets and configs"),
    **{f"secrets[].{key}": Supported() for key in ("source", "target", "uid", "gid", "mode")},
    "security_opt": Supported("`security_opt` and `no_new_privileges`; a seccomp profile is read on the controller"),
    "shm_size": Supported("`shm_size`"),
    "stdin_open": Supported("`stdin_open`"),
    "stop_grace_period": Supported("`stop_grace_period`"),
    "stop_signal": Supported("`stop_signal`"),
    "storage_opt": Refused("container_set does not set options of the storage driver"),
    "sysctls": Supported("`sysctls`"),
    "tmpfs": Supported("`tmpfs`"),
    "tty": Supported("`tty`"),
    "ulimits": Supported("`ulimits`"),
    "ulimits.*.hard": Supported(),
    "ulimits.*.soft": Supported(),
    "use_api_socket": Refused("whoever holds the engine's socket owns the VM", unless=("false",)),
    "user": Supported("`user`"),
    "userns_mode": Supported("`userns_mode`; `host` with a warning"),
    "uts": Supported("`uts_mode`; `host` with a warning"),
    "volumes": Supported("`volumes`, and `tmpfs` for that type; see Volumes"),
    "volumes[].bind": Supported(),
    "volumes[].bind.create_host_path": Supported("`false`: a directory that is missing is refused, and not made"),
    "volumes[].bind.propagation": Supported(),
    "volumes[].bind.recursive": Refused("container_set has no option for it", unless=("enabled",)),
    "volumes[].bind.selinux": Supported(),
    "volumes[].consistency": WithoutEffect("Linux knows one consistency"),
    "volumes[].image": Refused("container_set mounts no images"),
    "volumes[].read_only": Supported(),
    "volumes[].source": Supported(),
    "volumes[].target": Supported(),
    "volumes[].tmpfs": Supported(),
    "volumes[].tmpfs.mode": Supported(),
    "volumes[].tmpfs.size": Supported(),
    "volumes[].type": Supported("`bind`, `volume` and `tmpfs`; others are refused"),
    "volumes[].volume": Supported(),
    "volumes[].volume.labels": Refused("volumes carry the collection's labels only"),
    "volumes[].volume.nocopy": Supported(),
    "volumes[].volume.subpath": Supported("since API 1.45 (Docker Engine 26)"),
    "volumes_from": Supported("the volumes that the file gives the other service; not `container:`"),
    "working_dir": Supported("`working_dir`"),
}

_REST: dict[str, Answer] = {
    "configs": Supported("for the services that name them"),
    "configs.*.content": Supported(),
    "configs.*.environment": Supported(),
    "configs.*.external": Refused(_EXTERNAL, unless=("false",)),
    "configs.*.file": Supported("text, read on the controller"),
    "configs.*.labels": Refused(_NO_OBJECT),
    "configs.*.name": Refused(_NO_OBJECT),
    "configs.*.template_driver": Refused("variables in content are filled in as everywhere in the file"),
    "include": Supported("files on the controller"),
    "include[].env_file": Supported(),
    "include[].path": Supported(),
    "include[].project_directory": Supported(),
    "models": WithoutEffect("that a model is there gives it to no service"),
    "name": WithoutEffect("the option `name` takes its place, as `--project-name` does"),
    "networks": Supported("see Networks"),
    "networks.*.attachable": WithoutEffect("on one engine every network is attachable"),
    "networks.*.driver": Refused("the networks of a set are bridges", unless=("bridge", "default")),
    "networks.*.driver_opts": Supported("`driver_opts`"),
    "networks.*.enable_ipv4": Refused(_PLAIN_BRIDGE, unless=("true",)),
    "networks.*.enable_ipv6": Supported("`enable_ipv6`"),
    "networks.*.external": Supported("it is there already, and stays"),
    "networks.*.internal": Supported("`internal`"),
    "networks.*.ipam": Supported("`ipam_config`"),
    "networks.*.ipam.config": Supported(),
    **{f"networks.*.ipam.config[].{key}": Supported() for key in ("subnet", "ip_range", "gateway", "aux_addresses")},
    "networks.*.ipam.driver": Refused("the engine's own hands out the addresses", unless=("default", "")),
    "networks.*.ipam.options": Refused("the engine's own driver has none"),
    "networks.*.labels": Refused("networks carry the collection's labels only"),
    "networks.*.name": Supported("what the engine calls it"),
    "secrets": Supported("for the services that name them"),
    "secrets.*.driver": Refused(_NO_OBJECT),
    "secrets.*.driver_opts": Refused(_NO_OBJECT),
    "secrets.*.environment": Supported(),
    "secrets.*.external": Refused(_EXTERNAL, unless=("false",)),
    "secrets.*.file": Supported("text, read on the controller"),
    "secrets.*.labels": Refused(_NO_OBJECT),
    "secrets.*.name": Refused(_NO_OBJECT),
    "secrets.*.template_driver": Refused(_NO_OBJECT),
    "services": Supported(
        "`containers`; a service with upper-case letters or dots in its name is called in lower case, with dashes, and still found under its own name"
    ),
    "version": WithoutEffect("the specification declares it obsolete"),
    "volumes": Supported("named volumes of the set"),
    "volumes.*.driver": Refused(
        "volumes are of the driver local, which mounts shares of NFS and CIFS too (driver_opts)",
        unless=("local", "default"),
    ),
    "volumes.*.driver_opts": Supported("`volumes`: `type`, `device`, `o` and `size` of the driver local"),
    "volumes.*.external": Supported("`volumes`: it is there already, and stays"),
    "volumes.*.labels": Refused("volumes carry the collection's labels only"),
    "volumes.*.name": Supported("`volumes`: what the engine calls it"),
}

KEYS: dict[str, Answer] = {**_REST, **{f"services.*.{key}": answer for key, answer in SERVICE.items()}}


def answer(path: str) -> Answer | None:
    """What becomes of the key at ``path``: its own answer, or that of the nearest key above which is refused or without effect."""
    while path not in KEYS:
        path, dot, _last = path.removesuffix("[]").rpartition(".")
        path = path.removesuffix(".*")
        if not dot:
            return None
        above = KEYS.get(path.removesuffix("[]"))
        if isinstance(above, (Refused, WithoutEffect, Told)):
            return above
    return KEYS[path]


@functools.cache
def children(path: str) -> frozenset[str]:
    """The keys directly below ``path`` ("" is the top)."""
    start = f"{path}." if path else ""
    return frozenset(
        key.removeprefix(start).partition(".")[0].removesuffix("[]") for key in KEYS if key.startswith(start)
    ) - {"*"}
