# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes with a VM that is removed, what stays, and what is in the way."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import marks
from ansible_collections.hardshell.xen.plugins.module_utils._pool.pool_facts import Pool
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_facts import Disk, Observed, Vm
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_keys import Keys
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_removal import plan_absent
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_settings import Settings
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import VmSpec

OWNER = marks.Owner("acme", "acme-shop")
SPEC = VmSpec(name="shop", owner=OWNER, state="absent")


def observed(*disks: Disk, power_state: str = "running", loose: tuple[Disk, ...] = (), **blocked: str) -> Observed:
    settings = dataclasses.replace(Settings(), keys=Keys(blocked=blocked))
    vm = Vm("shop", OWNER, uuid="1", power_state=power_state, disks=disks, settings=settings)
    return Observed(Pool(), vm, loose_disks=loose)


def removed(state: Observed) -> list[str]:
    return [change.name for change in plan_absent(SPEC, state).plan.changes if change.kind == "disk"]


def disk(name: str, **more: t.Any) -> Disk:
    return Disk(**{"name": name, "size": 1 << 30, "sr": "local", "vdi": name, "uuid": name, "ours": True, **more})


def test_a_disk_goes_with_its_vm_unless_somebody_else_has_a_claim_on_it() -> None:
    disks = (disk("data"), disk("shared", shared=True), disk("kept", keep=True), disk("foreign", ours=False))
    outcome = plan_absent(SPEC, observed(*disks))
    assert removed(observed(*disks)) == ["data"]
    assert [warning.partition(": ")[2] for warning in outcome.warnings] == [
        "another VM holds it", f"it is marked {marks.KEEP}", "it was not made here",
    ]  # fmt: skip


def test_a_disk_that_was_kept_before_stays() -> None:
    state = observed(loose=(disk("left"), disk("kept", keep=True)))
    assert removed(state) == ["left"]


@pytest.mark.parametrize(
    ("power_state", "operation"), [("running", "clean_shutdown"), ("paused", "hard_shutdown"), ("running", "destroy")]
)
def test_what_is_blocked_is_refused_before_the_first_step(power_state: str, operation: str) -> None:
    assert plan_absent(SPEC, observed(power_state=power_state)).plan.changed
    with pytest.raises(HardshellError, match=".the night shift needs it.*allow it first|delete_protection: false"):
        plan_absent(SPEC, observed(power_state=power_state, **{operation: "the night shift needs it"}))


def test_what_no_step_asks_for_may_be_blocked() -> None:
    assert plan_absent(SPEC, observed(power_state="halted", clean_shutdown="the night shift needs it")).plan.changed
