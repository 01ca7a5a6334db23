# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module promises in the same words."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and announces exactly what a real run would change.
    support: full
  diff_mode:
    description: Will return what was and what will be, when in diff mode.
    support: full
"""

    # A module whose states are all reached by running it once: a second run changes nothing.
    IDEMPOTENT = r"""
options: {}
attributes:
  idempotent:
    description: When run twice in a row with the same arguments, the second run reports no change.
    support: full
"""

    # For modules that only read.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Changes nothing, so a run in C(check_mode) is the same as any other.
    support: full
  diff_mode:
    description: Will return what was and what will be, when in diff mode.
    support: N/A
    details:
      - This module changes nothing.
  idempotent:
    description: When run twice in a row with the same arguments, the second run reports no change.
    support: full
"""

    IN_CONTROLLER = r"""
options: {}
attributes:
  action:
    description: Has an action plugin that runs the same code inside the controller when the target is the controller.
    support: full
  async:
    description: Supports being used with the C(async) keyword.
    support: full
"""

    ACTIONGROUP_XAPI = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/hardshell.xen.xapi) in C(module_defaults) to set the connection options once.
    support: full
    membership:
      - hardshell.xen.xapi
"""

    ACTIONGROUP_DOCKER = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/hardshell.xen.docker) in C(module_defaults) to set the connection options once.
    support: full
    membership:
      - hardshell.xen.docker
"""
