# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""XML-RPC as XAPI speaks it: strings and ints without a tag, datetimes in compact form, failures as values."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from xapi_lab.errors import internal_error
from xapi_lab.values import DateTime, WireInt
from xapi_lab.wire import MalformedRequest, Request

CONTENT_TYPE = "text/xml"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_ENTITY = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def parse_request(body: bytes) -> Request:
    """The call in a request body; raises MalformedRequest, or INTERNAL_ERROR for a value that is none."""
    if _ENTITY.search(body):
        raise MalformedRequest("Xmlm.Error(1:0, document type declarations are not accepted)")
    try:
        root = ElementTree.fromstring(body)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise MalformedRequest(f'Xmlm.Error({error.__class__.__name__}, "{error}")') from None
    if root.tag != "methodCall":
        raise MalformedRequest(f'Xmlrpc.Parse_error("{root.tag}", "methodCall")')
    name = root.findtext("methodName")
    if name is None:
        raise MalformedRequest('Xmlrpc.Parse_error("close_tag", "methodName")')
    return Request(name.strip(), [_value(param) for param in root.findall("params/param/value")])


def decode_value(text: bytes) -> Any:
    """The value in a <value> element of its own; raises ValueError, or INTERNAL_ERROR for a number that is none."""
    if _ENTITY.search(text):
        raise ValueError("document type declarations are not accepted")
    try:
        return _value(ElementTree.fromstring(text))
    except (ElementTree.ParseError, LookupError, RecursionError, MalformedRequest) as error:
        raise ValueError(str(error)) from None


def _value(element: ElementTree.Element) -> Any:
    if not len(element):
        return element.text or ""
    inner = element[0]
    text = inner.text or ""
    tag = inner.tag
    if tag == "string":
        return text
    if tag in {"int", "i4", "i8"}:
        return _number(int, text, "int_of_string")
    if tag == "boolean":
        return text.strip() in {"1", "true"}
    if tag == "double":
        return _number(float, text, "float_of_string")
    if tag == "dateTime.iso8601":
        return DateTime(text.strip())
    if tag == "nil":
        return None
    if tag == "array":
        return [_value(item) for item in inner.findall("data/value")]
    if tag == "struct":
        return {
            member.findtext("name") or "": _value(value)
            for member in inner.findall("member")
            if (value := member.find("value")) is not None
        }
    if tag == "base64":
        return text.strip()
    raise MalformedRequest(f'Xmlrpc.Parse_error("{tag}", "value")')


def _number(convert: type[int] | type[float], text: str, name: str) -> int | float:
    try:
        return convert(text.strip())
    except ValueError:
        raise internal_error(f'Failure("{name}")') from None


def encode_value(value: Any) -> str:
    """A value as the text of its <value> element."""
    parts: list[str] = []
    _append(parts, value)
    return "".join(parts)


def _append(parts: list[str], value: Any) -> None:
    if isinstance(value, DateTime):
        parts.append(f"<value><dateTime.iso8601>{value}</dateTime.iso8601></value>")
    elif isinstance(value, str):
        parts.append(f"<value>{escape(value)}</value>")
    elif isinstance(value, bool):
        parts.append(f"<value><boolean>{int(value)}</boolean></value>")
    elif isinstance(value, WireInt):
        parts.append(f"<value><i4>{value}</i4></value>")
    elif isinstance(value, int):
        parts.append(f"<value>{value}</value>")
    elif isinstance(value, float):
        parts.append(f"<value><double>{value:.16g}</double></value>")
    elif isinstance(value, list | tuple):
        parts.append("<value><array><data>")
        for item in value:
            _append(parts, item)
        parts.append("</data></array></value>")
    elif isinstance(value, dict):
        parts.append("<value><struct>")
        for key, item in value.items():
            parts.append(f"<member><name>{escape(str(key))}</name>")
            _append(parts, item)
            parts.append("</member>")
        parts.append("</struct></value>")
    else:
        parts.append("<value></value>")


def escape(text: str) -> str:
    if _CONTROL.search(text):
        text = _CONTROL.sub("", text)
    if "&" in text or "<" in text or ">" in text or '"' in text:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text


def _envelope(members: str) -> bytes:
    return (
        '<?xml version="1.0"?><methodResponse><params><param><value><struct>'
        f"{members}</struct></value></param></params></methodResponse>"
    ).encode()


def success(value: Any) -> bytes:
    return _envelope(
        "<member><name>Status</name><value>Success</value></member>"
        f"<member><name>Value</name>{encode_value(value)}</member>"
    )


def failure(description: list[str]) -> bytes:
    return _envelope(
        "<member><name>Status</name><value>Failure</value></member>"
        f"<member><name>ErrorDescription</name>{encode_value(description)}</member>"
    )


def bare(value: Any) -> bytes:
    """An answer without Status and Value: system.listMethods only."""
    return (
        f'<?xml version="1.0"?><methodResponse><params><param>{encode_value(value)}</param></params></methodResponse>'
    ).encode()
