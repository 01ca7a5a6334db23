# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Errors as XAPI reports them: a code and its parameters, all strings."""

from __future__ import annotations


class XapiError(Exception):
    """Ends a call; `description` is the ErrorDescription that the client gets."""

    def __init__(self, code: str, *params: object) -> None:
        self.description: list[str] = [code, *(str(param) for param in params)]
        super().__init__(" ".join(self.description))

    @property
    def code(self) -> str:
        return self.description[0]


def handle_invalid(class_name: str, ref: str) -> XapiError:
    return XapiError("HANDLE_INVALID", class_name, ref)


def internal_error(text: str) -> XapiError:
    return XapiError("INTERNAL_ERROR", text)
