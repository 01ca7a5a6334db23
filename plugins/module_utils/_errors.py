# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The errors that a user reads: one message that says what was asked, what was found and what to do."""

from __future__ import annotations

import typing as t


class HardshellError(Exception):
    """A failure with a message for the person who ran the task.

    ``details`` become keys of the failed task's result, beside ``msg``: plain data only, and never a secret.
    """

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class OptionError(HardshellError):
    """An option's value cannot be used. Raised before anything is changed.

    The message names the option, shows the value and says what would be right.
    """

    def __init__(self, option: str, value: t.Any, expected: str) -> None:
        super().__init__(f"{option}: {value!r} cannot be used; {expected}", option=option)
        self.option = option
