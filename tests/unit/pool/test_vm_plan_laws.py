# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two laws of the plan of a VM, over generated specs and pools."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import marks
from ansible_collections.hardshell.xen.plugins.module_utils._pool.disk_spec import NO_QOS, DiskQos, DiskSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.disks import RemovedDisk
from ansible_collections.hardshell.xen.plugins.module_utils._pool.drive_spec import DriveSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.nic_spec import NicSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import (
    Host,
    Network,
    Pool,
    StorageRepository,
    Thing,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.sizes import GIB, rounded_to_vdi
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_availability import Availability, AvailabilitySpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_boot import Boot, BootSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_cpu import Cpu, CpuSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import (
    Disk,
    Drive,
    Existing,
    Nic,
    Observed,
    Origin,
    Template,
    Vm,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_keys import Keys, KeysSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_memory import Memory, MemorySpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_placement import Link, Placement, PlacementSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_plan import plan_vm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_settings import Settings, SettingsSpec
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import VmSpec
from hypothesis import assume, given
from hypothesis import strategies as st

OWNER = marks.Owner("acme", "shop")
POOL = Pool(
    networks=(Network("n1", "u1", "front"), Network("n2", "u2", "back")),
    storage=(StorageRepository("s1", "v1", "local", 500 * GIB), StorageRepository("s2", "v2", "shared", 500 * GIB)),
    default_storage="s1",
    members=(Host("h1", "w1", "xen1"), Host("h2", "w2", "xen2")),
    groups=(Thing("g1", "x1", "acme/web"), Thing("g2", "x2", "acme/db")),
    appliances=(Thing("a1", "y1", "shop"),),
    restrictions={"restrict_vm_groups": "false", "restrict_vtpm": "false"},
)
TEMPLATE = Template(
    "debian",
    "t-uuid",
    "t",
    settings=Settings(memory=Memory.fixed(GIB), keys=Keys(blocked={"destroy": "template"})),
    disks=(Disk("root", 2 * GIB, "local", device=0, bootable=True),),
    nics=(Nic(None, "front", "n1", device=0),),
)
ISOS = tuple(
    Existing(name, f"uuid-{name}", Disk(None, GIB, "ISO library", vdi=name)) for name in ("rescue.iso", "tools.iso")
)
KEPT = Disk("data", 4 * GIB, "shared", uuid="kept", vdi="kept", ours=True, keep=True, of_vm="an earlier one")
DRIVE_DISK = Disk("config-drive", 2 << 20, "local", device=8, vdi="drive", vbd="drive", ours=True)
POWER = ("halted", "running", "paused", "suspended")

sizes = st.integers(1, 20).map(lambda gib: gib * GIB)
drives = st.builds(DriveSpec, wanted=st.booleans(), user_data=st.sampled_from(["a", "b"]))
disk_specs = st.lists(
    st.builds(
        DiskSpec,
        st.sampled_from(["root", "data", "logs"]),
        sizes,
        st.sampled_from([None, None, "local"]),
        st.sampled_from([None, "x"]),
        vdi=st.none(),
        keep=st.sampled_from([None, True, False]),
        qos=st.sampled_from([None, NO_QOS, DiskQos("idle", "low")]),
        wanted=st.sampled_from([True, True, False]),
    ),
    max_size=3,
    unique_by=lambda disk: disk.name,
).map(tuple)
nic_specs = st.lists(
    st.builds(
        NicSpec,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["front", "back"]),
        st.sampled_from([None, "02:00:00:00:00:01"]),
        st.sampled_from([None, 1500, 9000]),
        st.sampled_from([None, 0, 100]),
        st.sampled_from([None, "network_default", "locked", "disabled"]),
        st.sampled_from([None, ("192.0.2.1",)]),
        st.sampled_from([None, ("2001:db8::1",)]),
    ),
    max_size=3,
    unique_by=lambda nic: nic.name,
).map(tuple)
# Each part is drawn as one of a few whole ones: they are independent of each other, and most combinations within one are refused.
cpus = st.sampled_from(
    [CpuSpec(), CpuSpec(1), CpuSpec(2, 4, cap=150), CpuSpec(4, 4, 1, weight=512), CpuSpec(None, 4, 2), CpuSpec(cap=0)]
)
memories = st.sampled_from(
    [MemorySpec(), MemorySpec(2 * GIB), MemorySpec(2 * GIB, GIB, 3 * GIB, GIB), MemorySpec(dynamic_min=GIB)]
)
boots = st.sampled_from(
    [
        BootSpec(),
        BootSpec("uefi", True, True, "cd"),
        BootSpec("bios", False, False),
        BootSpec("uefi", vtpm=False),
        BootSpec(secure_boot=True, order="n"),
    ]
)
placements = st.sampled_from(
    [
        PlacementSpec(),
        PlacementSpec("", "", ""),
        PlacementSpec("xen1", "web", "shop"),
        PlacementSpec(group="web", resident_on="xen1"),
    ]
)
availabilities = st.sampled_from(
    [AvailabilitySpec(), AvailabilitySpec(3, 0, 3, "restart", True), AvailabilitySpec(0, 0, 0, "none", False)]
)
keys = st.sampled_from(
    [
        KeysSpec(),
        KeysSpec({"a": None, "b": "2"}, {"a": "1"}, {}, {"snapshot": None}, True, "/acme"),
        KeysSpec({"a": "1"}, {"b": None}, {"c": "1"}, {"snapshot": "no"}, False, ""),
    ]
)
asked_settings = st.builds(SettingsSpec, cpus, memories, boots, placements, availabilities, keys)
present_cpus = [Cpu(1, 1), Cpu(1, 4, live=2), Cpu(2, 2, fixed="old"), Cpu(2, 4, live=2), Cpu(4, 4)]
present_memories = [Memory.fixed(GIB), Memory(GIB, GIB, 2 * GIB, 3 * GIB), Memory(2 * GIB, 2 * GIB, 2 * GIB, 3 * GIB)]
present_boots = [Boot(), Boot("uefi", None, "vtpm", "dc"), Boot("uefi", True), Boot("bios", False, "vtpm", "n")]
present_placements = [
    Placement(),
    Placement(Link("h2", "xen2"), Link("g2", "acme/db"), Link("a1", "shop")),
    Placement(group=Link("g1", "acme/web")),
]
present_availabilities = [Availability(), Availability(1, 0, 0, "best-effort", True)]
present_keys = [
    Keys(),
    Keys({"a": "1", "c": "3"}, {"a": "2"}, {"c": "1"}, {"destroy": "no"}, "/acme"),
    Keys({"b": "2"}, {"b": "2"}, {}, {"snapshot": "no"}),
]
settings_present = st.builds(
    Settings,
    st.sampled_from(present_cpus),
    st.sampled_from(present_memories),
    st.sampled_from(present_boots),
    st.sampled_from(present_placements),
    st.sampled_from(present_availabilities),
    st.sampled_from(present_keys),
)


specs = st.builds(
    VmSpec,
    name=st.just("shop"),
    owner=st.just(OWNER),
    state=st.sampled_from([*POWER, "present"]),
    description=st.sampled_from([None, "", "text"]),
    template=st.just("debian"),
    settings=asked_settings,
    disks=disk_specs,
    remove_unmanaged_disks=st.sampled_from([False, False, True]),
    iso=st.sampled_from([None, "", "rescue.iso", "tools.iso"]),
    networks=st.one_of(st.none(), nic_specs),
    drive=st.one_of(st.none(), drives),
    ssh_host_key=st.booleans(),
    tags=st.sampled_from([(), ("gold",)]),
    allow_power_cycle=st.booleans(),
    allow_replace=st.booleans(),
)


def observed(vm: Vm | None = None, **more: t.Any) -> Observed:
    return Observed(POOL, vm, isos=ISOS, **more)


@st.composite
def vms(draw: st.DrawFn) -> Vm:
    disks = [Disk("root", 2 * GIB, "local", device=0, vdi="root", bootable=True, ours=True)]
    for position, name in enumerate(draw(st.sets(st.sampled_from(["data", "logs"]))), 1):
        disks.append(
            Disk(
                name,
                draw(sizes),
                draw(st.sampled_from(["local", "shared"])),
                device=position,
                vdi=name,
                vbd=name,
                ours=draw(st.booleans()),
                keep=draw(st.booleans()),
                plugged=draw(st.booleans()),
                qos=draw(st.sampled_from([NO_QOS, DiskQos("idle", "low")])),
                of_vm=draw(st.sampled_from(["uuid", "another"])),
                marked=draw(st.booleans()),
            )
        )
    nics = tuple(
        Nic(
            name,
            "front",
            "n1",
            f"02:00:00:00:01:0{device}",
            device,
            vif=str(name),
            plugged=draw(st.booleans()),
            rate_limit=draw(st.sampled_from([None, 100, 200])),
            locking_mode=draw(st.sampled_from(["network_default", "locked"])),
            ipv4_allowed=draw(st.sampled_from([(), ("192.0.2.1",)])),
        )
        for device, name in enumerate(draw(st.lists(st.sampled_from(["a", "b", None]), max_size=3, unique=True)))
    )
    drive = draw(
        st.sampled_from(
            [
                Drive(),
                Drive("removed", DriveSpec(True, "a").sha256()),
                Drive("attached", DriveSpec(True, "b").sha256(), DRIVE_DISK),
            ]
        )
    )
    return in_state(
        Vm(
            "shop",
            OWNER,
            power_state=draw(st.sampled_from(POWER)),
            settings=draw(settings_present),
            tags=("tenant:acme",),
            disks=tuple(disks),
            nics=nics,
            drive=drive,
            ssh_host_key=draw(st.sampled_from([None, "ssh-ed25519 AAAA"])),
            uuid="uuid",
            ref="vm",
            making=draw(st.booleans()),
            returns_to=draw(st.sampled_from([None, None, "running", "paused"])),
            has_drivers=draw(st.booleans()),
        ),
        "",
    )


def in_state(vm: Vm, power_state: str) -> Vm:
    """The VM in that power state, or its own: only a running one has vCPUs live."""
    state = power_state or vm.power_state
    cpu = vm.settings.cpu
    live = (cpu.live or cpu.at_startup) if state == "running" else None
    host, host_ref = ("xen2", "h2") if state in ("running", "paused") else (None, None)
    return dataclasses.replace(
        vm,
        power_state=state,
        host=host,
        host_ref=host_ref,
        settings=dataclasses.replace(vm.settings, cpu=dataclasses.replace(cpu, live=live)),
    )


observations = st.one_of(
    st.just(Observed(POOL, template=TEMPLATE)),
    vms().map(lambda vm: Observed(POOL, vm if not vm.making else in_state(vm, "halted"))),
)


@given(specs, observations)
def test_after_a_plan_is_carried_out_there_is_nothing_left_to_do(spec: VmSpec, observed: Observed) -> None:
    try:
        outcome = plan_vm(spec, observed)
    except HardshellError:
        assume(False)
    assert outcome.vm is not None
    starts = POOL.auto_power_on or any(change.kind == "pool" for change in outcome.plan.changes)
    again = plan_vm(spec, Observed(dataclasses.replace(POOL, auto_power_on=starts), outcome.vm))
    assert again.plan.changes == ()
    assert again.vm == outcome.vm


def test_finishing_a_vm_marks_its_disks() -> None:
    data = Disk("data", GIB, "local", device=1, vdi="data", vbd="data", ours=True, of_vm="uuid", marked=False)
    root = dataclasses.replace(data, name="root", device=0, vdi="root", vbd="root", bootable=True)
    unfinished = Vm(
        "shop", OWNER, "halted", tags=("tenant:acme",), disks=(root, data), uuid="uuid", ref="vm", making=True
    )
    outcome = plan_vm(VmSpec("shop", OWNER), Observed(POOL, unfinished))
    assert outcome.vm is not None
    assert [disk.marked for disk in outcome.vm.disks] == [True, True]
    assert plan_vm(VmSpec("shop", OWNER), Observed(POOL, outcome.vm)).plan.changes == ()


@given(specs, observations)
def test_there_is_a_diff_exactly_when_there_is_a_change(spec: VmSpec, observed: Observed) -> None:
    try:
        plan = plan_vm(spec, observed).plan
    except HardshellError:
        assume(False)
    # A finished VM can look like the unfinished one, a change of marks shows in nothing that a user set, and the pool is no VM.
    unseen = observed.vm is not None and (
        observed.vm.making
        or None in {n.name for n in observed.vm.nics}
        or {change.kind for change in plan.changes} == {"pool"}
        or observed.vm.settings.cpu.live not in (None, observed.vm.settings.cpu.at_startup)
    )
    assert plan.changed or plan.before == plan.after
    assert not plan.changed or unseen or plan.before != plan.after


@given(specs, vms())
def test_a_running_vm_is_never_halted_unless_that_was_asked_for(spec: VmSpec, vm: Vm) -> None:
    vm = in_state(dataclasses.replace(vm, making=False), "running")
    spec = dataclasses.replace(spec, allow_power_cycle=False)
    assume(spec.state in ("present", "running"))
    try:
        plan = plan_vm(spec, Observed(POOL, vm)).plan
    except HardshellError:
        return
    assert all(change.id.partition(":")[0] != "power" for change in plan.changes)


@given(specs, vms())
def test_no_disk_ever_shrinks_or_goes_unasked(spec: VmSpec, vm: Vm) -> None:
    there = tuple(dataclasses.replace(disk, wanted=True) for disk in spec.disks)
    present = dataclasses.replace(spec, disks=there, remove_unmanaged_disks=False)
    try:
        after = plan_vm(present, observed(vm)).vm
    except HardshellError:
        return
    assert after is not None
    for disk in vm.disks:
        kept = after.disk(str(disk.name))
        assert kept is not None
        assert kept.size >= disk.size


@given(specs, vms())
def test_only_disks_that_were_made_here_and_are_not_kept_are_destroyed(spec: VmSpec, vm: Vm) -> None:
    try:
        plan = plan_vm(spec, observed(vm)).plan
    except HardshellError:
        return
    for change in plan.changes:
        if isinstance(change.payload, RemovedDisk) and not change.payload.stays:
            disk = change.payload.disk
            assert disk.ours
            assert not disk.shared
            assert not disk.bootable
            (asked,) = [each for each in spec.disks if each.name == disk.name] or [None]
            assert not disk.keep or (asked is not None and asked.keep is False)


@given(vms(), st.booleans(), st.booleans(), st.booleans())
def test_absent_takes_only_its_own_disks(vm: Vm, shared: bool, keep: bool, ours: bool) -> None:
    extra = Disk("extra", GIB, "local", device=9, vdi="extra", vbd="extra", ours=ours, keep=keep, shared=shared)
    vm = dataclasses.replace(vm, disks=(*vm.disks, extra), making=False)
    unprotected = SettingsSpec(keys=KeysSpec(delete_protection=False))
    plan = plan_vm(VmSpec("shop", OWNER, state="absent", settings=unprotected), Observed(POOL, vm)).plan
    taken = {change.name for change in plan.changes if change.kind == "disk"}
    assert ("extra" in taken) == (ours and not keep and not shared)
    assert plan_vm(VmSpec("shop", OWNER, state="absent"), Observed(POOL)).plan.changes == ()


@given(vms())
def test_absent_takes_no_vm_that_is_protected(vm: Vm) -> None:
    keys = dataclasses.replace(vm.settings.keys, blocked={"destroy": "precious"})
    vm = dataclasses.replace(vm, settings=dataclasses.replace(vm.settings, keys=keys))
    with pytest.raises(OptionError, match="precious"):
        plan_vm(VmSpec("shop", OWNER, state="absent"), Observed(POOL, vm))


OLD, NEW = Origin("sha256:old", "debian"), Origin("sha256:new", "debian")
OTHER = dataclasses.replace(TEMPLATE, origin=NEW)


def rolled(vm: Vm, origin: Origin | None) -> Vm:
    """The VM with a system disk that is a clone of that."""
    root, *others = vm.disks
    return dataclasses.replace(vm, making=False, disks=(dataclasses.replace(root, origin=origin), *others))


@given(specs, vms())
def test_a_system_disk_is_made_anew_once_and_only_where_that_is_allowed(spec: VmSpec, vm: Vm) -> None:
    seen = observed(rolled(vm, OLD), template=OTHER, origins=(NEW,))
    try:
        outcome = plan_vm(spec, seen)
    except HardshellError:
        assume(False)
    assert outcome.vm is not None
    replaced = [change for change in outcome.plan.changes if change.action == "replace"]
    assert len(replaced) == spec.allow_replace
    assert any("allow_replace" in warning for warning in outcome.warnings) != spec.allow_replace
    root = outcome.vm.disk("root")
    assert root is not None
    assert root.origin == (NEW if spec.allow_replace else OLD)
    starts = POOL.auto_power_on or any(change.kind == "pool" for change in outcome.plan.changes)
    again = plan_vm(
        spec, dataclasses.replace(seen, pool=dataclasses.replace(POOL, auto_power_on=starts), vm=outcome.vm)
    )
    assert again.plan.changes == ()
    assert outcome.plan.before != outcome.plan.after or not outcome.plan.changed


@given(vms(), st.sampled_from([OLD, NEW]))
def test_of_two_system_disks_that_a_run_left_the_right_one_comes_back(vm: Vm, wanted: Origin) -> None:
    vm = in_state(rolled(vm, None), "halted")
    root, *others = vm.disks
    loose = tuple(
        dataclasses.replace(root, uuid=origin.id, vdi=origin.id, vbd=None, of_vm=vm.uuid, origin=origin)
        for origin in (OLD, NEW)
    )
    seen = observed(dataclasses.replace(vm, disks=tuple(others)), origins=(wanted,), loose_disks=loose)
    plan = plan_vm(VmSpec("shop", OWNER, template="debian"), seen).plan
    attached, deleted = (
        [
            change.payload
            for change in plan.changes
            if change.kind in ("system disk", "disk") and change.action == action
        ]
        for action in ("attach", "delete")
    )
    assert [new.held.origin for new in attached] == [wanted]
    assert [disk.origin for disk in deleted] == [origin for origin in (OLD, NEW) if origin != wanted]


@given(st.integers(1, 10**13))
def test_vdi_sizes_are_whole_steps(size: int) -> None:
    rounded = rounded_to_vdi(size)
    assert 0 <= rounded - size < 2 << 20
    assert rounded % (2 << 20) == 0
