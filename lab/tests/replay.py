# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Send recorded calls to a lab and compare its answers: references mapped, figures of the recording's machine left out."""

from __future__ import annotations

import base64
import http.client
import json
import re
import time
import xmlrpc.client
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xapi_lab.lab import Lab as RunningLab
from xapi_lab.testing import Lab
from xapi_lab.values import copy_value

_REF = re.compile(r"OpaqueRef:[0-9a-f-]{36}\Z")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_NULL = "OpaqueRef:NULL"
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_EMBEDDED = re.compile(
    r"trackid=[0-9a-f]{32}|OpaqueRef:[0-9a-f-]{36}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)
NOT_TRUTH = {
    "VM.copy", "VDI.copy", "VM.pool_migrate", "VM.send_sysrq", "VM.send_trigger", "VM.add_to_VCPUs_params_live",
    "VM.query_data_source", "SR.probe", "VM.s3_suspend", "VM.s3_resume", "Async.VDI.copy",
}  # fmt: skip
"""Calls whose recorded answers come from the recording's environment, as its README says."""
DISTORTED = {
    ("13_guest_initiated.jsonl", 15): "asked before the guest's halt had its effect",
    ("13_guest_initiated.jsonl", 124): "asked before the guest's reboot had its effect",
    ("12_operation_in_progress.jsonl", 15): "asked during a snapshot, which is over here: see test_recorded_details.py",
    ("12_operation_in_progress.jsonl", 17): "the same",
    ("02_templates.jsonl", 44): "destroys the copy that VM.copy, left out, would have made",
    (
        "06b_hotplug.jsonl",
        151,
    ): "of a template that 02_templates.jsonl made a VM, and that the recording's pool had anew",
    ("06b_hotplug.jsonl", 158): "the same",
    ("06b_hotplug.jsonl", 91): "VBD.insert into a running VM, which the recording's simulator could not do",
    ("06b_hotplug.jsonl", 93): "the same",
    ("06b_hotplug.jsonl", 94): "ejects what was not inserted",
    ("08_network_otherconfig_names.jsonl", 40): "the recording's kernel had no VLANs",
    ("08_network_otherconfig_names.jsonl", 42): "the same",
    ("08_network_otherconfig_names.jsonl", 49): "destroys what was not made here",
    ("09b_events2.jsonl", 11): "a second client logs the session out meanwhile",
    ("16_misc.jsonl", 165): "an SR failure that the recording's simulator was told to give",
    ("16_misc.jsonl", 169): "the same",
}
"""Lines that are sent, but whose answers say nothing about XAPI, and why."""
COMPARED_HEADERS = ("content-type", "connection", "www-authenticate", "content-disposition")
RECORDED_LENGTH = 1500
_TAR = "ova.xml\0"
_DETAIL = "<h1> Additional information </h1>"
DISTORTED_EXCHANGES = {
    **dict.fromkeys(
        [("10_protocol.jsonl", number) for number in (120, 121, 130, 131)],
        "the recording had turned the VM into a snapshot by a call that XAPI keeps for itself",
    ),
    ("10_protocol.jsonl", 125): "figures of the recording's machine",
    ("18_clone_mac_http.jsonl", 49): "the recording had no statistics",
    ("18_clone_mac_http.jsonl", 51): "the same",
}
DIFFERS_BY_NATURE = re.compile(
    r"(event\.|task\.get_record|host\.(dmesg|get_server|compute)|session\.get_last_active|.*\.get_(domid|name_description|result|"
    r"physical_utilisation|progress|finished|created|bridge|MAC|snapshot_metadata|location|address|hostname|resident_on|mac_seed)$"
    r"|VM\.(maximise_memory|compute_memory_overhead)|.*\.get_data_sources|SR\.get_supported_types|SR\.get_allowed_operations|.*\.get_by_name_label|.*\.get_all$)"
)
"""Calls whose values tell of a moment or of the recording's machine."""


@dataclass
class Exchange:
    """A raw HTTP request of a recording, and its answer."""

    file: str
    seq: int
    note: str
    method: str
    path: str
    body: str | None
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Line:
    file: str
    seq: int
    note: str
    method: str
    params: list[Any]
    ok: bool
    expected: Any
    concurrent: bool = False


@dataclass
class Outcome:
    line: Line | Exchange
    verdict: str
    """`same`, `error` (success or error differ), `params` (error parameters), `value` (type or shape of the
    result) or `content` (a plain value)."""
    answer: Any


@dataclass
class Replay:
    """Sends lines one after the other; calls that were recorded as concurrent, too.

    Keeps the mapping from recorded references and uuids to the lab's, learnt from answers that stand for each other."""

    lab: Lab
    known: dict[str, str] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    _stand_ins: dict[str, str] = field(default_factory=dict)
    started: str = ""
    """The VM that was started last."""

    def run(self, lines: Iterator[Line | Exchange]) -> None:
        proxy = xmlrpc.client.ServerProxy(self.lab.url, context=self.lab.ssl_context, allow_none=True)
        for line in lines:
            if isinstance(line, Exchange):
                self.send(line)
                continue
            params = [self._translated(_decoded(value)) for value in line.params]
            if line.method.startswith("guest."):
                self._act_as_guest(line.method)
                continue
            try:
                answer = getattr(proxy, line.method)(*params)
            except (xmlrpc.client.Error, OSError, OverflowError, TypeError) as error:
                self.outcomes.append(Outcome(line, "error", repr(error)))
                proxy = xmlrpc.client.ServerProxy(self.lab.url, context=self.lab.ssl_context, allow_none=True)
                continue
            if line.method == "VM.start" and answer["Status"] == "Success":
                self.started = params[1]
            outcome = self._judged(line, answer)
            if (line.file, line.seq) not in DISTORTED:
                self.outcomes.append(outcome)

    def send(self, exchange: Exchange) -> None:
        """Send a raw request; status, type and connection of the answer have to be the same, and its body but for
        references."""
        connection = http.client.HTTPSConnection(self.lab.host, self.lab.port, context=self.lab.ssl_context)
        credentials = base64.b64encode(f"root:{self.lab.password}".encode()).decode()
        good = exchange.note.endswith(" basic auth") and not exchange.note.startswith("bad ")
        headers = {"Authorization": f"Basic {credentials}"} if good else {}
        body = self._translated_text(exchange.body) if exchange.body is not None else None
        if exchange.body is not None:
            body = (body or "").replace("xenroot", self.lab.password)
        connection.request(
            exchange.method, self._translated_text(exchange.path), body.encode() if body is not None else None, headers
        )
        response = connection.getresponse()
        text = response.read().decode(errors="replace")
        told = {name: response.headers[name] for name in COMPARED_HEADERS}
        if response.status != exchange.status or told != {
            name: exchange.headers.get(name) for name in COMPARED_HEADERS
        }:
            self.outcomes.append(Outcome(exchange, "error", f"{response.status} {told} {text}"))
        elif _TAR not in text and not _same_text(exchange.text, text):
            self.outcomes.append(Outcome(exchange, "content", text))
        else:
            self.outcomes.append(Outcome(exchange, "same", text))

    def _act_as_guest(self, action: str) -> None:
        """Let the guest that was started last halt or restart of its own accord."""
        vm = self.lab.records("VM")[self.started]
        self.lab.run(lambda running: running.background(_guest_action(running, vm["uuid"], action)))
        deadline = time.monotonic() + 5
        while self.lab.records("VM")[self.started]["domid"] == vm["domid"] and time.monotonic() < deadline:
            time.sleep(0.02)

    def _judged(self, line: Line, answer: dict[str, Any]) -> Outcome:
        ok = answer["Status"] == "Success"
        value = answer["Value"] if ok else answer["ErrorDescription"]
        if ok != line.ok:
            return Outcome(line, "error", value)
        if not ok:
            same = value[0] == line.expected[0]
            if not same:
                return Outcome(line, "error", value)
            expected = [self._translated_text(text) for text in line.expected]
            alike = line.concurrent or (len(expected) == len(value) and all(map(_alike_text, expected, value)))
            return Outcome(line, "same" if alike else "params", value)
        self._learn(line.expected, value)
        if line.method == "VM.get_all":
            self._learn_templates(line.expected)
        if not self._same_shape(line.expected, value):
            return Outcome(line, "value", value)
        told = DIFFERS_BY_NATURE.match(line.method) or self._same_content(line.expected, value)
        return Outcome(line, "same" if told else "content", value)

    def _learn_templates(self, refs: list[str]) -> None:
        """Let templates that the lab does not ship be a copy of one that it does."""

        def copy(running: RunningLab) -> str:
            record = running.database.record("VM", running.database.by_name_label("VM", "Other install media")[0])
            plain = {name: copy_value(value) for name, value in record.items() if name != "uuid"}
            return running.database.create("VM", {**plain, "name_label": "stands in for other templates"})

        spare = self.lab.run(copy)
        for ref in refs:
            self._stand_ins.setdefault(ref, spare)

    def _same_content(self, expected: Any, value: Any) -> bool:
        """Whether plain values are equal, and sets of words; references, uuids and times only have to be such."""
        if isinstance(expected, list) and isinstance(value, list):
            words = [item for item in expected if isinstance(item, str) and not _EMBEDDED.search(item)]
            return len(words) < len(expected) or set(words) == set(value)
        if isinstance(expected, bool) or not isinstance(expected, str):
            return isinstance(expected, dict) or expected == value
        if _EMBEDDED.search(expected) or _MAC.match(expected):
            return (expected == _NULL) == (value == _NULL)
        return expected == value

    def _learn(self, expected: Any, value: Any) -> None:
        if isinstance(expected, str) and isinstance(value, str):
            if (_REF.match(expected) and _REF.match(value)) or (_UUID.match(expected) and _UUID.match(value)):
                self.known[expected] = value
        elif isinstance(expected, list) and isinstance(value, list) and len(expected) == len(value):
            for one, other in zip(expected, value, strict=False):
                self._learn(one, other)
        elif isinstance(expected, dict) and isinstance(value, dict):
            if expected and all(_REF.match(key) for key in expected):
                self._learn_records(expected, value)
            else:
                for key in expected.keys() & value.keys():
                    self._learn(expected[key], value[key])

    def _learn_records(self, expected: dict[str, Any], value: dict[str, Any]) -> None:
        """Pair records of one class: by references known already, else by what they are called."""
        free = dict(value)
        for ref, record in expected.items():
            if not isinstance(record, dict):
                return
            mine = self.known.get(ref)
            if mine is None:
                mine = next((other for other, found in free.items() if _called(found) == _called(record)), None)
            if mine in free:
                self.known.setdefault(ref, mine)
                self._learn(record, free.pop(mine))

    def _same_shape(self, expected: Any, value: Any) -> bool:
        if isinstance(expected, dict) and set(expected) == {"__dateTime__"}:
            return isinstance(value, xmlrpc.client.DateTime)
        if isinstance(expected, dict) and isinstance(value, dict):
            if "uuid" in expected and "uuid" in value:
                return expected.keys() == value.keys() and all(
                    self._same_shape(expected[key], value[key]) for key in expected
                )
            return True
        if isinstance(expected, str) and isinstance(value, str):
            return _is_number(expected) == _is_number(value) or not expected or not value
        return type(expected) is type(value)

    def _translated(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._translated_text(value)
        if isinstance(value, list):
            return [self._translated(item) for item in value]
        if isinstance(value, dict):
            translated = {self._translated_text(key): self._translated(item) for key, item in value.items()}
            for kind in ("agent", "pvkernel"):
                if translated.get(f"vm-data/sim-{kind}") == "1":
                    translated["FIST/guest"] = {"agent": "agent", "pvkernel": "kernel"}[kind]
            return translated
        return value

    def _translated_text(self, text: str) -> str:
        if text == "xenroot":
            return self.lab.password
        return _EMBEDDED.sub(lambda match: self._mine(match.group()), text)

    def _mine(self, recorded: str) -> str:
        return self.known.get(recorded) or self._stand_ins.get(recorded, recorded)


def _exchange(file: str, source: dict[str, Any]) -> Exchange:
    method, target, *body = source["http"]
    headers = {name.lower(): value for name, value in source["headers"].items()}
    return Exchange(
        file, source["seq"], source.get("note") or "", method, target, body[0] if body else None, source["status"], headers,
        source["body"],
    )  # fmt: skip


def _same_text(expected: str, text: str) -> bool:
    """Whether bodies are equal but for what differs by nature; recordings do not keep long ones whole."""
    if len(expected) >= RECORDED_LENGTH:
        return True
    return _canonical(expected) == _canonical(text)


def _canonical(text: str) -> str:
    """A body without what differs by nature: references, the order of a record's fields, a parser's own words."""
    text = _EMBEDDED.sub("*", text.partition(_DETAIL)[0])
    return json.dumps(json.loads(text), sort_keys=True) if text.startswith("{") else text


def _called(record: Any) -> Any:
    if not isinstance(record, dict):
        return record
    return tuple(str(record.get(name, "")) for name in ("name_label", "is_a_template", "device", "userdevice", "type"))


def _is_number(text: str) -> bool:
    return text.lstrip("-").isdigit()


def _alike_text(expected: str, value: str) -> bool:
    if expected == value or (_REF.match(expected) and _REF.match(value)):
        return True
    mask = _EMBEDDED.sub("*", expected), _EMBEDDED.sub("*", value)
    return mask[0] == mask[1] or (_is_number(expected) and _is_number(value))


def _decoded(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"__dateTime__"}:
        return xmlrpc.client.DateTime(value["__dateTime__"])
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


def lines_of(path: Path) -> Iterator[Line | Exchange]:
    """Recorded calls and raw requests of a file that are the truth about XAPI."""
    session = ""
    for text in path.read_text().splitlines():
        source = json.loads(text)
        guest = re.match(r"SIMULATED GUEST ACTION: (halt|reboot)", source.get("note") or "")
        if guest:
            yield Line(path.name, source["seq"], source["note"], f"guest.{guest.group(1)}", [], True, "")
        if "calls" in source:
            yield from _concurrent_lines(path.name, source, session)
        if "http" in source and (path.name, source["seq"]) not in DISTORTED_EXCHANGES:
            yield _exchange(path.name, source)
        if "http" in source or "seq" not in source or not source.get("method") or source.get("ms") is None:
            continue
        if source["method"] in NOT_TRUTH or "odd" in source or "transport_exception" in source:
            continue
        if not source["ok"] and "error" not in source:
            continue
        if source["params"] and isinstance(source["params"][0], str) and _REF.match(source["params"][0]):
            session = source["params"][0]
        expected = source["result"] if source["ok"] else source["error"]
        yield Line(
            path.name, source["seq"], source.get("note", ""), source["method"], source["params"], source["ok"], expected
        )


def _concurrent_lines(file: str, source: dict[str, Any], session: str) -> Iterator[Line]:
    for (method, *arguments), (_, _, status, value) in zip(source["calls"], source["results"], strict=True):
        if method not in NOT_TRUTH:
            ok = status == "Success"
            yield Line(file, source["seq"], source["note"], method, [session, *arguments], ok, value, True)


async def _guest_action(running: RunningLab, uuid: str, action: str) -> None:
    if action == "guest.halt":
        await running.machines.kill(uuid)
        running.on_powered_off(uuid)
    else:
        running.on_rebooted(uuid)
