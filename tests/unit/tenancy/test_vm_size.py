# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A VM's size and the limits of the containers in it."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.hardshell.xen.plugins.filter.vm_size import vm_size
from ansible_collections.hardshell.xen.plugins.module_utils._pool.sizes import GIB, MIB

ROLES = Path(__file__).parents[3] / "roles"
LIMITED = {"web": {"cpus": 0.5, "memory": "256MiB"}, "db": {"cpus": 1, "memory": "512m"}}


@pytest.mark.parametrize(
    ("containers", "vcpus", "memory", "size"),
    [
        (LIMITED, "auto", "auto", (2, GIB)),
        (LIMITED, 2, "1GiB", (2, GIB)),
        (LIMITED, "4", "auto", (4, GIB)),
        ({"web": {"memory": "100MiB"}}, 1, "auto", (1, 384 * MIB)),
        ({"web": {"image": "a"}}, 1, "64MiB", (1, 64 * MIB)),
        ({}, "1", "1GiB", (1, GIB)),
    ],
)
def test_a_size_that_holds_them(containers: t.Any, vcpus: t.Any, memory: str, size: tuple[int, int]) -> None:
    assert vm_size(containers, vcpus, memory) == {"vcpus": size[0], "memory": size[1]}


@pytest.mark.parametrize(
    ("containers", "vcpus", "memory", "told"),
    [
        (
            LIMITED,
            1,
            "1GiB",
            "vm_vcpus: 1 cannot be used; the cpus of its containers are more (web 0.5, db 1); give 2,",
        ),
        (LIMITED, 2, "1000MiB", "(web 256 MiB, db 512 MiB) and vm_memory_reserve (256 MiB) are 1 GiB; give 1024MiB,"),
        ({**LIMITED, "api": {}}, 2, "auto", "memory of every container, and api has none"),
        ({}, "auto", "1GiB", "cpus of every container, and there are no containers"),
        ({"web": {"cpus": "many"}}, 1, "1GiB", "container_set_containers.web.cpus: 'many'"),
        ({}, "some", "1GiB", "vm_vcpus: 'some' cannot be used; give a number from 1, or auto"),
        ({}, 1, "some", "vm_memory: 'some'"),
    ],
)
def test_one_that_does_not_is_refused(containers: t.Any, vcpus: t.Any, memory: str, told: str) -> None:
    with pytest.raises(AnsibleFilterError) as error:
        vm_size(containers, vcpus, memory)
    assert told in str(error.value)


def test_the_quota_is_held_against_the_size_that_the_vm_gets() -> None:
    """The role tenant runs before the role vm, whose defaults it cannot see: it repeats them."""
    defaults = yaml.safe_load((ROLES / "vm" / "defaults" / "main.yml").read_text())
    tasks = (ROLES / "tenant" / "tasks" / "main.yml").read_text()
    for name in ("vm_vcpus", "vm_memory", "vm_memory_reserve", "vm_state"):
        text = str(defaults[name])
        assert f"{name} | default({text})" in tasks or f"{name} | default('{text}')" in tasks
