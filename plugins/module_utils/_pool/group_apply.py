# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out the plan for one group: the only code of the module ``vm_group`` that writes."""

from __future__ import annotations

import typing as t

from .._plan import Change
from .group_plan import ChangedGroup, GroupSpec, Membership, NewGroup, ObservedGroups, RemovedGroup
from .session import Session
from .vdis import gone_already


class GroupPerformer:
    """Performs the changes of one group's plan, one at a time and in order."""

    def __init__(self, session: Session, spec: GroupSpec, observed: ObservedGroups) -> None:
        self._session = session
        self._spec = spec
        self._ref = next((group.ref for group in observed.groups if group.label == spec.label), "")
        self._performers: dict[type, t.Callable[[t.Any], None]] = {
            NewGroup: self._make,
            ChangedGroup: self._change,
            RemovedGroup: self._remove,
            Membership: self._set_membership,
        }

    def __call__(self, change: Change) -> None:
        self._performers[type(change.payload)](change.payload)

    def _make(self, new: NewGroup) -> None:
        record = {
            "name_label": new.group.label,
            "name_description": new.group.description,
            "placement": new.group.placement,
        }
        self._ref = self._session.call("VM_group.create", record, asked=f"create the group {new.group.label!r}")

    def _change(self, changed: ChangedGroup) -> None:
        self._session.call("VM_group.set_name_description", changed.group.ref, changed.description)

    def _remove(self, removed: RemovedGroup) -> None:
        with gone_already():
            self._session.call("VM_group.destroy", removed.group.ref, asked=f"remove the group {removed.group.label!r}")

    def _set_membership(self, membership: Membership) -> None:
        groups = [self._ref] if membership.joins else []
        asked = (
            f"put {membership.vm.name!r} into {self._spec.label!r}" if groups else f"take {membership.vm.name!r} out"
        )
        self._session.call("VM.set_groups", membership.vm.ref, groups, asked=asked)
