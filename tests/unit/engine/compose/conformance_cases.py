"""A case for each key of the Compose Specification that may stand in a file: what is written, and what its container, or the set, then says.

Relative files are those of ``FILES`` in ``test_conformance.py``, which holds the cases to the table of keys.
"""

from __future__ import annotations

import typing as t

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
