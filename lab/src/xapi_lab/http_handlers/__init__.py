# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""XAPI's HTTP handlers beside the RPC ones."""
