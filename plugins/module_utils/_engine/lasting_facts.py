# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""What of an engine's own words about itself stays as long as it is the same engine, and holds no secret. Docker API 1.41 to 1.55."""

from __future__ import annotations

# Keys of GET /info, and of GET /version.
INFO = (
    "Name", "ServerVersion", "Driver", "OperatingSystem", "OSType", "Architecture", "KernelVersion", "NCPU", "CgroupVersion", "DefaultRuntime",
    "IndexServerAddress", "IPv4Forwarding", "LiveRestoreEnabled", "SecurityOptions",
)  # fmt: skip
VERSION = ("Version", "ApiVersion", "MinAPIVersion", "GitCommit", "GoVersion", "Os", "Arch", "KernelVersion")
