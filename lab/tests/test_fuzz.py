# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Malformed HTTP, XML, JSON and types: the lab stays up, answers in XAPI's words, and its state stays sound.

XAPI_LAB_FUZZ_SECONDS sets how long (3 by default), XAPI_LAB_FUZZ_SEED a seed of your own, or `random` for a new one.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import socket
import time
import xmlrpc.client
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from api_client import Api
from consistency import PYTHON_TEXT, broken_rules, events_agree
from xapi_lab.model import Message
from xapi_lab.testing import Lab
from xapi_lab.wire.xmlrpc import encode_value
from xapi_lab.xva import END, block_files, tar_file

SECONDS = float(os.environ.get("XAPI_LAB_FUZZ_SECONDS", "3"))
_WANTED = os.environ.get("XAPI_LAB_FUZZ_SEED") or "1"
SEED = random.randrange(2**32) if _WANTED == "random" else int(_WANTED)
CLIENTS = 3
PATIENCE = 1.0
"""Seconds that a client waits for an answer: some calls are meant to block."""
STATUSES = {100, 200, 302, 400, 401, 403, 404, 408, 411, 413, 414, 431, 500, 501, 505}
ENDS_THE_SESSION = {
    "session.logout", "session.local_logout", "host.restart_agent", "host.reboot", "host.shutdown",
}  # fmt: skip
TEXTS = ["", "x", "OpaqueRef:NULL", "OpaqueRef:", "0", "-1", "9" * 30, "1e3", "\U0001f600", "\u202e", "a" * 5000, "<&>\"'",
         "]]>", "%s%n", "../../etc/passwd", "x\ntrue;", "true", "xvda", "autodetect", "20240131T09:05:07Z", "99999999T99:99:99Z",
         "<provision><disk", "\ud800", "\x00", "\x1b[0m", "127.0.0.1", "::1", "aa:bb:cc:dd:ee:ff"]  # fmt: skip
NUMBERS: list[Any] = [
    0,
    -1,
    1,
    255,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63),
    10**40,
    0.0,
    -0.5,
    1e308,
    float("nan"),
    float("inf"),
]


