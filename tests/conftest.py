# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from hypothesis import settings

# No deadline: a busy machine is not a defect.
settings.register_profile("hardshell", deadline=None, print_blob=True)
settings.load_profile("hardshell")
