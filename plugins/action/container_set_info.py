# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ..modules import container_set_info
from ..plugin_utils._in_controller import InController


class ActionModule(InController):
    definition = container_set_info.DEFINITION