class Fuzzer:
    """One client with a random mind of its own."""

    def __init__(self, lab: Lab, seed: int, messages: list[Message]) -> None:
        self.sent: Counter[str] = Counter()
        self.complaints: list[str] = []
        self._lab, self._random, self._messages = lab, random.Random(seed), messages
        self._session = ""
        self._refs: list[str] = []
        self._connection: http.client.HTTPConnection | None = None

    def run(self, until: float) -> Fuzzer:
        kinds: list[Callable[[], None]] = [
            self._typed, self._typed, self._broken_xml, self._broken_json, self._raw_http, self._handler,
        ]  # fmt: skip
        while time.monotonic() < until and len(self.complaints) < 10:
            if not self._session or self._random.random() < 0.01:
                self._prepare()
            kind = self._random.choice(kinds)
            kind()
            self.sent[kind.__name__.lstrip("_")] += 1
        return self

    def _prepare(self) -> None:
        self._session = Api(self._lab).session
        self._refs = self._lab.run(
            lambda running: [ref for table in running.database.tables.values() for ref in list(table)[:20]]
        )

    # --- what is sent

    def _value(self, depth: int = 0) -> Any:
        choice = self._random.randrange(9 if depth < 3 else 6)
        if choice < 2:
            return self._random.choice(TEXTS)
        if choice < 4:
            return self._random.choice(NUMBERS)
        if choice == 4:
            return self._random.choice(self._refs)
        if choice == 5:
            return self._random.choice([True, False, None])
        if choice < 8:
            return [self._value(depth + 1) for _ in range(self._random.randrange(4))]
        return {self._random.choice([*TEXTS, "VM", "SR", "uuid"]): self._value(depth + 1) for _ in range(3)}

    def _fitting(self, kind: str, class_name: str) -> Any:
        """A value that may well be one of the type, so that calls get beyond the unmarshaller."""
        if kind == "ref":
            refs = self._lab.run(lambda running: running.database.refs(class_name)[:30])
            return self._random.choice(refs or ["OpaqueRef:NULL"])
        plain: dict[str, Any] = {
            "string": self._random.choice(TEXTS), "int": self._random.choice([0, 1, -1, 2**20, 2**40]),
            "bool": self._random.random() < 0.5, "float": self._random.choice([0.0, 0.01, -1.0]), "set": [], "map": {},
            "record": {}, "datetime": "20240131T09:05:07Z",
        }  # fmt: skip
        return plain.get(kind, "")

    def _call(self) -> tuple[str, list[Any]]:
        message = self._random.choice(self._messages)
        params: list[Any] = [self._session] if message.needs_session else []
        for parameter in message.parameters:
            fits = self._random.random() < 0.7
            if fits and parameter.type.kind == "enum":
                params.append(self._random.choice(parameter.type.members))
            elif fits:
                params.append(self._fitting(parameter.type.kind, parameter.type.class_name))
            else:
                params.append(self._value())
        if self._random.random() < 0.05:
            params = params[:-1]
        if self._random.random() < 0.05:
            params.append(self._value())
        prefix = "Async." if self._random.random() < 0.2 else ""
        return prefix + message.wire_name, params

    def _xml(self) -> bytes:
        method, params = self._call()
        return xmlrpc.client.dumps(tuple(_for_xml(params)), method, allow_none=True).encode("utf-8", "surrogatepass")

    def _json(self) -> bytes:
        method, params = self._call()
        request = {"jsonrpc": "2.0", "method": method, "params": params, "id": self._random.choice([0, 1, "a"])}
        return json.dumps(request).encode()

    def _damaged(self, body: bytes) -> bytes:
        damage = self._random.randrange(8)
        where = self._random.randrange(len(body))
        if damage == 0:
            return body[:where]
        if damage == 1:
            return body[:where] + bytes([self._random.randrange(256)]) + body[where + 1 :]
        if damage == 2:
            return body[:where] + body[where : where + 40] * 50 + body[where:]
        if damage == 3:
            return body[where:] + body[:where]
        if damage == 4:
            return b"\xff\xfe" + body
        if damage == 5:
            return body.replace(b"value", b"valeu", 1).replace(b'"params"', b'"parms"', 1)
        if damage == 6:
            opening = self._random.choice([b"<value><array><data>", b"[", b'{"a":'])
            return body[:where] + opening * 5000 + body[where:]
        return b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]>' + body

    def _typed(self) -> None:
        if self._random.random() < 0.5:
            self._post("/jsonrpc", self._json())
        else:
            self._post("/", self._xml())

    def _broken_xml(self) -> None:
        self._post(self._random.choice(["/", "/RPC2", "/json"]), self._damaged(self._xml()))

    def _broken_json(self) -> None:
        self._post("/jsonrpc", self._damaged(self._json()))

    def _handler(self) -> None:
        path = self._random.choice(["/import_raw_vdi", "/export_raw_vdi", "/import", "/export", "/rrd_updates", "/vm_rrd",
                                    "/host_rrd", "/import_metadata", "/export_metadata", "/", "/nothing", "/console", "/blob"])  # fmt: skip
        names = [
            "session_id",
            "vdi",
            "sr_id",
            "task_id",
            "format",
            "uuid",
            "ref",
            "start",
            "json",
            "use_compression",
            "interval",
            "cf",
            "host",
            "vm_uuid",
            "restore",
            "force",
            "subtask_of",
            "all",
        ]
        values = [
            self._session,
            *(self._random.choice(self._refs) for _ in range(3)),
            *TEXTS[:8],
            "vhd",
            "raw",
            "1",
            "true",
        ]
        query = "&".join(
            f"{name}={_quoted(self._random.choice(values))}"
            for name in self._random.sample(names, self._random.randrange(5))
        )
        method = self._random.choice(["GET", "PUT", "PUT", "POST", "DELETE", "OPTIONS", "CONNECT"])
        body = self._archive() if path.startswith("/import") and self._random.random() < 0.5 else b""
        self._request(method, f"{path}?{query}", body or self._random.randbytes(self._random.choice([0, 10, 3000])))
        self._hang_up()

    def _archive(self) -> bytes:
        """An archive of VMs whose records are of all kinds, damaged now and then."""
        objects = [
            {"class": self._random.choice(["VM", "VBD", "VDI", "VIF", "SR", "network", "host", ""]),
             "id": f"Ref:{self._random.randrange(4)}",
             "snapshot": {name: self._value() for name in ("VM", "VDI", "SR", "network", "type", "uuid", "other_config")}}
            for _ in range(self._random.randrange(5))
        ]  # fmt: skip
        text = encode_value({"version": {"export_vsn": "2"}, "objects": objects}).encode("utf-8", "replace")
        archive = tar_file("ova.xml", text) + block_files("Ref:1", 0, b"x" * 512) + END
        return self._damaged(archive) if self._random.random() < 0.3 else archive

    def _raw_http(self) -> None:
        line = self._random.choice([
            b"POST / HTTP/1.1", b"POST / HTTP/9.9", b"GET", b"\x00\x01\x02", b"POST /" + b"a" * 20000 + b" HTTP/1.1",
            b"PUT /import_raw_vdi HTTP/1.1", b"POST /jsonrpc HTTP/1.0", b"BREW / HTTP/1.1",
        ])  # fmt: skip
        headers = self._random.choice([
            b"", b"Content-Length: -1", b"Content-Length: x", b"Content-Length: 99999999999", b"Content-Length: 5",
            b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 3", b": nameless", b"X" * 70000,
            b"Authorization: Basic !!!", b"Cookie: session_id=\xff", b"Expect: 100-continue\r\nContent-Length: 2",
        ])  # fmt: skip
        ending = self._random.choice(
            [b"\r\n\r\n", b"\n\n", b"", b"\r\n\r\n" + self._random.randbytes(200), b"\r\n\r\nzz\r\n"]
        )
        self._bytes(line + b"\r\nHost: lab\r\n" + headers + ending)

    # --- how it is sent

    def _post(self, path: str, body: bytes) -> None:
        self._request("POST", path, body)

    def _request(self, method: str, path: str, body: bytes) -> None:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._lab.host, self._lab.config.http_port, timeout=PATIENCE)
        try:
            self._connection.request(method, path, body)
            response = self._connection.getresponse()
            self._judge(f"{method} {path}", body, response.status, response.read(2**20))
            if response.will_close or not response.isclosed():
                self._hang_up()
        except TimeoutError:
            self._hang_up()
        except (http.client.HTTPException, OSError) as error:
            if path.startswith("/?") or path in {"/", "/jsonrpc", "/RPC2", "/json"}:
                self.complaints.append(f"{method} {path} {body[:300]!r}: no answer: {error!r}")
            self._hang_up()

    def _bytes(self, text: bytes) -> None:
        connection = http.client.HTTPConnection(self._lab.host, self._lab.config.http_port, timeout=PATIENCE / 10)
        try:
            connection.connect()
            connection.sock.sendall(text)
            answer = connection.sock.recv(65536)
            status = re.match(rb"HTTP/1\.[01] (\d+)", answer)
            if status:
                self._judge("raw", text, int(status.group(1)), answer)
        except OSError:
            pass
        finally:
            connection.close()

    def _judge(self, what: str, body: bytes, status: int, text: bytes) -> None:
        if status not in STATUSES:
            self.complaints.append(f"{what} {body[:300]!r}: status {status}")
        broken = PYTHON_TEXT.search(text.decode("utf-8", "replace"))
        if broken and broken.group().encode() not in body:
            self.complaints.append(f"{what} {body[:1000]!r}: {text[:500]!r}")

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "replace"))


