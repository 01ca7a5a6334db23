# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""JSON-RPC 1.0 and 2.0 as XAPI speaks them: no batches, numbers for ints, the code as the error's message."""

from __future__ import annotations

import json
from typing import Any

from xapi_lab.wire import MalformedRequest, Request

CONTENT_TYPE = "application/json"


def parse_request(body: bytes) -> Request:
    """The call in a request body; raises MalformedRequest."""
    try:
        text = body.decode()
        request = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(request, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    except UnicodeError:
        raise MalformedRequest('Yojson__Common.Json_error("Invalid unicode")') from None
    except (ValueError, RecursionError) as error:
        raise MalformedRequest(f'Yojson__Common.Json_error("{error}")') from None
    if not isinstance(request, dict):
        raise MalformedRequest('Jsonrpc.Malformed_method_request("Invalid request body")')
    version = request.get("jsonrpc")
    if version not in {None, "2.0"}:
        raise MalformedRequest("Jsonrpc.Malformed_method_request(\"Invalid field 'jsonrpc' in request body\")")
    method, identifier = request.get("method"), request.get("id")
    if not isinstance(method, str):
        raise MalformedRequest("Jsonrpc.Malformed_method_request(\"Invalid field 'method' in request body\")")
    if identifier is None or isinstance(identifier, bool | list | dict | float):
        raise MalformedRequest("Jsonrpc.Malformed_method_request(\"Invalid field 'id' in request body\")")
    params = request.get("params")
    if params is None and version == "2.0":
        params = []
    if isinstance(params, dict):
        params = [params]
    if not isinstance(params, list):
        raise MalformedRequest("Jsonrpc.Malformed_method_request(\"Invalid field 'params' in request body\")")
    return Request(method, params, "json2" if version else "json1", identifier)


def _dump(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False).encode()


def success(request: Request, value: Any) -> bytes:
    value = "" if value is None else value
    if request.style == "json2":
        return _dump({"jsonrpc": "2.0", "result": value, "id": request.id})
    return _dump({"result": value, "error": None, "id": request.id})


def failure(request: Request, description: list[str]) -> bytes:
    if request.style == "json2":
        error = {"code": 1, "message": description[0], "data": description[1:]}
        return _dump({"jsonrpc": "2.0", "error": error, "id": request.id})
    return _dump({"result": None, "error": description, "id": request.id})
