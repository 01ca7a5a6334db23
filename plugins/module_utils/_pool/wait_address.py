# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Waiting until a guest reports an address, by the pool's events."""

from __future__ import annotations

import time
import typing as t

from .._errors import HardshellError
from .session import NULL_REF, Session
from .tasks import EVENT_SECONDS, SHOW_EVERY_SECONDS, Show
from .vm_facts import Nic, Vm
from .vm_observe import addresses_of
from .wait_spec import WaitSpec


def chosen_address(wait: WaitSpec, nics: t.Iterable[Nic]) -> str | None:
    """The first address that is waited for, in the order of the interfaces. Pure."""
    return next(
        (address for nic in nics if wait.nic in (None, nic.name) for address in nic.addresses if wait.accepts(address)),
        None,
    )


def wait_for_address(session: Session, vm: Vm, wait: WaitSpec, show: Show) -> str:
    """Wait until the guest reports such an address, and return it. Raises ``HardshellError`` after ``wait.timeout`` seconds."""
    began = shown_at = time.monotonic()
    metrics = token = ""
    seen: tuple[str, ...] = ()
    while True:
        left = wait.timeout - (time.monotonic() - began)
        if left <= 0:
            raise HardshellError(_gave_up(vm, wait, seen))
        watched = [f"vm/{vm.ref}", *([f"vm_guest_metrics/{metrics}"] if metrics else [])]
        patience = float(min(EVENT_SECONDS, session.options.timeout / 2, left))
        answer = session.call("event.from", watched, token, patience, asked=f"wait for {wait} of {vm.name!r}")
        token = answer["token"]
        for event in answer["events"]:
            record = event.get("snapshot")
            if event["class"] == "vm" and record is None:
                raise HardshellError(f"{vm.name!r} was removed while waiting for {wait}")
            if record is None:
                continue
            if event["class"] == "vm":
                if record["power_state"] != "Running":
                    state = record["power_state"].lower()
                    raise HardshellError(
                        f"{vm.name!r} is {state}, so waiting for {wait} is in vain; look at its console"
                    )
                current = "" if record["guest_metrics"] == NULL_REF else record["guest_metrics"]
                if current != metrics:
                    metrics, token = current, ""  # an empty token has the new record reported as it is
            elif event["ref"] == metrics:
                nics = [_reported(nic, record["networks"]) for nic in vm.nics]
                seen = tuple(address for nic in nics for address in nic.addresses)
                address = chosen_address(wait, nics)
                if address is not None:
                    return address
        now = time.monotonic()
        if now - shown_at >= SHOW_EVERY_SECONDS:
            shown_at = now
            show(
                f"wait for {wait} of {vm.name!r}: {now - began:.0f} s" + (f", so far {', '.join(seen)}" if seen else "")
            )


def _reported(nic: Nic, networks: t.Mapping[str, str]) -> Nic:
    return Nic(nic.name, nic.network, device=nic.device, addresses=addresses_of(str(nic.device), networks))


def _gave_up(vm: Vm, wait: WaitSpec, seen: t.Sequence[str]) -> str:
    told = f"it reports {', '.join(seen)}" if seen else "it reports none; does a guest agent run in it?"
    return f"wait_for: {vm.name!r} has not reported {wait} within {wait.timeout} seconds: {told}"
