# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""An XAPI-compatible pool on a loopback port, for tests and demonstrations."""
