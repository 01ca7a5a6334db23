# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that keeps exiting is reported with its exit code, also when it runs again at the moment of looking."""

from __future__ import annotations

import time
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.api import EngineError
from ansible_collections.hardshell.xen.plugins.module_utils._engine.health import MemberError, wait_ready

from .model import engine_report, spec_of, wanted_of


class Looks:
    """An engine that a container is looked at in, as it is at each look; the last state stays."""

    def __init__(self, states: list[dict[str, t.Any]]) -> None:
        spec = spec_of({"web": {"image": "box:1"}})
        self._report = engine_report(spec, wanted_of(spec)["web"], "1" * 64)
        self._states = states

    def get(self, _path: str) -> dict[str, t.Any]:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return {**self._report, "RestartCount": 3, "State": {"StartedAt": "", **state}}

    def logs(self, _identity: str, _lines: int) -> list[str]:
        return ["no database"]


class Events:
    """Each wait ends with an event at once."""

    count = 0

    def wait_for_event(self, seen: int, _seconds: float) -> None:
        self.count = seen + 1


RUNNING: dict[str, t.Any] = {"Status": "running", "ExitCode": 0}
ENDED: dict[str, t.Any] = {"Status": "restarting", "ExitCode": 3}


@pytest.mark.parametrize("states", [[ENDED], [RUNNING, ENDED], [RUNNING, RUNNING, RUNNING, ENDED]])
def test_the_exit_code_is_that_of_its_last_end(states: list[dict[str, t.Any]]) -> None:
    with pytest.raises(
        MemberError, match="web did not become ready: it keeps exiting, last with exit code 3"
    ) as failure:
        wait_ready(t.cast("t.Any", Looks(states)), t.cast("t.Any", Events()), "1", "web", time.monotonic() + 60)
    assert failure.value.details["member"]["exit_code"] == 3


class WithoutLog(Looks):
    """An engine whose logging driver keeps nothing."""

    def logs(self, _identity: str, _lines: int) -> list[str]:
        raise EngineError(501, "configured logging driver does not support reading")


def test_a_log_that_cannot_be_read_is_told() -> None:
    with pytest.raises(MemberError, match="The engine does not give its log: configured logging driver does not"):
        wait_ready(t.cast("t.Any", WithoutLog([ENDED])), t.cast("t.Any", Events()), "1", "web", time.monotonic() + 60)
