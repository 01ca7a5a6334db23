# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The lab against recordings of a real XAPI and against its whole data model.

XAPI_TRANSCRIPTS names a folder of recordings (*.jsonl), XAPI_DATAMODEL a description of the data model; each test is
skipped without its variable.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_client import Api, Failure
from replay import Replay, lines_of
from xapi_lab.testing import Lab

TRANSCRIPTS = os.environ.get("XAPI_TRANSCRIPTS")
DATAMODEL = os.environ.get("XAPI_DATAMODEL")
WANTED_SHARE = 0.995
SLOW = {"14_session_timeout.jsonl", "15_session_limit.jsonl", "17_python_XenAPI_client.jsonl"}
"""Recordings of time limits, of the number of sessions, and of a client's own objects."""
RECORDED_POOL: dict[str, Any] = {
    "guest": "silent",
    "agent_delay": 0.0,
    "hosts": [{"name": "xapihost", "cpus": 16, "memory": "64 GiB"}],
    "srs": [{"name": "Local storage", "type": "dummy", "capacity": 2_000_000_000_000, "default": True}],
    "networks": [
        {"name": "Pool-wide network associated with eth0", "kind": "nat", "bridge": "breth0"},
        {"name": "Host internal management network", "kind": "private", "bridge": "xenapi"},
    ],
}


@pytest.mark.skipif(not TRANSCRIPTS, reason="XAPI_TRANSCRIPTS names no folder of recordings")
def test_recorded_calls_are_answered_alike() -> None:
    with Lab("none", **RECORDED_POOL) as lab:
        replay = Replay(lab)
        for path in sorted(Path(str(TRANSCRIPTS)).glob("*.jsonl")):
            if path.name not in SLOW:
                replay.run(lines_of(path))
    different = [outcome for outcome in replay.outcomes if outcome.verdict != "same"]
    share = 1 - len(different) / len(replay.outcomes)
    report = "\n".join(
        f"{outcome.line.file}:{outcome.line.seq} {outcome.line.method}: {outcome.verdict}: "
        f"expected {str(getattr(outcome.line, 'expected', outcome.line))[:220]}, got {str(outcome.answer)[:220]}"
        for outcome in different
    )
    print(f"{share:.2%} of {len(replay.outcomes)} recorded calls are answered alike\n{report}")
    assert share >= WANTED_SHARE, report


_WELL_TYPED: dict[str, Any] = {
    "string": "x", "int": 1, "bool": False, "float": 0.1, "datetime": "20240131T09:05:07Z", "void": "",
}  # fmt: skip
ENDS_THE_SESSION = {"session.logout", "session.local_logout", "session.login_with_password",
                    "session.slave_local_login_with_password"}  # fmt: skip


def _well_typed(type_name: str, enums: dict[str, list[str]]) -> Any:
    if type_name.endswith(" map") or type_name.endswith(" record"):
        return {}
    if type_name.endswith(" set"):
        return []
    if type_name.endswith(" ref"):
        return "OpaqueRef:NULL"
    if type_name.startswith("enum "):
        return enums[type_name[5:]][0]
    return _WELL_TYPED[type_name]


def _messages() -> Iterator[tuple[str, list[str]]]:
    classes = json.loads(Path(str(DATAMODEL)).read_text())["classes"]
    for class_name, class_ in classes.items():
        for message, description in class_["messages"].items():
            yield f"{class_name}.{message}", [parameter[1] for parameter in description["params"][1:]]


@pytest.mark.skipif(not DATAMODEL, reason="XAPI_DATAMODEL names no file")
def test_every_message_of_the_data_model_is_answered_in_xapis_words(lab: Lab, api: Api) -> None:
    enums: dict[str, list[str]] = {}
    for class_ in json.loads(Path(str(DATAMODEL)).read_text())["classes"].values():
        enums.update(class_.get("enums", {}))
    for method, types in _messages():
        if method in ENDS_THE_SESSION:
            continue
        for params in ([_well_typed(name, enums) for name in types], [[{"wrong": None}]] * len(types)):
            details = _refusal(api, method, params)
            text = " ".join(details)
            assert "Error:" not in text, (method, text)
            assert "the lab failed" not in text, (method, text)
            assert not details or details[0].isupper() or details[0] == "Fault", (method, text)


def _refusal(api: Api, method: str, params: list[Any]) -> list[str]:
    """The error that a call gets; nothing when it succeeds."""
    try:
        api(method, *params)
    except Failure as failure:
        return failure.details
    return []
