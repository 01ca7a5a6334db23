# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is a finding, how bad it is, and what is none."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.findings import container_findings
from hypothesis import given, settings

from .model import spec_of, wanted_of
from .test_plan_laws import definitions, deployed


def found(definition: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    spec = spec_of({"web": {"image": "box:1", **definition}})
    return container_findings("acme", "shop", {name: wanted.values for name, wanted in wanted_of(spec).items()})


def kinds(definition: dict[str, t.Any]) -> list[tuple[str, str]]:
    return [(each["severity"], each["id"]) for each in found(definition)]


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({}, []),
        (
            {
                "ports": ["8080:80", "127.0.0.1:6379:6379"],
                "volumes": ["data:/data", "/srv:/srv:ro"],
                "cap_add": ["NET_RAW"],
            },
            [],
        ),
        ({"volumes": ["/srv/www:/srv"], "user": "1000:0"}, []),
        ({"privileged": True, "cap_add": ["ALL"], "security_opt": ["seccomp=unconfined"]}, [("high", "privileged")]),
        ({"pid_mode": "host"}, [("high", "host-pid")]),
        ({"device_cgroup_rules": ["c 1:3 r", "b *:* rwm"]}, []),
        ({"device_cgroup_rules": ["b *:* rwm"], "cap_add": ["MKNOD"]}, [("high", "host-disk")]),
        ({"ipc_mode": "host"}, [("medium", "host-ipc")]),
        ({"userns_mode": "host"}, [("medium", "host-users")]),
        ({"uts_mode": "host"}, [("low", "host-uts")]),
        ({"volumes": ["/run/docker.sock:/s"], "engine_socket": True}, [("high", "engine-socket")]),
        *(
            ({"volumes": [f"{folder}:/host:ro"], "engine_socket": True}, [("high", "engine-socket")])
            for folder in ("/", "/run", "/var/run", "/var")
        ),
        ({"volumes": ["/var/lib:/x"]}, [("low", "root-writes-to-vm")]),
        ({"devices": ["/dev/xvda"]}, [("high", "host-disk")]),
        ({"devices": ["/dev/fuse"]}, []),
        ({"cap_add": ["SYS_ADMIN", "NET_ADMIN"]}, [("high", "owning-capability"), ("medium", "added-capability")]),
        ({"security_opt": ["apparmor=unconfined"]}, [("medium", "unconfined-apparmor")]),
        ({"no_new_privileges": False}, [("low", "new-privileges")]),
        ({"ports": ["6379:6379"]}, [("medium", "open-store")]),
        ({"ports": ["2375:2375"]}, [("high", "open-store")]),
    ],
)
def test_what_is_a_finding(definition: dict[str, t.Any], expected: list[tuple[str, str]]) -> None:
    assert kinds(definition) == expected


def test_a_finding_says_what_where_whose_how_bad_and_how_to_mend_it() -> None:
    assert found({"cap_add": ["SYS_ADMIN"]}) == [
        {
            "id": "owning-capability",
            "severity": "high",
            "tenant": "acme",
            "where": "container shop_web",
            "what": "with SYS_ADMIN it can take over its VM",
            "mend": "take them out of cap_add",
        }
    ]


@settings(max_examples=20)
@given(definitions())
def test_what_was_deployed_has_the_findings_that_were_announced(definition: dict[str, t.Any]) -> None:
    spec = spec_of(definition)
    announced = container_findings("acme", "shop", {name: wanted.values for name, wanted in wanted_of(spec).items()})
    containers = deployed(definition, "per-link").current()
    assert container_findings("acme", "shop", {name: one.options for name, one in containers.items()}) == announced
