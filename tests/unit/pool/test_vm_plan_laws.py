# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two laws of the plan of a VM, over generated specs and pools."""

from __future__ import annotations

import dataclasses

from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import marks
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import Network, Pool, StorageRepository
from ansible_collections.hardshell.xen.plugins.module_utils._pool.sizes import GIB, rounded_to_vdi
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import (
    Disk,
    Drive,
    Nic,
    Observed,
    Template,
    Vm,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_plan import plan_vm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import DiskSpec, DriveSpec, NicSpec, VmSpec
from hypothesis import assume, given
from hypothesis import strategies as st

OWNER = marks.Owner("acme", "shop")
POOL = Pool(
    networks=(Network("n1", "u1", "front"), Network("n2", "u2", "back")),
    storage=(StorageRepository("s1", "v1", "local", 500 * GIB), StorageRepository("s2", "v2", "shared", 500 * GIB)),
    default_storage="s1",
)
TEMPLATE = Template(
    "debian",
    "t-uuid",
    "t",
    vcpus=1,
    memory=GIB,
    disks=(Disk("root", 2 * GIB, "local", device=0, bootable=True),),
    nics=(Nic(None, "front", "n1", device=0),),
)
DRIVE_DISK = Disk("config-drive", 2 << 20, "local", device=8, vdi="drive", vbd="drive", ours=True)
POWER = ("halted", "running", "paused", "suspended")

sizes = st.integers(1, 20).map(lambda gib: gib * GIB)
drives = st.builds(DriveSpec, wanted=st.booleans(), user_data=st.sampled_from(["a", "b"]))
disk_specs = st.lists(
    st.builds(
        DiskSpec,
        st.sampled_from(["root", "data", "logs"]),
        sizes,
        st.sampled_from([None, "shared"]),
        st.sampled_from([None, "x"]),
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
    ),
    max_size=3,
    unique_by=lambda nic: nic.name,
).map(tuple)
specs = st.builds(
    VmSpec,
    name=st.just("shop"),
    owner=st.just(OWNER),
    state=st.sampled_from([*POWER, "present"]),
    description=st.sampled_from([None, "", "text"]),
    template=st.just("debian"),
    vcpus=st.sampled_from([None, 1, 2]),
    memory=st.sampled_from([None, GIB, 2 * GIB]),
    disks=disk_specs,
    networks=st.one_of(st.none(), nic_specs),
    drive=st.one_of(st.none(), drives),
    ssh_host_key=st.booleans(),
    tags=st.sampled_from([(), ("gold",)]),
    allow_power_cycle=st.booleans(),
)


@st.composite
def vms(draw: st.DrawFn) -> Vm:
    disks = [Disk("root", 2 * GIB, "local", device=0, vdi="root", bootable=True, ours=True)]
    for position, name in enumerate(draw(st.sets(st.sampled_from(["data", "logs"]))), 1):
        disks.append(Disk(name, draw(sizes), "local", device=position, vdi=name, vbd=name, ours=True))
    nics = tuple(
        Nic(name, "front", "n1", f"02:00:00:00:01:0{device}", device, vif=str(name))
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
    return Vm(
        "shop",
        OWNER,
        power_state=draw(st.sampled_from(POWER)),
        vcpus=draw(st.sampled_from([1, 2])),
        memory=draw(st.sampled_from([GIB, 3 * GIB])),
        memory_settled=draw(st.booleans()),
        tags=("tenant:acme",),
        disks=tuple(disks),
        nics=nics,
        drive=drive,
        ssh_host_key=draw(st.sampled_from([None, "ssh-ed25519 AAAA"])),
        uuid="uuid",
        ref="vm",
        making=draw(st.booleans()),
        has_drivers=draw(st.booleans()),
    )


observations = st.one_of(
    st.just(Observed(POOL, template=TEMPLATE)),
    vms().map(lambda vm: Observed(POOL, vm if not vm.making else dataclasses.replace(vm, power_state="halted"))),
)


@given(specs, observations)
def test_after_a_plan_is_carried_out_there_is_nothing_left_to_do(spec: VmSpec, observed: Observed) -> None:
    try:
        outcome = plan_vm(spec, observed)
    except HardshellError:
        assume(False)
    assert outcome.vm is not None
    again = plan_vm(spec, Observed(POOL, outcome.vm))
    assert again.plan.changes == ()
    assert again.vm == outcome.vm


@given(specs, observations)
def test_there_is_a_diff_exactly_when_there_is_a_change(spec: VmSpec, observed: Observed) -> None:
    try:
        plan = plan_vm(spec, observed).plan
    except HardshellError:
        assume(False)
    # A finished VM can look like the unfinished one, and a change of marks or ranges shows in nothing that a user set.
    unseen = observed.vm is not None and (
        observed.vm.making or not observed.vm.memory_settled or None in {n.name for n in observed.vm.nics}
    )
    assert plan.changed or plan.before == plan.after
    assert not plan.changed or unseen or plan.before != plan.after


@given(specs, vms())
def test_a_running_vm_is_never_halted_unless_that_was_asked_for(spec: VmSpec, vm: Vm) -> None:
    vm = dataclasses.replace(vm, power_state="running", making=False)
    spec = dataclasses.replace(spec, allow_power_cycle=False)
    assume(spec.state in ("present", "running"))
    try:
        plan = plan_vm(spec, Observed(POOL, vm)).plan
    except HardshellError:
        return
    assert all(change.id.partition(":")[0] != "power" for change in plan.changes)


@given(specs, vms())
def test_no_disk_ever_shrinks_or_goes(spec: VmSpec, vm: Vm) -> None:
    try:
        after = plan_vm(spec, Observed(POOL, vm)).vm
    except HardshellError:
        return
    assert after is not None
    for disk in vm.disks:
        kept = after.disk(str(disk.name))
        assert kept is not None
        assert kept.size >= disk.size


@given(vms(), st.booleans(), st.booleans(), st.booleans())
def test_absent_takes_only_its_own_disks(vm: Vm, shared: bool, keep: bool, ours: bool) -> None:
    extra = Disk("extra", GIB, "local", device=9, vdi="extra", vbd="extra", ours=ours, keep=keep, shared=shared)
    vm = dataclasses.replace(vm, disks=(*vm.disks, extra), making=False)
    plan = plan_vm(VmSpec("shop", OWNER, state="absent"), Observed(POOL, vm)).plan
    taken = {change.name for change in plan.changes if change.kind == "disk"}
    assert ("extra" in taken) == (ours and not keep and not shared)
    assert plan_vm(VmSpec("shop", OWNER, state="absent"), Observed(POOL)).plan.changes == ()


@given(st.integers(1, 10**13))
def test_vdi_sizes_are_whole_steps(size: int) -> None:
    rounded = rounded_to_vdi(size)
    assert 0 <= rounded - size < 2 << 20
    assert rounded % (2 << 20) == 0
