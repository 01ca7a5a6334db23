# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out the plan for one network: the only code of the module ``network`` that writes.

A network is made with its marks, so that a run that is cut off is found; what is missing of it then is made by the next one.
"""

from __future__ import annotations

import typing as t

from .._plan import Change
from .network_facts import ObservedNetworks
from .network_plan import ChangedNetwork, NewNetwork, NewVlan, RemovedNetwork, RemovedVlan
from .session import Session
from .tasks import Show, run_task
from .vdis import gone_already


class NetworkPerformer:
    """Performs the changes of one network's plan, one at a time and in order."""

    def __init__(self, session: Session, marks: t.Mapping[str, str], observed: ObservedNetworks, show: Show) -> None:
        self._session = session
        self._marks = marks
        self._show = show
        self._ref = observed.ours.ref if observed.ours else None
        self._performers: dict[type, t.Callable[[t.Any], None]] = {
            NewNetwork: self._make,
            ChangedNetwork: self._change,
            RemovedNetwork: self._remove,
            NewVlan: self._make_vlan,
            RemovedVlan: self._remove_vlan,
        }

    def __call__(self, change: Change) -> None:
        self._performers[type(change.payload)](change.payload)

    def _call(self, method: str, *arguments: t.Any, asked: str | None = None) -> t.Any:
        return self._session.call(method, *arguments, asked=asked)

    def _make(self, new: NewNetwork) -> None:
        network = new.network
        record = {
            "name_label": network.name,
            "name_description": network.description,
            "MTU": network.mtu,
            "other_config": self._marks,
            "tags": list(network.tags),
            "bridge": "",
            "managed": True,
        }
        self._ref = self._call("network.create", record, asked=f"create the network {network.name!r}")
        if network.default_locking_mode != "unlocked":
            self._set_locking(network.default_locking_mode)
        self._set_purpose((), network.purpose)

    def _change(self, changed: ChangedNetwork) -> None:
        before, after = changed.before, changed.after
        self._ref = before.ref
        if (before.tenant, before.known_as) != (after.tenant, after.known_as):
            for key, value in self._marks.items():
                self._call("network.remove_from_other_config", self._ref, key)
                self._call("network.add_to_other_config", self._ref, key, value)
        if before.tags != after.tags:
            self._call("network.set_tags", self._ref, list(after.tags))
        if before.name != after.name:
            self._call("network.set_name_label", self._ref, after.name)
        if before.description != after.description:
            self._call("network.set_name_description", self._ref, after.description)
        if before.mtu != after.mtu:
            self._call("network.set_MTU", self._ref, after.mtu)
        if before.default_locking_mode != after.default_locking_mode:
            self._set_locking(after.default_locking_mode)
        self._set_purpose(before.purpose, after.purpose)

    def _set_purpose(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        for message, purposes in (("remove", set(before) - set(after)), ("add", set(after) - set(before))):
            for purpose in sorted(purposes):
                self._call(f"network.{message}_purpose", self._ref, purpose, asked=f"{message} the purpose {purpose!r}")

    def _set_locking(self, mode: str) -> None:
        self._call("network.set_default_locking_mode", self._ref, mode, asked=f"set default_locking_mode to {mode!r}")

    def _remove(self, removed: RemovedNetwork) -> None:
        with gone_already():
            self._call("network.destroy", removed.network.ref, asked=f"destroy the network {removed.network.name!r}")

    def _make_vlan(self, new: NewVlan) -> None:
        asked = f"create VLAN {new.vlan.title}"
        run_task(self._session, "VLAN.create", new.port.pif, new.vlan.tag, self._ref, asked=asked, show=self._show)

    def _remove_vlan(self, removed: RemovedVlan) -> None:
        with gone_already():
            asked = f"destroy VLAN {removed.vlan.title}"
            run_task(self._session, "VLAN.destroy", removed.vlan.ref, asked=asked, show=self._show)
