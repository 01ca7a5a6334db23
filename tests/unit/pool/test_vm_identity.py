# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which records are a spec's own VM, and which are what an interrupted run left of it."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._pool import marks
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_identity import find_ours, is_half_made
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_spec import VmSpec

OWNER = marks.Owner("acme", "acme-shop")
SPEC = VmSpec(name="shop", owner=OWNER)


def record(uuid: str, owner: marks.Owner | None = OWNER, of_vm: str | None = None, **more: t.Any) -> dict[str, t.Any]:
    """A VM's record, by default with the marks of its owner and of itself."""
    own = {} if owner is None else {marks.TENANT: owner.tenant, marks.HOST: owner.host, marks.VM: of_vm or uuid}
    plain = {"is_a_template": False, "is_a_snapshot": False, "is_control_domain": False, "power_state": "Halted"}
    return {"uuid": uuid, "name_label": "shop", "other_config": own, **plain, **more}


def test_ours_is_what_carries_our_marks_for_itself() -> None:
    records = {
        "clone": record("2", of_vm="1"),
        "stranger": record("3", None),
        "other host": record("4", marks.Owner("acme", "acme-db")),
        "other tenant": record("5", marks.Owner("globex", "acme-shop")),
        "snapshot": record("1", is_a_snapshot=True, is_a_template=True),
    }
    assert find_ours(SPEC, records) is None
    assert find_ours(SPEC, {**records, "ours": record("1")}) == "ours"


def test_of_several_with_the_same_marks_none_is_taken_by_chance() -> None:
    both = {"a": record("1"), "b": record("2")}
    with pytest.raises(HardshellError, match="several VMs carry the marks of .*: 1, 2; give uuid"):
        find_ours(SPEC, both)
    assert find_ours(VmSpec(name="shop", owner=OWNER, uuid="2"), both) == "b"


def test_what_is_half_made_is_a_clone_under_the_name_of_making_and_nothing_else() -> None:
    name = marks.making_name("shop", OWNER)
    assert is_half_made(SPEC, record("1", None, name_label=name, is_a_template=True))
    assert is_half_made(SPEC, record("1", None, name_label=name))
    assert not is_half_made(SPEC, record("1", None))
    assert not is_half_made(SPEC, record("1", None, name_label=name, power_state="Running"))
    assert not is_half_made(SPEC, record("1", None, name_label=name, is_a_template=True, is_a_snapshot=True))
    assert not is_half_made(SPEC, record("1", name_label=name))
