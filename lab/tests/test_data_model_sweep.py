# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Every message of XAPI's data model, once with good arguments and once with bad ones.

XAPI_DATAMODEL names the description of the data model; skipped without it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_client import Api
from consistency import NULL, PYTHON_TEXT, broken_rules, events_agree
from xapi_lab.testing import Lab

DATAMODEL = os.environ.get("XAPI_DATAMODEL")
pytestmark = pytest.mark.skipif(not DATAMODEL, reason="XAPI_DATAMODEL names no file")

CALL_TIMEOUT = 60
"""Seconds that the answer to one call may take."""
ENDS_THE_SESSION = {
    "session.logout", "session.local_logout", "host.restart_agent", "host.reboot", "host.shutdown",
}  # fmt: skip
_PLAIN: dict[str, Any] = {
    "string": "x", "int": "1", "bool": False, "float": 0.1, "datetime": "20240131T09:05:07Z", "void": "",
}  # fmt: skip


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(backend="none", shutdown_timeout=1.0) as running:
        yield running


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(str(DATAMODEL)).read_text())
    return loaded


class Arguments:
    """Arguments by the names of their types; references are to objects that the lab has."""

    def __init__(self, model: dict[str, Any], lab: Lab) -> None:
        self._classes = model["classes"]
        self._lab = lab
        self._enums = {name: values for class_ in self._classes.values() for name, values in class_["enums"].items()}

    def good(self, type_name: str) -> Any:
        if type_name.endswith(" map"):
            key, item = type_name[:-4].strip()[1:-1].split(" -> ", 1)
            return {} if key.endswith(" ref") else {self.good(key): self.good(item)}
        if type_name.endswith(" set"):
            return [self.good(type_name[:-4])]
        if type_name.endswith(" ref"):
            return self._ref(type_name[:-4])
        if type_name.endswith(" record"):
            return self._record(type_name[:-7])
        if type_name.startswith("enum "):
            return self._enums[type_name[5:]][0]
        return _PLAIN[type_name]

    def bad(self, type_name: str, number: int) -> Any:
        """Something that is no value of the type; `number` picks among such things."""
        if type_name.endswith(" ref"):
            return ["OpaqueRef:nothing", "", {"a": "map"}][number % 3]
        if type_name.startswith("enum "):
            return ["no member", "", ["a", "set"]][number % 3]
        wrong: list[Any] = [{"a": ["map"]}, [["set"]], "text"]
        if type_name == "string":
            wrong.pop()
        if type_name.endswith((" record", " map")):
            wrong.pop(0)
        return wrong[number % len(wrong)]

    def _ref(self, class_name: str) -> str:
        def first(running: Any) -> str:
            refs = running.database.refs(class_name)
            if class_name == "VM":
                refs = [ref for ref in refs if not running.database.get("VM", ref, "is_control_domain")] or refs
            return str(refs[0]) if refs else NULL

        return self._lab.run(first)

    def _record(self, class_name: str) -> dict[str, Any]:
        given = {
            name: self.good(field["type"])
            for name, field in self._classes[class_name]["fields"].items()
            if field["qualifier"] in {"RW", "RO/constructor"}
        }
        return {**given, "device": "0"} if class_name in {"VIF", "VBD"} else given


class Wire:
    """Sends a call over one of the two protocols; gives the error's parts, or None for success."""

    def __init__(self, lab: Lab, protocol: str, session: str) -> None:
        self._protocol, self._session = protocol, session
        self._connection = http.client.HTTPSConnection(
            lab.host, lab.port, context=lab.ssl_context, timeout=CALL_TIMEOUT
        )

    def call(self, method: str, *arguments: Any, session: bool = True) -> list[str] | None:
        params = (self._session, *arguments) if session else arguments
        if self._protocol == "json":
            body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 0})
            self._connection.request("POST", "/jsonrpc", body)
        else:
            self._connection.request("POST", "/", xmlrpc.client.dumps(params, method))
        response = self._connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, (method, arguments, text)
        assert not PYTHON_TEXT.search(text), (method, arguments, text)
        if self._protocol == "json":
            answer = json.loads(text)
            assert ("error" in answer) != ("result" in answer), (method, text)
            return [answer["error"]["message"], *answer["error"]["data"]] if "error" in answer else None
        value: Any = xmlrpc.client.loads(text)[0][0]
        return list(value["ErrorDescription"]) if value["Status"] == "Failure" else None


def _messages(model: dict[str, Any]) -> Iterator[tuple[str, list[str], bool]]:
    for class_name, class_ in model["classes"].items():
        for message, description in class_["messages"].items():
            names = [parameter[0] for parameter in description["params"]]
            types = [parameter[1] for parameter in description["params"]]
            session = names[:1] == ["session_id"]
            if f"{class_name}.{message}" not in ENDS_THE_SESSION:
                yield f"{class_name}.{message}", types[1:] if session else types, session


