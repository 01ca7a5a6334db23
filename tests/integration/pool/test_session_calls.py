# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which calls are sent again, and which are not: what changes a pool may have taken effect when its answer is lost."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import (
    connection_arguments,
    connection_options,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.session import Session
from ansible_collections.hardshell.xen.plugins.module_utils._pool.xapi_errors import ConnectionLost, XapiError
from xapi_lab.testing import Lab

NETWORK = {"name_label": "once", "name_description": "", "MTU": "1500", "other_config": {}, "tags": []}


@pytest.fixture
def session(lab: Lab) -> t.Iterator[Session]:
    parameters: dict[str, t.Any] = {
        **dict.fromkeys(connection_arguments()),
        "xapi_host": [lab.url],
        "xapi_username": lab.username,
        "xapi_password": lab.password,
        "xapi_ca_path": str(lab.ca_path),
        "xapi_validate_certs": True,
        "xapi_timeout": 60,
    }
    with Session(connection_options(parameters)) as session:
        session.call("pool.get_all")
        lab.reset_calls()
        yield session


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_change_whose_answer_is_lost_is_told_and_not_sent_again(lab: Lab, session: Session, cut: str) -> None:
    lab.fault("network.create", cut=cut, count=1)
    with pytest.raises(ConnectionLost):
        session.call("network.create", NETWORK)
    assert lab.calls()["network.create"] == 1
    names = [record["name_label"] for record in lab.records("network").values()]
    assert names.count("once") == (cut == "after")


def test_a_question_whose_answer_is_lost_is_asked_again(lab: Lab, session: Session) -> None:
    lab.fault("pool.get_all", cut="after", count=1)
    assert session.call("pool.get_all") == list(lab.records("pool"))
    assert lab.calls()["pool.get_all"] == 2


def test_a_session_that_has_ended_is_renewed_once_for_a_call(lab: Lab, session: Session) -> None:
    lab.fault("network.create", error=["SESSION_INVALID", "OpaqueRef:gone"], count=1)
    session.call("network.create", NETWORK)
    assert (lab.calls()["session.login_with_password"], lab.calls()["network.create"]) == (1, 2)
    lab.reset_calls()
    # Were it renewed as often as it ends, the task would go on for ever.
    lab.fault("network.create", error=["SESSION_INVALID", "OpaqueRef:gone"], count=5)
    with pytest.raises(XapiError) as refused:
        session.call("network.create", NETWORK)
    assert refused.value.code == "SESSION_INVALID"
    assert (lab.calls()["session.login_with_password"], lab.calls()["network.create"]) == (1, 2)
