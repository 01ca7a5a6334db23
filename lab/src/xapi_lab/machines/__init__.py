# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Backends that run the lab's machines, and the storage behind its disks."""
