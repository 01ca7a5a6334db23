"""Every key of the Compose Specification, one by one: it works as the table says, or is refused by its name.

``specification_keys.txt`` lists the keys of the specification's schema.
"""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.compose_set import (
    ComposeSource,
    compose_set,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.keys import (
    KEYS,
    Refused,
    Supported,
    Told,
    WithoutEffect,
    answer,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.spec import parse
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError

SPECIFICATION = pathlib.Path(__file__).with_name("specification_keys.txt").read_text(encoding="utf-8").split()
FILES = {
    "/p/one.env": "A=1\n",
    "/p/key.txt": "text of key",
    "/p/one.labels": "a.b=c\n",
    "/p/seccomp.json": '{"defaultAction": "SCMP_ACT_ALLOW"}',
    "/p/other.yaml": "services: {app: {image: other}, second: {image: second}}\n",
    "/p/second/compose.yaml": "services: {second: {image: 'second:${TAG:-0}', env_file: two.env}}\n",
    "/p/second/tag.env": "TAG=7\n",
    "/p/second/two.env": "TWO=2\n",
    "/q/two.env": "TWO=q\n",
}


def containers(tree: dict[str, t.Any], **source: t.Any) -> dict[str, t.Any]:
    files = {**FILES, "/p/compose.yaml": yaml.safe_dump(tree)}
    found = compose_set("shop", ComposeSource(files=("/p/compose.yaml",), **source), files.get)
    parse(
        {"name": "shop", "tenant": "acme", "state": "present", "wait_timeout": 9, "remove_volumes": False, "images": []}
        | {"pull": "missing", "network": "flat", "recreate": "when_changed", "remove_orphans": True}
        | {"fate": "independent", "fate_reaction": None}
        | {
            "containers": {
                name: {k: v for k, v in own.items() if k != "networks"} for name, own in found.containers.items()
            }
        }
    )
    return found.containers


def web(service: dict[str, t.Any], **top: t.Any) -> dict[str, t.Any]:
    services = {"web": {"image": "redis:7", **service}, "db": {"image": "redis:7"}, "mq": {"image": "redis:7"}}
    return containers({"services": services, "volumes": {"data": None}, **GRANTED, **top})["web"]


GRANTED: dict[str, t.Any] = {"secrets": {"s": {"file": "key.txt"}}, "configs": {"c": {"content": "text of c"}}}


def placed(path: str, content: str, uid: int = 0, gid: int = 0, mode: str = "0444") -> dict[str, dict[str, t.Any]]:
    return {path: {"content": content, "uid": uid, "gid": gid, "mode": mode}}


def granting(kind: str, **definition: t.Any) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
    """A document whose one service is granted what is defined so, and its containers."""
    tree = {"services": {"a": {"image": "b", kind: ["x"]}}, kind: {"x": definition}, "x-note": 1}
    place = "/run/secrets/x" if kind == "secrets" else "/x"
    return tree, {"a": {"image": "b", "restart": "no", "files": placed(place, "text of key")}}


PLAIN = {"image": "redis:7", "restart": "no"}
DEVICE_REQUEST: dict[str, t.Any] = {
    "capabilities": ["compute", "gpu"],
    "count": 2,
    "device_ids": ["0", "3"],
    "driver": "nvidia",
    "options": {"virtualization": "false"},
}

# What a service says, and what its container says for it.
SERVICES: dict[str, list[tuple[dict[str, t.Any], dict[str, t.Any]]]] = {
    "blkio_config": [({"blkio_config": {"weight": 300}}, {"blkio": {"weight": 300}}), ({"blkio_config": None}, {})],
    "blkio_config.weight": [({"blkio_config": {"weight": 10}}, {"blkio": {"weight": 10}})],
    **{
        f"blkio_config.device_{what}{part}": [
            (
                {"blkio_config": {f"device_{what}": [{"path": "/dev/sda", "rate": rate}]}},
                {"blkio": {f"device_{what}": {"/dev/sda": rate}}},
            )
        ]
        for what, rate in (("read_bps", "12mb"), ("read_iops", 120), ("write_bps", "1024k"), ("write_iops", 30))
        for part in ("", "[].path", "[].rate")
    },
    "deploy.replicas": [({"deploy": {"replicas": 3}}, {"replicas": 3}), ({"deploy": {"replicas": 1}}, {})],
    "scale": [({"scale": "2"}, {"replicas": 2}), ({"scale": 2, "deploy": {"replicas": 2}}, {"replicas": 2})],
    "ipc": [({"ipc": "shareable"}, {"ipc_mode": "shareable"}), ({"ipc": "host"}, {"ipc_mode": "host"})],
    "pid": [({"pid": "host"}, {"pid_mode": "host"}), ({"pid": "service:db"}, {"pid_mode": "service:db"})],
    "network_mode": [
        ({"network_mode": "service:db"}, {"network_mode": "service:db"}),
        ({"network_mode": "none"}, {"network_mode": "none"}),
        ({"network_mode": "host", "ports": ["80:80"]}, {"network_mode": "host"}),
        ({"network_mode": "bridge"}, {"networks": {"bridge": []}}),
        ({"network_mode": "default"}, {}),
    ],
    "uts": [({"uts": "host"}, {"uts_mode": "host"})],
    "userns_mode": [({"userns_mode": "host"}, {"userns_mode": "host"})],
    "cap_add": [({"cap_add": ["NET_ADMIN"]}, {"cap_add": ["NET_ADMIN"]})],
    "cap_drop": [({"cap_drop": ["ALL"]}, {"cap_drop": ["ALL"]})],
    "command": [
        ({"command": "run -p 3000"}, {"command": "run -p 3000"}),
        ({"command": ["run", "a b"]}, {"command": ["run", "a b"]}),
        ({"command": None}, {}),
        ({"command": [], "entrypoint": ["/x"]}, {"entrypoint": ["/x"]}),
        ({"command": []}, {}),
        ({"command": ["run", ""]}, {"command": ["run", ""]}),
    ],
    "cpu_shares": [({"cpu_shares": 73}, {"cpu_shares": 73}), ({"cpu_shares": 0}, {})],
    "cpus": [({"cpus": "0.5"}, {"cpus": "0.5"}), ({"cpus": 0.0}, {})],
    "cpuset": [({"cpuset": "0-3"}, {"cpuset": "0-3"})],
    "depends_on": [
        ({"depends_on": ["db"]}, {"links": ["db"]}),
        ({"depends_on": {"db": {"condition": "service_started"}}}, {"links": ["db"]}),
    ],
    "depends_on.*.condition": [
        ({"depends_on": {"db": {"condition": "service_healthy"}}}, {"links": ["db"]}),
        ({"depends_on": {"db": {"condition": "service_completed_successfully"}}}, {"links": ["db"]}),
    ],
    "depends_on.*.restart": [
        ({"depends_on": {"db": {"restart": True}}}, {"links": ["db"], "follows": ["db"]}),
        ({"depends_on": {"db": {"restart": False}}}, {"links": ["db"]}),
    ],
    "depends_on.*.required": [
        ({"depends_on": {"db": {"condition": "service_started", "required": True}}}, {"links": ["db"]})
    ],
    "deploy": [({"deploy": {}}, {}), ({"deploy": None}, {})],
    "deploy.resources": [({"deploy": {"resources": {}}}, {})],
    "deploy.resources.limits": [({"deploy": {"resources": {"limits": {}}}}, {})],
    "deploy.resources.limits.cpus": [({"deploy": {"resources": {"limits": {"cpus": "0.5"}}}, "cpus": 0.5}, {"cpus": "0.5"})],
    "deploy.resources.limits.memory": [({"deploy": {"resources": {"limits": {"memory": "50M"}}}}, {"memory": "50M"})],
    "deploy.resources.limits.pids": [({"deploy": {"resources": {"limits": {"pids": 5}}}}, {"pids_limit": 5})],
    "deploy.resources.reservations": [({"deploy": {"resources": {"reservations": {}}}}, {})],
    "deploy.resources.reservations.memory": [
        ({"deploy": {"resources": {"reservations": {"memory": "20M"}}}}, {"memory_reservation": "20M"})
    ],
    "deploy.restart_policy": [({"deploy": {"restart_policy": {}}, "restart": "no"}, {"restart": "always"})],
    "deploy.restart_policy.condition": [
        ({"deploy": {"restart_policy": {"condition": "none"}}}, {"restart": "no"}),
        ({"deploy": {"restart_policy": {"condition": "any"}}}, {"restart": "always"}),
        ({"deploy": {"restart_policy": {"condition": "on-failure"}}}, {"restart": "on-failure"}),
    ],
    "deploy.restart_policy.max_attempts": [
        ({"deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 3}}}, {"restart": "on-failure:3"})
    ],
    "configs": [({"configs": ["c"]}, {"files": placed("/c", "text of c")})],
    "configs[].source": [({"configs": [{"source": "c"}]}, {"files": placed("/c", "text of c")})],
    "configs[].target": [
        ({"configs": [{"source": "c", "target": "/etc/c.conf"}]}, {"files": placed("/etc/c.conf", "text of c")}),
        ({"configs": [{"source": "c", "target": "c.conf"}]}, {"files": placed("/c.conf", "text of c")}),
    ],
    "configs[].uid": [({"configs": [{"source": "c", "uid": "103"}]}, {"files": placed("/c", "text of c", uid=103)})],
    "configs[].gid": [({"configs": [{"source": "c", "gid": 103}]}, {"files": placed("/c", "text of c", gid=103)})],
    "configs[].mode": [
        ({"configs": [{"source": "c", "mode": 0o640}]}, {"files": placed("/c", "text of c", mode="0440")}),
        ({"configs": [{"source": "c", "mode": "0555"}]}, {"files": placed("/c", "text of c", mode="0555")}),
    ],
    "secrets": [({"secrets": ["s"]}, {"files": placed("/run/secrets/s", "text of key")})],
    "secrets[].source": [({"secrets": [{"source": "s"}]}, {"files": placed("/run/secrets/s", "text of key")})],
    "secrets[].target": [
        ({"secrets": [{"source": "s", "target": "key"}]}, {"files": placed("/run/secrets/key", "text of key")}),
        ({"secrets": [{"source": "s", "target": "/etc/key"}]}, {"files": placed("/etc/key", "text of key")}),
    ],
    "secrets[].uid": [({"secrets": [{"source": "s", "uid": "1"}]}, {"files": placed("/run/secrets/s", "text of key", uid=1)})],
    "secrets[].gid": [({"secrets": [{"source": "s", "gid": "1"}]}, {"files": placed("/run/secrets/s", "text of key", gid=1)})],
    "secrets[].mode": [
        ({"secrets": [{"source": "s", "mode": 0o400}]}, {"files": placed("/run/secrets/s", "text of key", mode="0400")})
    ],
    "devices": [({"devices": ["/dev/fuse:/dev/fuse:rwm", "/dev/null"]}, {"devices": ["/dev/fuse:/dev/fuse:rwm", "/dev/null"]}),
        ({"devices": ["vendor1.com/gpu=all"]}, {"device_requests": [{"driver": "cdi", "device_ids": ["vendor1.com/gpu=all"]}]}),
    ],
    "device_cgroup_rules": [({"device_cgroup_rules": ["c 1:3 mr"]}, {"device_cgroup_rules": ["c 1:3 mr"]})],
    "dns_opt": [({"dns_opt": ["ndots:1"]}, {"dns_opt": ["ndots:1"]})],
    "runtime": [({"runtime": "nvidia"}, {"runtime": "nvidia"})],
    "cgroup": [({"cgroup": "private"}, {"cgroupns_mode": "private"})],
    "gpus": [({"gpus": "all"}, {"device_requests": [{"capabilities": ["gpu"]}]})],
    **{
        f"gpus[].{key}": [({"gpus": [{key: value}]}, {"device_requests": [{"capabilities": ["gpu"], key: value}]})]
        for key, value in DEVICE_REQUEST.items()
    },
    "deploy.resources.reservations.devices": [({"deploy": {"resources": {"reservations": {"devices": []}}}}, {})],
    **{
        f"deploy.resources.reservations.devices[].{key}": [
            (
                {"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"], key: value}]}}}},
                {"device_requests": [{"capabilities": ["gpu"], key: value}]},
            )
        ]
        for key, value in DEVICE_REQUEST.items()
    },
    "devices[].source": [({"devices": [{"source": "/dev/a"}]}, {"devices": ["/dev/a:/dev/a:rwm"]})],
    "devices[].target": [({"devices": [{"source": "/dev/a", "target": "/dev/b"}]}, {"devices": ["/dev/a:/dev/b:rwm"]})],
    "devices[].permissions": [({"devices": [{"source": "/dev/a", "permissions": "r"}]}, {"devices": ["/dev/a:/dev/a:r"]})],
    "dns": [({"dns": "8.8.8.8"}, {"dns": ["8.8.8.8"]}), ({"dns": ["8.8.8.8", "9.9.9.9"]}, {"dns": ["8.8.8.8", "9.9.9.9"]})],
    "dns_search": [
        ({"dns_search": "a.example"}, {"dns_search": ["a.example"]}),
        ({"dns_search": ""}, {"dns_search": ["."]}),
    ],
    "domainname": [({"domainname": "a.example"}, {"domainname": "a.example"})],
    "entrypoint": [
        ({"entrypoint": "/code/start.sh"}, {"entrypoint": "/code/start.sh"}),
        ({"entrypoint": ["php", "-d"]}, {"entrypoint": ["php", "-d"]}),
        ({"entrypoint": []}, {"entrypoint": []}),
        ({"entrypoint": None}, {}),
    ],
    "env_file": [
        ({"env_file": "one.env"}, {"environment": {"A": "1"}}),
        ({"env_file": ["./one.env"], "environment": {"A": 2}}, {"environment": {"A": "2"}}),
    ],
    "env_file[].path": [({"env_file": [{"path": "one.env"}]}, {"environment": {"A": "1"}})],
    "env_file[].format": [({"env_file": [{"path": "one.env", "format": "raw"}]}, {"environment": {"A": "1"}})],
    "env_file[].required": [({"env_file": [{"path": "none.env", "required": False}]}, {})],
    "environment": [
        ({"environment": {"A": "x", "N": 1, "F": 1.5, "W": 2.0, "B": True, "E": "", "NONE": None}},
         {"environment": {"A": "x", "N": "1", "F": "1.5", "W": "2", "B": "true", "E": ""}}),
        ({"environment": ["A=x=y", "E=", "NONE"]}, {"environment": {"A": "x=y", "E": ""}}),
    ],
    "extends": [({"extends": "db"}, {})],
    "extends.service": [({"extends": {"service": "db"}}, {})],
    "extends.file": [({"extends": {"service": "app", "file": "other.yaml"}, "image": None}, {"image": "other"})],
    "extra_hosts": [
        ({"extra_hosts": ["a=162.242.195.82", "b:50.31.209.229", "v6=[::1]"]},
         {"extra_hosts": {"a": "162.242.195.82", "b": "50.31.209.229", "v6": "[::1]"}}),
        ({"extra_hosts": {"a": "::1", "gw": ["host-gateway"]}}, {"extra_hosts": {"a": "::1", "gw": "host-gateway"}}),
    ],
    "group_add": [({"group_add": ["mail", 12]}, {"group_add": ["mail", 12]})],
    "healthcheck": [({"healthcheck": {}}, {})],
    "healthcheck.test": [
        ({"healthcheck": {"test": "curl -f x || exit 1"}}, {"healthcheck": {"test": ["CMD-SHELL", "curl -f x || exit 1"]}}),
        ({"healthcheck": {"test": ["CMD", "curl"]}}, {"healthcheck": {"test": ["CMD", "curl"]}}),
        ({"healthcheck": {"test": ["NONE"]}}, {"healthcheck": {"test": ["NONE"]}}),
    ],
    "healthcheck.interval": [({"healthcheck": {"interval": "1m30s"}}, {"healthcheck": {"interval": "1m30s"}})],
    "healthcheck.timeout": [({"healthcheck": {"timeout": "10s"}}, {"healthcheck": {"timeout": "10s"}})],
    "healthcheck.retries": [({"healthcheck": {"retries": 3}}, {"healthcheck": {"retries": 3}})],
    "healthcheck.start_period": [({"healthcheck": {"start_period": "40s"}}, {"healthcheck": {"start_period": "40s"}})],
    "healthcheck.start_interval": [({"healthcheck": {"start_interval": "5s"}}, {"healthcheck": {"start_interval": "5s"}})],
    "healthcheck.disable": [
        ({"healthcheck": {"disable": True}}, {"healthcheck": {"test": ["NONE"]}}),
        ({"healthcheck": {"disable": "false"}}, {}),
    ],
    "container_name": [
        ({"container_name": "my_web"}, {"networks": {"default": ["my_web"]}}),
        ({"container_name": "web"}, {}),
        ({"container_name": "My.Web"}, {"networks": {"default": ["my.web"]}}),
    ],
    "hostname": [({"hostname": "web1"}, {"hostname": "web1"})],
    "image": [({"image": "my-private.registry:5000/redis"}, {"image": "my-private.registry:5000/redis"})],
    "init": [({"init": True}, {"init": True}), ({"init": "false"}, {"init": "false"})],
    "label_file": [({"label_file": "one.labels"}, {"labels": {"a.b": "c"}}), ({"label_file": ["one.labels"]}, {"labels": {"a.b": "c"}})],
    "labels": [
        ({"labels": {"a": "x", "n": 1, "e": ""}}, {"labels": {"a": "x", "n": "1", "e": ""}}),
        ({"labels": ["a=x", "e"], "label_file": "one.labels"}, {"labels": {"a.b": "c", "a": "x", "e": None}}),
    ],
    "links": [({"links": ["db", "db:database"]}, {"links": ["db", "db:database"]})],
    "logging": [
        ({"logging": {"driver": "none"}}, {"log": {"driver": "none"}}),
        ({"logging": {"options": {"a": "b"}}}, {"log": {"driver": "json-file", "options": {"a": "b"}}}),
    ],
    "logging.driver": [({"logging": {"driver": "local"}}, {"log": {"driver": "local"}})],
    "logging.options": [
        ({"logging": {"driver": "local", "options": {"max-file": 3}}}, {"log": {"driver": "local", "options": {"max-file": 3}}})
    ],
    "mem_limit": [({"mem_limit": "300m"}, {"memory": "300m"}), ({"mem_limit": 0}, {})],
    "mem_reservation": [({"mem_reservation": "10mb"}, {"memory_reservation": "10mb"})],
    "memswap_limit": [
        ({"mem_limit": "300m", "memswap_limit": "1gb"}, {"memory": "300m", "memory_swap": "1gb"}),
        ({"memswap_limit": -1}, {"memory_swap": -1}),
        ({"memswap_limit": 0}, {}),
    ],
    "networks": [({"networks": ["default"]}, {}), ({"networks": {"default": None}}, {}), ({"networks": []}, {})],
    "networks.*.aliases": [({"networks": {"default": {"aliases": ["w"]}}}, {"networks": {"default": ["w"]}})],
    "oom_score_adj": [({"oom_score_adj": -500}, {"oom_score_adj": -500})],
    "pids_limit": [({"pids_limit": 10}, {"pids_limit": 10}), ({"pids_limit": -1}, {})],
    "ports": [
        ({"ports": ["3000", 3001]}, {"ports": ["3000/tcp", "3001/tcp"]}),
        ({"ports": ["9090-9091:8080-8081"]}, {"ports": ["9090-9091:8080-8081/tcp"]}),
        ({"ports": ["127.0.0.1:5000-5010:5000-5010"]}, {"ports": ["127.0.0.1:5000-5010:5000-5010/tcp"]}),
        ({"ports": ["::1:6000:6000", "[::1]:6001:6001"]}, {"ports": ["[::1]:6000:6000/tcp", "[::1]:6001:6001/tcp"]}),
        ({"ports": ["6060:6060/UDP"]}, {"ports": ["6060:6060/udp"]}),
    ],
    "ports[].target": [({"ports": [{"target": 80}]}, {"ports": ["80/tcp"]})],
    "ports[].published": [
        ({"ports": [{"target": 80, "published": "8080"}]}, {"ports": ["8080:80/tcp"]}),
        ({"ports": [{"target": "80", "published": 8080}]}, {"ports": ["8080:80/tcp"]}),
    ],
    "ports[].host_ip": [({"ports": [{"target": 80, "published": 81, "host_ip": "::1"}]}, {"ports": ["[::1]:81:80/tcp"]})],
    "ports[].protocol": [({"ports": [{"target": 80, "protocol": "udp"}]}, {"ports": ["80/udp"]})],
    "privileged": [({"privileged": True}, {"privileged": True})],
    "profiles": [({"profiles": []}, {})],
    "pull_policy": [({"pull_policy": policy}, {"pull": policy}) for policy in ("missing", "always", "never")]
    + [({"pull_policy": policy}, {"pull": "missing"}) for policy in ("if_not_present", "build")]
    + [({"pull_policy": policy}, {"pull": "always"}) for policy in ("daily", "weekly", "every_12h")],
    "annotations": [
        ({"annotations": {"a.b": 1}}, {"annotations": {"a.b": "1"}}),
        ({"annotations": ["a.b=c"]}, {"annotations": {"a.b": "c"}}),
    ],
    "mac_address": [({"mac_address": "02:42:AC:11:00:07"}, {"mac_address": "02:42:AC:11:00:07"})],
    **{
        f"networks.*.{key}": [
            ({"networks": {"default": {key: value}}}, {"networks": {"default": {"aliases": [], key: value}}})
        ]
        for key, value in (("ipv4_address", "172.30.0.7"), ("ipv6_address", "fd00::7"))
    },
    "networks.*.mac_address": [
        ({"networks": {"default": {"mac_address": "02:42:ac:11:00:07"}}}, {"mac_address": "02:42:ac:11:00:07"})
    ],
    "networks.*.priority": [({"networks": {"default": {"priority": 10}}}, {})],
    "read_only": [({"read_only": True}, {"read_only": True})],
    "restart": [({"restart": policy}, {"restart": policy}) for policy in ("no", "always", "on-failure", "on-failure:3", "unless-stopped")],
    "security_opt": [
        ({"security_opt": ["no-new-privileges:false"]}, {"no_new_privileges": False}),
        ({"security_opt": ["no-new-privileges"]}, {"no_new_privileges": True}),
        ({"security_opt": ["label:user:USER", "apparmor=unconfined"]}, {"security_opt": ["label=user:USER", "apparmor=unconfined"]}),
        ({"security_opt": ["seccomp:unconfined"]}, {"security_opt": ["seccomp=unconfined"]}),
        ({"security_opt": ["seccomp=./seccomp.json"]}, {"security_opt": ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']}),
    ],
    "shm_size": [({"shm_size": "64m"}, {"shm_size": "64m"})],
    "stdin_open": [({"stdin_open": True}, {"stdin_open": True})],
    "stop_grace_period": [({"stop_grace_period": "1m30s"}, {"stop_grace_period": "1m30s"})],
    "stop_signal": [({"stop_signal": "SIGUSR1"}, {"stop_signal": "SIGUSR1"})],
    "sysctls": [
        ({"sysctls": {"net.core.somaxconn": 1024}}, {"sysctls": {"net.core.somaxconn": 1024}}),
        ({"sysctls": ["net.core.somaxconn=1024"]}, {"sysctls": {"net.core.somaxconn": "1024"}}),
    ],
    "tmpfs": [
        ({"tmpfs": "/run"}, {"tmpfs": ["/run"]}),
        ({"tmpfs": ["/data:mode=755,uid=1009", "/run"]}, {"tmpfs": ["/data:mode=755,uid=1009", "/run"]}),
    ],
    "tty": [({"tty": True}, {"tty": True})],
    "ulimits": [({"ulimits": {"nproc": 65535}}, {"ulimits": {"nproc": 65535}})],
    "ulimits.*.soft": [({"ulimits": {"nofile": {"soft": 1, "hard": 2}}}, {"ulimits": {"nofile": {"soft": 1, "hard": 2}}})],
    "ulimits.*.hard": [({"ulimits": {"nofile": {"soft": "1", "hard": "2"}}}, {"ulimits": {"nofile": {"soft": "1", "hard": "2"}}})],
    "user": [({"user": "1000:1000"}, {"user": "1000:1000"}), ({"user": 1000}, {"user": 1000})],
    "volumes": [
        ({"volumes": ["data:/data", "/srv:/x:ro,z", "data:/y:cached"]}, {"volumes": ["data:/data", "/srv:/x:ro,z", "data:/y"]}),
        ({"volumes": ["/var/lib/x.y"]}, {"volumes": ["web_var_lib_x_y:/var/lib/x.y"]}),
    ],
    "volumes[].type": [
        ({"volumes": [{"type": "bind", "source": "/srv", "target": "/x"}]}, {"volumes": ["/srv:/x"]}),
        ({"volumes": [{"type": "volume", "source": "data", "target": "/x"}]}, {"volumes": ["data:/x"]}),
        ({"volumes": [{"type": "tmpfs", "target": "/x"}], "tmpfs": ["/y"]}, {"tmpfs": ["/y", "/x"]}),
    ],
    "volumes[].source": [({"volumes": [{"type": "volume", "target": "/x"}]}, {"volumes": ["web_x:/x"]})],
    "volumes[].target": [({"volumes": [{"type": "volume", "source": "data", "target": "/x"}]}, {"volumes": ["data:/x"]})],
    "volumes[].read_only": [
        ({"volumes": [{"type": "volume", "source": "data", "target": "/x", "read_only": True}]}, {"volumes": ["data:/x:ro"]})
    ],
    "volumes[].bind": [({"volumes": [{"type": "bind", "source": "/a", "target": "/x", "bind": {}}]}, {"volumes": ["/a:/x"]})],
    "volumes[].bind.propagation": [
        ({"volumes": [{"type": "bind", "source": "/a", "target": "/x", "bind": {"propagation": "rslave"}}]}, {"volumes": ["/a:/x:rslave"]})
    ],
    "volumes[].bind.selinux": [
        ({"volumes": [{"type": "bind", "source": "/a", "target": "/x", "bind": {"selinux": "z"}}]}, {"volumes": ["/a:/x:z"]})
    ],
    "volumes[].volume": [({"volumes": [{"type": "volume", "source": "data", "target": "/x", "volume": {}}]}, {"volumes": ["data:/x"]})],
    "volumes[].volume.nocopy": [
        ({"volumes": [{"type": "volume", "source": "data", "target": "/x", "volume": {"nocopy": True}}]}, {"volumes": ["data:/x:nocopy"]})
    ],
    "volumes[].volume.subpath": [
        (
            {"volumes": [{"type": "volume", "source": "data", "target": "/x", "read_only": True, "volume": {"subpath": "a/b"}}]},
            {"volumes": [{"source": "data", "target": "/x", "modes": ["ro"], "subpath": "a/b"}]},
        )
    ],
    "volumes[].bind.create_host_path": [
        (
            {"volumes": [{"type": "bind", "source": "/a", "target": "/x", "bind": {"create_host_path": create}}]},
            {"volumes": [expected]},
        )
        for create, expected in ((False, {"source": "/a", "target": "/x", "create_host_path": False}), (True, "/a:/x"))
    ],
    "volumes_from": [({"volumes_from": ["db:ro"], "volumes": ["data:/x"]}, {"links": ["db"], "volumes": ["data:/x"]})],
    "volumes[].tmpfs": [({"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {}}]}, {"tmpfs": ["/x"]})],
    "volumes[].tmpfs.size": [({"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {"size": "1k"}}]}, {"tmpfs": ["/x:size=1024"]})],
    "volumes[].tmpfs.mode": [
        ({"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {"mode": 0o1777}}]}, {"tmpfs": ["/x:mode=1777"]}),
        ({"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {"mode": "0755"}}]}, {"tmpfs": ["/x:mode=755"]}),
    ],
    "working_dir": [({"working_dir": "/srv"}, {"working_dir": "/srv"})],
}  # fmt: skip

POOL = {
    "subnet": "172.30.0.0/24",
    "ip_range": "172.30.0.128/25",
    "gateway": "172.30.0.1",
    "aux_addresses": {"router": "172.30.0.2"},
}
NETWORKS: dict[str, dict[str, t.Any]] = {
    "driver_opts": {"driver_opts": {"com.docker.network.bridge.name": "br0"}},
    "enable_ipv6": {"enable_ipv6": True},
    "external": {"external": True},
    "internal": {"internal": "true"},
    "ipam": {"ipam": {"driver": "default", "config": [POOL]}},
    "ipam.config": {"ipam": {"config": [{"subnet": "172.30.0.0/24"}]}},
    **{f"ipam.config[].{key}": {"ipam": {"config": [{"subnet": POOL["subnet"], key: POOL[key]}]}} for key in POOL},
    "name": {"name": "proxy"},
}

# Whole documents, and the containers they describe.
DOCUMENTS: dict[str, tuple[dict[str, t.Any], dict[str, t.Any]]] = {
    "services": ({"services": {"a": {"image": "b"}}}, {"a": {"image": "b", "restart": "no"}}),
    "networks": (
        {"services": {"a": {"image": "b", "networks": ["n"]}}, "networks": {"n": {}}},
        {"a": {"image": "b", "restart": "no"}},
    ),
    **{
        f"networks.*.{key}": (
            {"services": {"a": {"image": "b", "networks": ["n"]}}, "networks": {"n": tree}},
            {"a": {"image": "b", "restart": "no", "networks": {"n": []}}},
        )
        for key, tree in NETWORKS.items()
    },
    "secrets": granting("secrets", file="key.txt"),
    "secrets.*.file": granting("secrets", file="/p/key.txt"),
    "secrets.*.environment": granting("secrets", environment="KEY"),
    "configs": granting("configs", file="key.txt"),
    "configs.*.file": granting("configs", file="./key.txt"),
    "configs.*.environment": granting("configs", environment="KEY"),
    "configs.*.content": granting("configs", content="text of ${WORD}"),
    "volumes": (
        {"services": {"a": {"image": "b", "volumes": ["v:/v"]}}, "volumes": {"v": None}},
        {"a": {"image": "b", "restart": "no", "volumes": ["v:/v"]}},
    ),
    **{
        f"volumes.*.{key}": (
            {"services": {"a": {"image": "b", "volumes": ["data:/v"]}}, "volumes": {"data": {key: value}}},
            {"a": {"image": "b", "restart": "no", "volumes": ["data:/v"]}},
        )
        for key, value in (
            ("external", True),
            ("name", "pgdata"),
            ("driver_opts", {"type": "nfs", "o": "addr=10.0.0.9", "device": ":/x"}),
        )
    },
    "include": (
        {"include": ["other.yaml"]},
        {"app": {"image": "other", "restart": "no"}, "second": {"image": "second", "restart": "no"}},
    ),
    "include[].path": (
        {"include": [{"path": "second/compose.yaml"}]},
        {"second": {"image": "second:0", "restart": "no", "environment": {"TWO": "2"}}},
    ),
    "include[].env_file": (
        {"include": [{"path": "second/compose.yaml", "env_file": "second/tag.env"}]},
        {"second": {"image": "second:7", "restart": "no", "environment": {"TWO": "2"}}},
    ),
    "include[].project_directory": (
        {"include": [{"path": ["second/compose.yaml"], "project_directory": "/q"}]},
        {"second": {"image": "second:0", "restart": "no", "environment": {"TWO": "q"}}},
    ),
}

# Documents in which a key without effect stands.
IDLE: dict[str, dict[str, t.Any]] = {
    "models": {"models": {"m": {"model": "ai/x"}}},
    "name": {"name": "project"},
    "networks.*.attachable": {"networks": {"default": {"attachable": True}}},
    "services.*.attach": {"attach": False},
    "services.*.build": {"build": {"context": ".", "args": {"A": "b"}}},
    "services.*.develop": {"develop": {"watch": [{"path": ".", "action": "sync", "target": "/x"}]}},
    "services.*.expose": {"expose": ["3000", 8000]},
    "services.*.ports[].app_protocol": {"ports": [{"target": 80, "app_protocol": "http"}]},
    "services.*.ports[].mode": {"ports": [{"target": 80, "mode": "host"}]},
    "services.*.ports[].name": {"ports": [{"target": 80, "name": "web"}]},
    "services.*.volumes[].consistency": {
        "volumes": [{"type": "bind", "source": "/a", "target": "/b", "consistency": "cached"}]
    },
    "version": {"version": "3.8"},
}

# What stands under a key that has no effect on one engine.
TOLD: dict[str, dict[str, t.Any]] = {
    "services.*.deploy.endpoint_mode": {"endpoint_mode": "vip"},
    "services.*.deploy.labels": {"labels": {"a": "b"}},
    "services.*.deploy.placement": {"placement": {"constraints": ["node.role == manager"]}},
    "services.*.deploy.restart_policy.delay": {"restart_policy": {"condition": "none", "delay": "5s"}},
    "services.*.deploy.restart_policy.window": {"restart_policy": {"condition": "none", "window": "2m"}},
    "services.*.deploy.rollback_config": {"rollback_config": {"parallelism": 1}},
    "services.*.deploy.update_config": {"update_config": {"order": "start-first"}},
}

SERVICE_CASES = [(f"services.*.{key}", *case) for key, cases in SERVICES.items() for case in cases]
REFUSED = {key: answer for key, answer in KEYS.items() if isinstance(answer, Refused)}


@pytest.mark.parametrize("key", SPECIFICATION)
def test_the_table_answers_every_key_of_the_specification(key: str) -> None:
    assert answer(key) is not None


@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_table_holds_keys_of_the_specification_only(key: str) -> None:
    assert key in SPECIFICATION


def test_no_key_is_without_a_case() -> None:
    supported = {key for key, answer in KEYS.items() if isinstance(answer, Supported)}
    assert {key for key, *_case in SERVICE_CASES} | DOCUMENTS.keys() == supported
    assert IDLE.keys() == {key for key, answer in KEYS.items() if isinstance(answer, WithoutEffect)}
    assert TOLD.keys() == {key for key, answer in KEYS.items() if isinstance(answer, Told)}


@pytest.mark.parametrize("path", sorted(TOLD))
def test_a_key_without_effect_on_one_engine_is_told(path: str) -> None:
    tree = {"services": {"web": {"image": "redis:7", "deploy": TOLD[path]}}}
    found = compose_set(
        "shop", ComposeSource(files=("/p/compose.yaml",)), {"/p/compose.yaml": yaml.safe_dump(tree)}.get
    )
    assert found.containers == {"web": PLAIN}
    (warning,) = found.warnings
    assert warning.startswith(f"{path.replace('*', 'web')} has no effect: ")


@pytest.mark.parametrize(("key", "service", "expected"), SERVICE_CASES)
def test_a_supported_key_of_a_service(key: str, service: dict[str, t.Any], expected: dict[str, t.Any]) -> None:
    assert web(service) == {**PLAIN, **expected}


@pytest.mark.parametrize("key", sorted(DOCUMENTS))
def test_a_supported_key_of_the_file(key: str) -> None:
    tree, expected = DOCUMENTS[key]
    assert containers(tree, environment={"KEY": "text of key", "WORD": "key"}) == expected


@pytest.mark.parametrize("key", sorted(NETWORKS))
def test_what_a_file_says_of_a_network_is_said_of_the_sets(key: str) -> None:
    tree = {
        "services": {"a": {"image": "b", "networks": ["n"]}},
        "networks": {"n": NETWORKS[key], "unused": {"internal": True}},
    }
    found = compose_set("shop", ComposeSource(files=("/p/c.yaml",)), {"/p/c.yaml": yaml.safe_dump(tree)}.get)
    assert found.network == "declared"
    flattened = {
        **NETWORKS[key],
        **({"ipam_config": NETWORKS[key]["ipam"]["config"]} if "ipam" in NETWORKS[key] else {}),
    }
    assert found.networks == {"n": {name: value for name, value in flattened.items() if name != "ipam"}}


def _without(tree: t.Any, key: str) -> t.Any:
    if isinstance(tree, dict):
        return {name: _without(value, key) for name, value in tree.items() if name != key}
    return [_without(item, key) for item in tree] if isinstance(tree, list) else tree


@pytest.mark.parametrize("path", sorted(IDLE))
def test_a_key_without_effect(path: str) -> None:
    key = path.rpartition(".")[2]
    with_it = IDLE[path]
    without_it = _without(with_it, key)
    assert with_it != without_it
    if path.startswith("services."):
        assert web(with_it) == web(without_it)
    else:
        assert web({}, **with_it) == web({}, **without_it)


def _document(path: str, value: t.Any) -> dict[str, t.Any]:
    """A document that says ``value`` at the path of the table."""
    tree: t.Any = value
    for part in reversed(path.split(".")):
        name, listed, _rest = part.partition("[]")
        tree = {"one" if name == "*" else name: [tree] if listed else tree}
    tree.setdefault("services", {"one": {}})["one"]["image"] = "redis:7"
    return tree


@pytest.mark.parametrize("path", sorted(REFUSED))
def test_a_refused_key(path: str) -> None:
    key = path.rpartition(".")[2]
    lists = ("secrets", "configs", "link_local_ips", "annotations", "labels")
    with pytest.raises(OptionError) as failed:
        containers(_document(path, ["x"] if key in lists else "x"))
    assert failed.value.option == path.replace("*", "one").replace("[]", "[0]")
    assert failed.value.message == f"{failed.value.option}: {key!r} cannot be used; {REFUSED[path].instead}"


@pytest.mark.parametrize("path", sorted(path for path, answer in REFUSED.items() if answer.unless))
def test_a_refused_key_may_say_what_is_done_anyway(path: str) -> None:
    for value in REFUSED[path].unless:
        tree = _document(path, value)
        service = tree["services"]["one"]
        service.setdefault("depends_on", {}).setdefault("one", {})
        service["depends_on"] = {"db": service["depends_on"]["one"]}
        tree["services"]["db"] = {"image": "redis:7"}
        tree.setdefault("networks", {}).setdefault("one", None)
        for mount in service.get("volumes", []):
            mount.update(type="bind", source="/a", target="/b")
        plain = {"image": "redis:7", "restart": "no", "links": ["db"]}
        if "networks" in service:
            plain["networks"] = {"one": []}
        if "volumes" in service:
            plain["volumes"] = ["/a:/b"]
        assert containers(tree)["one"] == plain


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ({"entrypoint": 3}, "entrypoint: 3"),
        ({"depends_on": {"db": {"condition": "service_done"}}}, r"depends_on\.db\.condition: "),
        ({"scale": 0}, "scale: 0"),
        ({"scale": 2, "deploy": {"replicas": 3}}, r"deploy\.replicas: 3 .*scale says another"),
        ({"ipc": "container:abc"}, "ipc: 'container:abc'"),
        ({"blkio_config": {"device_read_bps": [{"path": "/dev/sda"}]}}, r"blkio_config\.device_read_bps\[0\]\.rate: "),
        ({"depends_on": ["mqq"]}, r"depends_on\.mqq: .*did you mean 'mq'"),
        ({"depends_on": ["web"]}, r"depends_on\.web: .*does not depend on itself"),
        ({"links": ["dbx:y"]}, r"links\[0\]: .*did you mean 'db'"),
        ({"ports": ["8000-9000:80"]}, r"ports\[0\]: .*say one host port"),
        ({"ports": ["127.0.0.1::80"]}, r"ports\[0\]: .*say the host port too"),
        ({"ports": [{"published": 80}]}, r"ports\[0\]: .*say the container's port"),
        ({"ports": ["99999"]}, r"ports\[0\]: "),
        ({"ports": [{"target": 80, "publish": 80}]}, r"ports\[0\]\.publish: .*did you mean 'published'"),
        ({"volumes": ["~/html:/html"]}, r"volumes\[0\]: '~/html' .*an absolute path of the VM"),
        ({"volumes": ["unknown:/x"]}, r"volumes\[0\]: 'unknown' .*declare it under volumes"),
        ({"volumes": ["data:/x:what"]}, r"volumes\[0\]: .*'what' is no mode"),
        ({"volumes": ["/var/run/docker.sock:/var/run/docker.sock"]}, r"volumes\[0\]: .*owns the VM"),
        ({"volumes": ["/run:/host/run:ro"]}, r"volumes\[0\]: .*owns the VM.*compose_engine_socket"),
        ({"volumes": [{"type": "npipe", "source": "x", "target": "/x"}]}, r"volumes\[0\]\.type: 'npipe'"),
        ({"volumes": [{"type": "bind", "source": "data", "target": "/x"}]}, r"volumes\[0\]\.source: .*absolute path"),
        ({"volumes": [{"type": "tmpfs", "target": "x"}]}, r"volumes\[0\]\.target: 'x'"),
        ({"blkio_config": {"device_read_bps": [None]}}, r"blkio_config\.device_read_bps\[0\]: .*path and rate"),
        ({"gpus": [{"count": 0}]}, r"gpus\[0\]\.count: 0"),
        ({"gpus": "some"}, "gpus: 'str' .*write a list"),
        ({"gpus": [{"count": 1, "device_ids": ["0"]}]}, r"gpus\[0\]\.count: 1 .*keep one"),
        ({"deploy": {"resources": {"reservations": {"devices": [{"driver": "nvidia"}]}}}}, r"deploy\.resources\.reservations\.devices\[0\]\.capabilities: "),
        ({"device_cgroup_rules": ["c 1:3"]}, r"device_cgroup_rules\[0\]: 'c 1:3'"),
        ({"networks": ["back"]}, r"networks\.back: .*no such network"),
        ({"mac_address": "01:00:5e:00:00:01"}, r"networks\.default\.mac_address: '01:00:5e"),
        ({"annotations": {"a": [1]}}, r"annotations\.a: "),
        ({"network_mode": "container:abc"}, r"network_mode: 'container:abc' .*none, host, service:NAME"),
        ({"network_mode": "service:db", "networks": {"default": None}}, r"networks: .*network_mode has no networks"),
        ({"network_mode": "none", "mac_address": "02:42:ac:11:00:07"}, r"mac_address: "),
        ({"pid": "container:abc"}, r"pid: 'container:abc'"),
        ({"pull_policy": "hourly"}, r"pull_policy: 'hourly'"),
        ({"pull_policy": ["always"]}, "pull_policy: "),
        ({"devices": [{"source": {}}]}, r"devices\[0\]: "),
        ({"restart": "sometimes"}, "restart: 'sometimes'"),
        ({"deploy": {"restart_policy": {"condition": "any", "max_attempts": 3}}}, r"deploy\.restart_policy\.max_attempts: 3"),
        ({"cpus": 1, "deploy": {"resources": {"limits": {"cpus": 2}}}}, r"deploy\.resources\.limits\.cpus: 2 .*cpus says 1"),
        ({"mem_limit": "2 Gigs"}, "mem_limit: '2 Gigs'"),
        ({"healthcheck": {"test": ["curl"]}}, r"healthcheck\.test: "),
        ({"extra_hosts": ["a=1.1.1.1", "a=2.2.2.2"]}, "extra_hosts: .*a is 1.1.1.1 already"),
        ({"labels": {"com.docker.compose.project": "x"}}, r"labels\.com\.docker\.compose\.project: "),
        ({"security_opt": ["seccomp=./none.json"]}, r"security_opt\[0\]: '/p/none.json' .*no such file"),
        ({"env_file": [{"path": "one.env", "format": "toml"}]}, r"env_file\[0\]\.format: 'toml'"),
        ({"environment": {"A": ["x"]}}, r"environment\.A: 'list'"),
        ({"secrets": ["x"]}, r"secrets\[0\]: 'x' .*define it under secrets"),
        ({"configs": ["c", {"source": "c", "target": "/c"}], "secrets": [{"source": "s", "target": "/c"}]}, r"configs\[0\]: '/c' .*another file"),
        ({"secrets": [{"source": "s", "mode": "rw"}]}, r"secrets\[0\]\.mode: 'rw'"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_used_is_refused_by_its_key(service: dict[str, t.Any], message: str) -> None:
    with pytest.raises(OptionError, match=rf"^services\.web\.{message}"):
        web(service)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({}, r"^secrets\.x: \[\] .*one of file, environment"),
        (None, r"^secrets\.x: \[\] .*one of file, environment"),
        ({"file": "key.txt", "environment": "KEY"}, r"^secrets\.x: \['environment', 'file'\]"),
        ({"file": "gone.txt"}, r"^secrets\.x\.file: '/p/gone.txt' .*no such file"),
        ({"environment": "GONE"}, r"^secrets\.x\.environment: 'GONE' .*not set"),
        ({"content": "x"}, r"^secrets\.x\.content: .*no such key"),
    ],
)
def test_a_secret_that_comes_from_nowhere_is_refused(definition: dict[str, t.Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        web({"secrets": ["x"]}, secrets={"x": definition})


def test_a_refusal_does_not_show_what_may_be_secret() -> None:
    with pytest.raises(OptionError) as failed:
        web({"environment": {"PASSWORD": ["hunter2"]}})
    assert "hunter2" not in failed.value.message
