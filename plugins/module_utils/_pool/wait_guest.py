# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Waiting for a guest: what the pool reports of it by events, and its SSH server by asking."""

from __future__ import annotations

import socket
import time
import typing as t
from dataclasses import replace

from .._errors import HardshellError
from .session import NULL_REF, Session
from .tasks import EVENT_SECONDS, SHOW_EVERY_SECONDS, Show
from .vm_facts import Nic, Vm
from .vm_observe import addresses_of
from .wait_spec import WaitSpec

SSH_ANSWER_SECONDS = 5.0
SSH_AGAIN_SECONDS = 1.0


def chosen_address(wait: WaitSpec, nics: t.Iterable[Nic]) -> str | None:
    """The first address that is waited for, in the order of the interfaces. Pure."""
    return next(
        (address for nic in nics if wait.nic in (None, nic.name) for address in nic.addresses if wait.accepts(address)),
        None,
    )


def settled(wait: WaitSpec, vm: Vm) -> bool:
    """Whether the pool reports all of a VM that is waited for. Pure."""
    return (not wait.address or chosen_address(wait, vm.nics) is not None) and (not wait.guest_agent or vm.has_agent)


def wait_for_guest(session: Session, vm: Vm, wait: WaitSpec, show: Show) -> str | None:
    """Wait until all is there that ``wait`` names, and return the address. Raises ``HardshellError`` after ``wait.timeout`` seconds."""
    clock = _Clock(wait, show, f"wait for {wait} of {vm.name!r}")
    if not settled(wait, vm):
        vm = _wait_for_report(session, vm, wait, clock)
    address = chosen_address(wait, vm.nics)
    if wait.ssh_port is not None and address is not None:
        _wait_for_ssh(vm, address, wait.ssh_port, clock)
    return address


class _Clock:
    """The one deadline, and the progress that a person sees until then."""

    def __init__(self, wait: WaitSpec, show: Show, what: str) -> None:
        self._wait = wait
        self._show = show
        self._what = what
        self._began = self._shown_at = time.monotonic()

    @property
    def left(self) -> float:
        return self._wait.timeout - (time.monotonic() - self._began)

    def tick(self, text: str) -> None:
        now = time.monotonic()
        if now - self._shown_at >= SHOW_EVERY_SECONDS:
            self._shown_at = now
            self._show(f"{self._what}: {now - self._began:.0f} s" + (f", {text}" if text else ""))


def _wait_for_report(session: Session, vm: Vm, wait: WaitSpec, clock: _Clock) -> Vm:
    """Wait by the pool's events. Returns the VM with what the guest reports of it by then."""
    metrics = token = ""
    while True:
        if clock.left <= 0:
            raise HardshellError(_gave_up(vm, wait))
        watched = [f"vm/{vm.ref}", *([f"vm_guest_metrics/{metrics}"] if metrics else [])]
        patience = max(0.1, float(min(EVENT_SECONDS, session.options.timeout / 2, clock.left)))
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
                nics = tuple(_reported(nic, record["networks"]) for nic in vm.nics)
                vm = replace(vm, nics=nics, has_agent=bool(record["PV_drivers_version"]))
                if settled(wait, vm):
                    return vm
        clock.tick(f"so far {', '.join(vm.addresses)}" if vm.addresses else "")


def _wait_for_ssh(vm: Vm, address: str, port: int, clock: _Clock) -> None:
    """Ask until an SSH server greets. No event tells of it, so it is asked again after a pause that is no load for either side."""
    why = "it does not answer"
    while clock.left > 0:
        try:
            with socket.create_connection((address, port), timeout=min(SSH_ANSWER_SECONDS, clock.left)) as connection:
                greeting = connection.recv(4)
            if greeting == b"SSH-":
                return
            why = "what answers there is no SSH server" if greeting else "it hangs up at once"
        except OSError as error:
            why = error.strerror or str(error) or "it does not answer in time"
        clock.tick(f"ssh to {address} port {port}: {why}")
        time.sleep(max(0.0, min(SSH_AGAIN_SECONDS, clock.left)))
    raise HardshellError(
        f"wait_for.ssh: no SSH server of {vm.name!r} at {address} port {port} within the timeout: {why}"
    )


def _reported(nic: Nic, networks: t.Mapping[str, str]) -> Nic:
    return replace(nic, addresses=addresses_of(str(nic.device), networks))


def _gave_up(vm: Vm, wait: WaitSpec) -> str:
    told = f"it reports {', '.join(vm.addresses)}" if vm.addresses else "it reports none; does a guest agent run in it?"
    if wait.guest_agent and not vm.has_agent:
        told = "no guest agent has reported; is one installed in it, and running?"
    return f"wait_for: {vm.name!r} has not reported {wait} within {wait.timeout} seconds: {told}"