def _check_codes(model: dict[str, Any], refusals: dict[str, list[str]]) -> None:
    known = set(model["errors"]) | {"Fault"}
    strange = {
        method: error for method, error in refusals.items()
        if error[0] not in known and not error[0].startswith("SR_BACKEND_FAILURE_")
    }  # fmt: skip
    assert not strange


def _check_state(lab: Lab) -> None:
    api = Api(lab)
    assert broken_rules(lab) == []
    assert events_agree(api, lab) == []
    for class_name in ("VM", "VDI", "task", "host"):
        assert api(f"{class_name}.get_all_records").keys() == lab.records(class_name).keys()


@pytest.mark.parametrize("protocol", ["json", "xml"])
def test_good_arguments_are_answered_in_xapis_words(lab: Lab, model: dict[str, Any], protocol: str) -> None:
    arguments, refusals = Arguments(model, lab), {}
    wire = Wire(lab, protocol, Api(lab).session)
    for method, types, session in _messages(model):
        refusal = wire.call(method, *(arguments.good(name) for name in types), session=session)
        if refusal is not None:
            refusals[method] = refusal
    _check_codes(model, refusals)
    _check_state(lab)


@pytest.mark.parametrize("protocol", ["json", "xml"])
def test_bad_arguments_are_refused_in_xapis_words(lab: Lab, model: dict[str, Any], protocol: str) -> None:
    arguments, refusals = Arguments(model, lab), {}
    wire, numbers = Wire(lab, protocol, Api(lab).session), itertools.count()
    for method, types, session in _messages(model):
        if not types:
            continue
        refusal = wire.call(method, *(arguments.bad(name, next(numbers)) for name in types), session=session)
        assert refusal is not None, f"{method} takes anything"
        refusals[method] = refusal
    _check_codes(model, refusals)
    _check_state(lab)


def test_async_calls_end_in_xapis_words(lab: Lab, model: dict[str, Any]) -> None:
    arguments, api = Arguments(model, lab), Api(lab)
    wire = Wire(lab, "json", api.session)
    for method, types, session in _messages(model):
        wire.call(f"Async.{method}", *(arguments.good(name) for name in types), session=session)
    for task in api("task.get_all_records").values():
        assert not PYTHON_TEXT.search(str(task["error_info"])), task
    _check_state(lab)


def test_a_wrong_number_of_arguments_is_counted_without_the_session(lab: Lab, model: dict[str, Any]) -> None:
    wire = Wire(lab, "json", Api(lab).session)
    for method, types, session in _messages(model):
        class_name, message = method.split(".")
        required = [needed for *_, needed in model["classes"][class_name]["messages"][message]["params"]]
        if not session or not all(required) or not types:
            continue
        refusal = wire.call(method)
        assert refusal is not None, method
        assert refusal[0] in {"MESSAGE_PARAMETER_COUNT_MISMATCH", "MESSAGE_REMOVED"}, (method, refusal)
        assert refusal[0] == "MESSAGE_REMOVED" or refusal[3] == "0", (method, refusal)


def test_each_message_is_for_the_roles_that_the_model_names(model: dict[str, Any]) -> None:
    """Whoever else sends it is told so; the least of the roles gets beyond that, to arguments that point nowhere."""
    names = ["pool-admin", "pool-operator", "vm-power-admin", "vm-admin", "vm-operator", "client-cert", "read-only"]
    accounts = [{"name": name, "password": "p", "role": name} for name in names]
    with Lab(backend="none", accounts=accounts) as lab:
        api, arguments = Api(lab), Arguments(model, lab)
        wires = {name: Wire(lab, "json", api.request("session.login_with_password", name, "p")) for name in names}
        for method, types, session in _messages(model):
            class_name, message = method.split(".")
            description = model["classes"][class_name]["messages"][message]
            if not session or description["state"] == "Removed":
                continue
            given = ["OpaqueRef:nothing" if name.endswith(" ref") else arguments.good(name) for name in types]
            roles = sorted(description["roles"], key=names.index)
            text = f"No permission in user session. (Roles with this permission: {', '.join(roles)})"
            for name in names:
                if name not in roles:
                    refusal = wires[name].call(method, *given)
                    assert refusal == ["RBAC_PERMISSION_DENIED", method.lower(), text], (name, method)
            if roles and any(name.endswith(" ref") for name in types):
                refusal = wires[roles[-1]].call(method, *given)
                assert refusal is None or refusal[0] != "RBAC_PERMISSION_DENIED", (roles[-1], method)
