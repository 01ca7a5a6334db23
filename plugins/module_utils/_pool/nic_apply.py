# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out changes of network interfaces.

What XAPI makes of a field at once: the network (``VIF.move``), locking mode and allowed addresses. A rate limit counts from the next
plugging on, and the MTU and MAC are set only when the VIF is made.
"""

from __future__ import annotations

from . import marks
from .nics import ChangedNic, NewNic
from .session import Session
from .tasks import Show, run_task
from .vdis import gone_already
from .vm_facts import Nic


class NicPerformer:
    """Makes, changes and removes the interfaces of one VM. ``running``: whether it runs at that moment."""

    def __init__(self, session: Session, show: Show) -> None:
        self._session = session
        self._show = show

    def add(self, vm: str, new: NewNic, *, running: bool) -> None:
        if new.replaced is not None:
            self.remove(new.replaced, running=running)
        nic = new.nic
        kind, parameters = _qos(nic)
        record = {
            "device": str(nic.device or 0),
            "network": nic.network_ref,
            "VM": vm,
            "MAC": nic.mac or "",
            "MTU": nic.mtu,
            "other_config": {marks.NIC: nic.name},
            "qos_algorithm_type": kind,
            "qos_algorithm_params": parameters,
            "locking_mode": nic.locking_mode,
            "ipv4_allowed": list(nic.ipv4_allowed),
            "ipv6_allowed": list(nic.ipv6_allowed),
        }
        vif = self._session.call("VIF.create", record, asked=f"create the interface {nic.name!r}")
        if running:
            self._run("plug", vif, nic)

    def change(self, changed: ChangedNic, *, running: bool) -> None:
        before, after = changed.before, changed.after
        vif = str(before.vif)
        if before.name != after.name:
            self._call("remove_from_other_config", vif, marks.NIC)
            self._call("add_to_other_config", vif, marks.NIC, after.name)
        if before.locking_mode == "locked" != after.locking_mode:
            self._set_mode(vif, after)
        for field, was, will in (
            ("ipv4_allowed", before.ipv4_allowed, after.ipv4_allowed),
            ("ipv6_allowed", before.ipv6_allowed, after.ipv6_allowed),
        ):
            if was != will:
                self._call(f"set_{field}", vif, list(will), asked=f"set {field} of the interface {after.name!r}")
        if before.locking_mode != after.locking_mode and before.locking_mode != "locked":
            self._set_mode(vif, after)
        if before.rate_limit != after.rate_limit:
            kind, parameters = _qos(after)
            self._call("set_qos_algorithm_params", vif, parameters)
            self._call("set_qos_algorithm_type", vif, kind)
        if before.network_ref != after.network_ref:
            asked = f"move the interface {after.name!r} to {after.network!r}"
            run_task(self._session, "VIF.move", vif, after.network_ref, asked=asked, show=self._show)
        if changed.plug and running:
            if before.plugged:
                self._run("unplug", vif, after)
            self._run("plug", vif, after)

    def remove(self, nic: Nic, *, running: bool) -> None:
        vif = str(nic.vif)
        if running and nic.plugged:
            self._run("unplug", vif, nic)
        with gone_already():
            self._call("destroy", vif, asked=f"remove the interface {nic.name!r}")

    def _set_mode(self, vif: str, nic: Nic) -> None:
        asked = f"set locking_mode of the interface {nic.name!r} to {nic.locking_mode!r}"
        self._call("set_locking_mode", vif, nic.locking_mode, asked=asked)

    def _call(self, message: str, *arguments: object, asked: str | None = None) -> None:
        self._session.call(f"VIF.{message}", *arguments, asked=asked)

    def _run(self, message: str, vif: str, nic: Nic) -> None:
        run_task(self._session, f"VIF.{message}", vif, asked=f"{message} the interface {nic.name!r}", show=self._show)


def _qos(nic: Nic) -> tuple[str, dict[str, str]]:
    """XAPI's ``qos_algorithm_type`` and ``qos_algorithm_params``."""
    return ("ratelimit", {"kbps": str(nic.rate_limit)}) if nic.rate_limit else ("", {})
