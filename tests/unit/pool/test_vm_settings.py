# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM's own record sets: which calls turn it into what is asked for, in which order, and what needs a halt or is refused."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import marks
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import Host, Pool, StorageRepository, Thing
from ansible_collections.hardshell.xen.plugins.module_utils._pool.sizes import GIB
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_boot import Boot
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_changes import ChangedVm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_cpu import Cpu
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import Cd, Disk, Existing, Observed, Vm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_keys import Keys
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_memory import Memory
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_placement import Link, Placement
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_plan import plan_vm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_residence import Migration
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_settings import (
    Settings,
    settings_arguments,
    settings_spec,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import VmSpec

OWNER = marks.Owner("acme", "shop")
POOL = Pool(
    storage=(
        StorageRepository("s1", "v1", "local", GIB, shared=False),
        StorageRepository("s2", "v2", "shared", GIB),
    ),
    members=(
        Host("h1", "w1", "xen1"),
        Host("h2", "w2", "xen2"),
        Host("h3", "w3", "xen2"),
        Host("h4", "w4", "xen4", enabled=False),
    ),
    groups=(Thing("g1", "x1", "acme/web"),),
    appliances=(Thing("a1", "y1", "shop"),),
    ref="pool",
    restrictions={"restrict_vm_groups": "false", "restrict_vtpm": "false"},
)
RUNNING = Vm(
    "shop",
    OWNER,
    "running",
    settings=Settings(Cpu(2, 4, live=2), Memory(GIB, 2 * GIB, 2 * GIB, 4 * GIB)),
    tags=("tenant:acme",),
    host="xen2",
    host_ref="h2",
    ref="vm",
    uuid="uuid",
)


def with_settings(vm: Vm, **parts: t.Any) -> Vm:
    return Vm(**{**vars(vm), "settings": Settings(**{**vars(vm.settings), **parts})})


def asked(state: str = "present", **options: t.Any) -> VmSpec:
    given = {**dict.fromkeys(settings_arguments()), **options}
    return VmSpec("shop", OWNER, state=state, settings=settings_spec(given))


def calls(vm: Vm, pool: Pool = POOL, **options: t.Any) -> list[tuple[t.Any, ...]]:
    """The calls of the change, as message and arguments after the VM."""
    plan = plan_vm(asked(**options), Observed(pool, vm)).plan
    changed = next((change.payload for change in plan.changes if isinstance(change.payload, ChangedVm)), None)
    return [(call.method.removeprefix("VM."), *call.arguments[1:]) for call in (changed.calls if changed else ())]


def test_vcpus_within_the_maximum_change_while_the_vm_runs() -> None:
    assert calls(RUNNING, vcpus=4, vcpus_max=4) == [("set_VCPUs_at_startup", 4), ("set_VCPUs_number_live", 4)]
    assert calls(RUNNING, vcpus=1, vcpus_max=4) == [("set_VCPUs_at_startup", 1), ("set_VCPUs_number_live", 1)]


def test_vcpus_that_somebody_changed_live_are_brought_back() -> None:
    drifted = with_settings(RUNNING, cpu=Cpu(2, 4, live=3))
    assert calls(drifted, vcpus=2, vcpus_max=4) == [("set_VCPUs_number_live", 2)]


@pytest.mark.parametrize(
    ("cpu", "options", "reason"),
    [
        (Cpu(2, 4, live=2), {"vcpus": 2}, "vcpus_max changes from 4 to 2"),
        (Cpu(2, 4, live=2, fixed="the licence"), {"vcpus": 4, "vcpus_max": 4}, "not while it runs, since the licence"),
        (Cpu(2, 4, live=2), {"cores_per_socket": 2}, "cores_per_socket changes from 1 to 2"),
    ],
)
def test_vcpus_that_need_a_halt(cpu: Cpu, options: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(HardshellError, match=reason) as refused:
        calls(with_settings(RUNNING, cpu=cpu), **options)
    assert "allow_power_cycle" in refused.value.message


def test_those_at_start_are_never_more_than_the_maximum() -> None:
    halted = Vm(**{**vars(with_settings(RUNNING, cpu=Cpu(2, 2))), "power_state": "halted"})
    assert calls(halted, vcpus=4) == [("set_VCPUs_max", 4), ("set_VCPUs_at_startup", 4)]
    assert calls(halted, vcpus=1) == [("set_VCPUs_at_startup", 1), ("set_VCPUs_max", 1)]


def test_cores_that_do_not_divide_the_vcpus_are_refused_with_those_that_do() -> None:
    with pytest.raises(OptionError, match="give one of 1, 2, 4"):
        calls(RUNNING, cores_per_socket=3)


def test_weight_and_cap_need_no_halt() -> None:
    assert calls(RUNNING, cpu_weight=512, cpu_cap=150) == [
        ("remove_from_VCPUs_params", "cap"),
        ("add_to_VCPUs_params", "cap", "150"),
        ("remove_from_VCPUs_params", "weight"),
        ("add_to_VCPUs_params", "weight", "512"),
    ]


def test_memory_within_the_static_limits_changes_while_the_vm_runs() -> None:
    given = {"memory": "3GiB", "memory_static_max": "4GiB"}
    assert calls(RUNNING, **given) == [("set_memory_dynamic_range", 3 * GIB, 3 * GIB)]
    assert calls(RUNNING, **given, memory_dynamic_min="1GiB") == [("set_memory_dynamic_range", GIB, 3 * GIB)]


def test_memory_limits_that_need_a_halt() -> None:
    with pytest.raises(HardshellError, match="memory_static_max changes from 4 GiB to 2 GiB"):
        calls(RUNNING, memory="2GiB")
    with pytest.raises(HardshellError, match="memory_static_min changes from 1 GiB to 512 MiB"):
        calls(RUNNING, memory="2GiB", memory_static_max="4GiB", memory_dynamic_min="512MiB")


@pytest.mark.parametrize(
    ("option", "options"),
    [
        ("memory_static_max", {"memory": "2GiB", "memory_static_max": "1GiB"}),
        ("memory_dynamic_min", {"memory": "2GiB", "memory_dynamic_min": "3GiB"}),
        ("memory_static_min", {"memory_static_min": "3GiB"}),
    ],
)
def test_memory_limits_that_cross_are_refused(option: str, options: dict[str, t.Any]) -> None:
    with pytest.raises(OptionError, match=option):
        calls(RUNNING, **options)


@pytest.mark.parametrize("option", ["memory_static_max", "memory_dynamic_min"])
def test_a_licence_without_ballooning_allows_one_size_only(option: str) -> None:
    pool = Pool(restrictions={"restrict_dmc": "true"})
    halted = Vm(**{**vars(RUNNING), "power_state": "halted"})
    with pytest.raises(OptionError, match=f"{option}.*restrict_dmc"):
        calls(halted, pool, **{"memory": "2GiB", option: {"memory_static_max": "3GiB"}.get(option, "1GiB")})
    assert calls(halted, pool, memory="2GiB") == [("set_memory_limits", GIB, 2 * GIB, 2 * GIB, 2 * GIB)]


def test_firmware_takes_the_device_model_with_it() -> None:
    halted = Vm(**{**vars(RUNNING), "power_state": "halted"})
    assert calls(halted, firmware="uefi", secure_boot=True, vtpm=True) == [
        ("remove_from_HVM_boot_params", "firmware"),
        ("add_to_HVM_boot_params", "firmware", "uefi"),
        ("remove_from_platform", "device-model"),
        ("remove_from_platform", "secureboot"),
        ("add_to_platform", "secureboot", "true"),
        ("VTPM.create", False),
    ]


def test_secure_boot_without_uefi_is_refused() -> None:
    with pytest.raises(OptionError, match="firmware: uefi"):
        calls(RUNNING, secure_boot=True)


def test_a_vm_with_a_virtual_tpm_is_not_suspended() -> None:
    with pytest.raises(OptionError, match="virtual TPM"):
        calls(with_settings(RUNNING, boot=Boot(vtpm="tpm")), state="suspended")


def test_boot_order_needs_no_halt() -> None:
    assert calls(RUNNING, boot_order=["cd", "disk"]) == [
        ("remove_from_HVM_boot_params", "order"),
        ("add_to_HVM_boot_params", "order", "dc"),
    ]


def test_placement_is_by_name_and_an_empty_name_takes_out() -> None:
    assert calls(RUNNING, affinity="xen1", group="web", appliance="shop") == [
        ("set_affinity", "h1"),
        ("set_groups", ["g1"]),
        ("set_appliance", "a1"),
    ]
    placed = with_settings(RUNNING, placement=Placement(*[Link(each, f"acme/{each}") for each in ("h1", "g1", "a1")]))
    assert calls(placed, affinity="xen1", group="web", appliance="shop") == []
    assert calls(placed, affinity="", group="", appliance="") == [
        ("set_affinity", "OpaqueRef:NULL"),
        ("set_groups", []),
        ("set_appliance", "OpaqueRef:NULL"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"affinity": "xen2"}, "w2, w3"),
        ({"affinity": "xen9"}, "did you mean"),
        ({"group": "db"}, "vm_group"),
        ({"appliance": "shops"}, "did you mean 'shop'"),
    ],
)
def test_what_the_pool_does_not_have_is_named(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        calls(RUNNING, **options)


@pytest.mark.parametrize(("restrictions", "why"), [({}, "24.19.1"), ({"restrict_vm_groups": "true"}, "licence")])
def test_a_pool_without_groups_says_why(restrictions: dict[str, str], why: str) -> None:
    with pytest.raises(OptionError, match=why):
        calls(RUNNING, Pool(restrictions=restrictions), group="web")


def test_a_group_of_another_tenant_is_left_alone() -> None:
    held = with_settings(RUNNING, placement=Placement(group=Link("g9", "globex/web")))
    with pytest.raises(OptionError, match="not of acme"):
        calls(held, group="")


def test_auto_power_on_needs_the_pool_too() -> None:
    plan = plan_vm(asked(auto_power_on=True), Observed(POOL, RUNNING)).plan
    assert [(change.kind, change.after) for change in plan.changes] == [
        ("vm", {"auto_power_on": True}),
        ("pool", {"auto_power_on": True}),
    ]
    off = plan_vm(asked(auto_power_on=False), Observed(POOL, RUNNING)).plan
    assert not off.changed


def test_only_the_keys_asked_for_are_written() -> None:
    keys = Keys(other_config={"theirs": "1", "a": "1", "same": "1"}, folder="/old")
    assert calls(with_settings(RUNNING, keys=keys), other_config={"a": None, "same": 1, "new": True}, folder="") == [
        ("remove_from_other_config", "folder"),
        ("remove_from_other_config", "a"),
        ("add_to_other_config", "new", "true"),
    ]


def test_protection_blocks_destroy_and_keeps_the_reason_of_somebody_else() -> None:
    assert calls(RUNNING, delete_protection=True)[0][:2] == ("add_to_blocked_operations", "destroy")
    theirs = with_settings(RUNNING, keys=Keys(blocked={"destroy": "audit until May"}))
    assert calls(theirs, delete_protection=True) == []
    assert calls(theirs, delete_protection=False) == [("remove_from_blocked_operations", "destroy")]


def test_a_power_step_that_is_blocked_is_refused_before_anything() -> None:
    blocked = with_settings(RUNNING, keys=Keys(blocked={"clean_shutdown": "in use"}))
    with pytest.raises(HardshellError, match="in use"):
        calls(blocked, state="halted")


def steps(vm: Vm, state: str = "present", **options: t.Any) -> list[tuple[str, t.Any]]:
    """The actions of the plan with the host that each is about, if any."""
    plan = plan_vm(asked(state, **options), Observed(POOL, vm)).plan
    told = []
    for change in plan.changes:
        payload = change.payload
        hosts = [payload.host.ref] if isinstance(payload, Migration) else payload.arguments
        told.append((change.action, next((host for host in hosts if isinstance(host, str)), None)))
    return told


def in_state(power_state: str) -> Vm:
    where = {} if power_state in ("running", "paused") else {"host": None, "host_ref": None}
    return Vm(**{**vars(with_settings(RUNNING, cpu=Cpu(2, 4))), "power_state": power_state, **where})


@pytest.mark.parametrize(
    ("vm", "state", "expected"),
    [
        (RUNNING, "present", [("migrate", "h1")]),
        (RUNNING, "paused", [("migrate", "h1"), ("pause", None)]),
        (RUNNING, "restarted", [("migrate", "h1"), ("reboot", None)]),
        (RUNNING, "halted", [("shut down", None)]),
        (RUNNING, "suspended", [("suspend", None)]),
        (in_state("paused"), "running", [("unpause", None), ("migrate", "h1")]),
        (in_state("halted"), "running", [("start", "h1")]),
        (in_state("halted"), "paused", [("start paused", "h1")]),
        (in_state("suspended"), "running", [("resume", "h1")]),
        (in_state("halted"), "present", []),
    ],
)
def test_a_vm_comes_to_run_on_the_host_asked_for(vm: Vm, state: str, expected: list[tuple[str, t.Any]]) -> None:
    assert steps(vm, state, resident_on="xen1") == expected
    at_home = Vm(**{**vars(RUNNING), "host": "xen1", "host_ref": "h1"})
    assert steps(at_home, resident_on="w1") == []


def test_a_migration_shows_in_the_diff() -> None:
    plan = plan_vm(asked(resident_on="xen1"), Observed(POOL, RUNNING)).plan
    assert (plan.before["host"], plan.after["host"]) == ("xen2", "xen1")


@pytest.mark.parametrize(
    ("vm", "wanted", "message"),
    [
        (RUNNING, "xen4", "disabled"),
        (RUNNING, "xen9", "did you mean"),
        (in_state("paused"), "xen1", "state: running"),
        (Vm(**{**vars(RUNNING), "disks": (Disk("data", GIB, "local"),)}), "xen1", "'data' on 'local'"),
        (Vm(**{**vars(RUNNING), "cd": Cd(3, Existing("a.iso", "u", Disk(None, GIB, "local")))}), "xen1", "iso: ''"),
        (with_settings(RUNNING, keys=Keys(blocked={"pool_migrate": "pinned"})), "xen1", "pinned"),
    ],
)
def test_a_vm_that_cannot_be_moved_is_refused(vm: Vm, wanted: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        steps(vm, resident_on=wanted)


@pytest.mark.parametrize("restrictions", [{}, {"restrict_vtpm": "true"}])
def test_a_pool_that_does_not_say_that_it_has_virtual_tpms_has_none(restrictions: dict[str, str]) -> None:
    halted = Vm(**{**vars(with_settings(RUNNING, boot=Boot(firmware="uefi"))), "power_state": "halted"})
    pool = dataclasses.replace(POOL, restrictions={**restrictions, "restrict_vm_groups": "false"})
    with pytest.raises(OptionError, match="^vtpm: .*restrict_vtpm"):
        calls(halted, pool, vtpm=True)
    assert ("VTPM.create",) not in calls(halted, pool)