def _for_xml(value: Any) -> Any:
    """What xmlrpc.client can write: ints as text, as XAPI's clients send them."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return [_for_xml(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _for_xml(item) for key, item in value.items()}
    return value


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_the_lab_stays_up_and_sound(tmp_path: Path) -> None:
    print(f"XAPI_LAB_FUZZ_SEED={SEED}")
    state_dir = tmp_path / "state"
    with Lab(backend="none", state_dir=state_dir, shutdown_timeout=0.2, http_port=_free_port()) as lab:
        messages = lab.run(
            lambda running: [
                message
                for class_ in running.model.classes.values()
                for message in class_.messages.values()
                if message.wire_name not in ENDS_THE_SESSION
            ]
        )
        until = time.monotonic() + SECONDS
        with ThreadPoolExecutor(CLIENTS) as pool:
            fuzzers = list(pool.map(lambda number: Fuzzer(lab, SEED + number, messages).run(until), range(CLIENTS)))
        sent: Counter[str] = sum((fuzzer.sent for fuzzer in fuzzers), Counter())
        print(f"{sent.total()} requests in {SECONDS:g} seconds: {dict(sent)}")
        complaints = [complaint for fuzzer in fuzzers for complaint in fuzzer.complaints]
        assert not complaints, "\n".join(complaints)
        assert sent.total() > 20
        api = Api(lab)
        assert broken_rules(lab) == []
        assert events_agree(api, lab) == []
        kept = {name: lab.records(name).keys() for name in ("VM", "VBD", "VIF", "VDI", "SR", "network", "pool")}
    with Lab(backend="none", state_dir=state_dir) as again:
        assert {name: again.records(name).keys() for name in kept} == kept
        assert broken_rules(again) == []
