# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The expression language of get_all_records_where: `field "power_state" = "Running" and not ...`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import Any

from xapi_lab.errors import XapiError, internal_error
from xapi_lab.model import Class

Record = dict[str, Any]
Predicate = Callable[[str, Record], bool]

_TOKEN = re.compile(r'\s*(?:(?P<word>field|and|or|not|true|false)\b|(?P<text>"[^"]*")|(?P<sign>[()=]))')


def as_stored(value: Any) -> str:
    """A value as XAPI's database keeps it, which is what expressions compare with."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "(" + " ".join(f"'{item}'" for item in value) + ")"
    if isinstance(value, dict):
        return "(" + " ".join(f"('{key}' '{item}')" for key, item in value.items()) + ")"
    return str(value)


def compile_expression(expression: str, class_: Class) -> Predicate:
    """A test of a reference and its record; raises INVALID_VALUE or, for an unknown field, INTERNAL_ERROR."""
    return _Parser(expression, class_).parse()


def _tokens(expression: str) -> list[str]:
    tokens, position = [], 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise XapiError("INVALID_VALUE", expression, 'Failure("lexing: empty token")')
        tokens.append(match.group().strip())
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, expression: str, class_: Class) -> None:
        self._expression = expression
        self._tokens = deque(_tokens(expression))
        self._fields = {field.database_name: name for name, field in class_.fields.items()}

    def parse(self) -> Predicate:
        try:
            predicate = self._either()
        except RecursionError:
            raise internal_error("Stack_overflow") from None
        if self._tokens:
            raise self._error()
        return predicate

    def _error(self) -> XapiError:
        return XapiError("INVALID_VALUE", self._expression, "Parsing.Parse_error")

    def _peek(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self, expected: str = "") -> str:
        if not self._tokens or (expected and self._tokens[0] != expected):
            raise self._error()
        return self._tokens.popleft()

    def _either(self) -> Predicate:
        terms = [self._both()]
        while self._peek() == "or":
            self._take()
            terms.append(self._both())
        return terms[0] if len(terms) == 1 else lambda ref, record: any(term(ref, record) for term in terms)

    def _both(self) -> Predicate:
        terms = [self._single()]
        while self._peek() == "and":
            self._take()
            terms.append(self._single())
        return terms[0] if len(terms) == 1 else lambda ref, record: all(term(ref, record) for term in terms)

    def _single(self) -> Predicate:
        token = self._take()
        if token == "not":
            inner = self._single()
            return lambda ref, record: not inner(ref, record)
        if token == "(":
            inner = self._either()
            self._take(")")
            return inner
        if token in {"true", "false"}:
            return lambda ref, record: token == "true"
        left = self._operand(token)
        self._take("=")
        right = self._operand(self._take())
        return lambda ref, record: left(ref, record) == right(ref, record)

    def _operand(self, token: str) -> Callable[[str, Record], str]:
        if token == "field":
            return self._field(self._text(self._take()))
        literal = self._text(token)
        return lambda ref, record: literal

    def _text(self, token: str) -> str:
        if not token.startswith('"'):
            raise self._error()
        return token[1:-1]

    def _field(self, name: str) -> Callable[[str, Record], str]:
        if name in {"_ref", "ref"}:
            return lambda ref, record: ref
        if name not in self._fields:
            raise XapiError("INTERNAL_ERROR", "missing field", name, "")
        field = self._fields[name]
        return lambda ref, record: as_stored(record[field])
