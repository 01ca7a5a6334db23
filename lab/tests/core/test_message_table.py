# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The table of messages says what the lab does."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_client import Api, Failure
from xapi_lab import message_table, model
from xapi_lab.message_table import ABSENT, BEHAVIOUR, DATA, MISSING, REMOVED, kind


def test_the_committed_table_is_up_to_date() -> None:
    committed = Path(__file__).parents[2] / "MESSAGES.md"
    assert committed.read_text() == message_table.document(), (
        "the lab's messages have changed: run `xapi-lab messages > lab/MESSAGES.md`"
    )


@pytest.mark.parametrize(
    ("wire_name", "expected"),
    [("VM.start", BEHAVIOUR), ("VM.set_name_label", DATA), ("VM.get_all_records", DATA), ("network.create", BEHAVIOUR),
     ("secret.create", DATA), ("pool.retrieve_wlb_recommendations", ABSENT), ("Bond.create", MISSING),
     ("subject.remove_from_roles", BEHAVIOUR)],
)  # fmt: skip
def test_kinds(wire_name: str, expected: str) -> None:
    message_table.document()
    message = model.load().message(wire_name)
    assert message is not None
    assert kind(model.load().classes[message.class_name], message) == expected


def test_what_is_called_missing_or_removed_is_answered_so(api: Api) -> None:
    """Messages without an object to work on, so that nothing else can be refused first."""
    message_table.document()
    found = 0
    for class_ in model.load().classes.values():
        for message in class_.messages.values():
            code = {MISSING: "NOT_IMPLEMENTED", REMOVED: "MESSAGE_REMOVED"}.get(kind(class_, message))
            if code is not None and not message.parameters and message.needs_session:
                found += 1
                with pytest.raises(Failure, match=code):
                    api(message.wire_name)
    assert found > 3
