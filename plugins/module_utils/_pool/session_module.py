# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.session`` does."""

from __future__ import annotations

import typing as t

from .._module import Context
from .connection import connection_options
from .session import Session
from .xapi_errors import XapiError


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Log in and hand the session on, or end one that was handed on."""
    options = connection_options(parameters)
    result: dict[str, t.Any] = {"changed": False, "changes": []}
    if parameters["state"] == "present":
        with Session(options.fresh(), context.warn) as session:
            reference = session.log_in()
            result["session"] = {"ref": reference, "url": session.address.url, "username": options.username}
        return result
    with Session(options.without_password(), context.warn) as session:
        try:
            session.end()
        except XapiError as error:
            if error.code != "SESSION_INVALID":
                raise
    return result
