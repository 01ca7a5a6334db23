# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way back is insisted on while an engine is being restarted, and only then."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine import rollback
from ansible_collections.hardshell.xen.plugins.module_utils._engine.api import ConnectionLost, Engine, EngineError
from ansible_collections.hardshell.xen.plugins.module_utils._engine.apply import network_problem
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._plan import Change, Plan, carry_out

from .test_api_version import Client


def engine() -> Engine:
    """One that answers each ping, as one that is about to end still does on the connections that it has."""
    return Engine(Client("1.41"), "unix:///engine")


def failing(*errors: Exception) -> t.Callable[[], bool]:
    left = list(errors)

    def attempt() -> bool:
        if not left:
            return True
        problem = left.pop(0)

        def perform(_step: Change) -> None:
            raise problem

        carry_out(Plan((Change("a", "start", "container", "web"),)), perform)
        return False

    return attempt


def test_a_way_that_is_lost_on_the_way_back_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback.time, "sleep", lambda _seconds: None)
    assert rollback.insist(engine(), failing(ConnectionLost("gone"), ConnectionLost("gone"))) is True


def test_what_the_engine_refuses_is_not_tried_again() -> None:
    with pytest.raises(HardshellError, match="no room"):
        rollback.insist(engine(), failing(EngineError(500, "no room")))


def test_an_engine_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "RECONNECT_SECONDS", 0.0)
    with pytest.raises(HardshellError, match="gone"):
        rollback.insist(engine(), failing(ConnectionLost("gone")))


@pytest.mark.parametrize(
    "words",
    [
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        "all predefined address pools have been fully subnetted",
    ],
)
def test_an_engine_without_addresses_is_told_with_the_way_out(words: str) -> None:
    assert network_problem(words).startswith(f"{words}; its default-address-pools")
    assert network_problem("permission denied") == "permission denied"
