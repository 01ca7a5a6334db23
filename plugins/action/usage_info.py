# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ``hardshell.xen.usage_info`` inside the controller."""

from __future__ import annotations

from ansible_collections.hardshell.xen.plugins.modules import usage_info
from ansible_collections.hardshell.xen.plugins.plugin_utils._in_controller import InController


class ActionModule(InController):
    definition = usage_info.DEFINITION
