# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Carrying out the power steps of one VM: clean, hard where that is allowed, and past a host that is lost.

A VM that is halted only for a change carries ``hardshell:power-cycle`` from before its shutdown until it is back: its value is the power state
that it is to come back to, by which the next run finishes what this one is cut off from.
"""

from __future__ import annotations

import contextlib
import time
import zlib

from .._errors import HardshellError
from . import marks
from .power import REBOOT, SHUT_DOWN, PowerStep, on_host
from .session import Session
from .tasks import EVENT_SECONDS, Show, TaskTimeout, run_task
from .xapi_errors import ConnectionLost, XapiError

_GUEST_DOES_NOT_ANSWER = frozenset(
    {"VM_LACKS_FEATURE", "VM_MISSING_PV_DRIVERS", "VM_SHUTDOWN_TIMEOUT", "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT"}
)
_HOST_IS_LOST = frozenset({"CANNOT_CONTACT_HOST", "HOST_OFFLINE", "HOST_NOT_LIVE"})
_GUEST_IS_NOT_UP = frozenset({"VM_LACKS_FEATURE", "VM_MISSING_PV_DRIVERS"})
_HARD = {SHUT_DOWN: "hard_shutdown", REBOOT: "hard_reboot"}
_PLACED_BY_THE_POOL = ("start", "resume")


class PowerPerformer:
    """Takes the steps of one VM. ``timeout``: seconds for a clean shutdown or reboot; ``force``: then hard."""

    def __init__(self, session: Session, name: str, show: Show, *, timeout: float, force: bool) -> None:
        self._session = session
        self._name = name
        self._show = show
        self._timeout = timeout
        self._force = force
        self._woken = False
        """Whether the guest was started or resumed here, so that it may not be up yet."""

    def take(self, vm: str, step: PowerStep) -> None:
        """Raises ``HardshellError`` where the VM does not come to the state that the step leads to."""
        if step.returns_to is not None:
            self._note(vm, step.returns_to)
        try:
            self._take(vm, step)
        except ConnectionLost:
            raise
        except HardshellError:
            if step.returns_to is not None:
                with contextlib.suppress(HardshellError):
                    self._note(vm, None)
            raise
        self._woken = step.message.startswith(_PLACED_BY_THE_POOL) or (self._woken and step.leads_to == "running")
        if step.ends_cycle:
            self._note(vm, None)

    def _note(self, vm: str, returns_to: str | None) -> None:
        asked = "note that the VM is to come back"
        self._session.call("VM.remove_from_other_config", vm, marks.POWER_CYCLE, asked=asked)
        if returns_to is not None:
            self._session.call("VM.add_to_other_config", vm, marks.POWER_CYCLE, returns_to, asked=asked)

    def _take(self, vm: str, step: PowerStep) -> None:
        asked = f"{step.action} {self._name!r}"
        try:
            self._run(vm, step, asked)
        except (TaskTimeout, XapiError) as error:
            code = error.code if isinstance(error, XapiError) else ""
            if isinstance(error, XapiError):
                if _is_there(error, step):
                    return
                if code in _HOST_IS_LOST and step.message in _PLACED_BY_THE_POOL:
                    self._take_elsewhere(vm, step, asked, error)
                    return
            if step not in _HARD or (code and code not in _GUEST_DOES_NOT_ANSWER):
                raise
            if not self._force:
                raise HardshellError(
                    f"{error}. The VM was left as it is; set force: true to turn it off where it does not shut down cleanly"
                ) from error
            self._show(f"{asked}: the guest does not answer, turning it off")
            try:
                run_task(self._session, f"VM.{_HARD[step]}", vm, asked=f"turn {self._name!r} off", show=self._show)
            except XapiError as late:
                if not _is_there(late, step):  # it shut down at the last moment
                    raise

    def _run(self, vm: str, step: PowerStep, asked: str) -> None:
        timeout = self._timeout if step in _HARD else None
        message = f"VM.{step.message}"
        try:
            run_task(self._session, message, vm, *step.arguments, asked=asked, show=self._show, timeout=timeout)
        except XapiError as error:
            if not (self._woken and error.code in _GUEST_IS_NOT_UP):
                raise
            self._show(f"{asked}: waiting for the guest, which has only just been started")
            self._wait_until_allowed(vm, step, asked)
            run_task(self._session, message, vm, *step.arguments, asked=asked, show=self._show, timeout=timeout)

    def _wait_until_allowed(self, vm: str, step: PowerStep, asked: str) -> None:
        """Until XAPI lists the operation as allowed, as it does once the guest has told its features (xapi_vm_lifecycle.ml).

        Returns as well when the VM is gone, or the time is up.
        """
        ends = time.monotonic() + self._timeout
        token = ""
        while (left := ends - time.monotonic()) > 0:
            patience = float(min(EVENT_SECONDS, self._session.options.timeout / 2, left))
            answer = self._session.call("event.from", [f"vm/{vm}"], token, patience, asked=asked)
            token = answer["token"]
            records = [event.get("snapshot") for event in answer["events"]]
            if any(record is None or step.message in record["allowed_operations"] for record in records):
                return

    def _take_elsewhere(self, vm: str, step: PowerStep, asked: str, lost: XapiError) -> None:
        """On another host than the lost one, which the pool takes for alive until ``host_assumed_dead_interval`` is over (xapi_globs.ml).

        In an order of each VM's own, so that many of them do not all come to one host.
        """
        tried = set(lost.parameters)
        possible = self._session.call("VM.get_possible_hosts", vm, asked=asked)
        for host in sorted(possible, key=lambda host: zlib.crc32(f"{vm} {host}".encode())):
            if host in tried:
                continue
            self._show(f"{lost}; trying another host")
            try:
                self._run(vm, on_host(step, host), asked)
            except XapiError as error:
                if _is_there(error, step):
                    return
                if error.code not in _HOST_IS_LOST:
                    raise
                lost = error
            else:
                return
        raise lost


def _is_there(error: XapiError, step: PowerStep) -> bool:
    """Whether XAPI refuses a step because the VM is where it leads to: somebody was faster, or an answer was lost."""
    return (
        error.code == "VM_BAD_POWER_STATE"
        and [text.lower() for text in error.parameters[2:]] == [step.leads_to]
        and step != REBOOT
    )
