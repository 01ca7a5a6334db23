# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What ``hardshell.xen.image`` does."""

from __future__ import annotations

import typing as t

from .._module import Context


def run(parameters: dict[str, t.Any], context: Context) -> dict[str, t.Any]:
    """Run the module."""
    raise NotImplementedError
