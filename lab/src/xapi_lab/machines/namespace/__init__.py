# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The ``namespace`` backend: a VM is a set of Linux namespaces with a system of its own in them.

The guest's /usr and /etc are overlays over this machine's, everything else is its own, and all that it writes belongs to
its root VDI. Process 1 is ``init``: it plays a small cloud-init and a guest agent, runs sshd, and starts dockerd with the
first connection to its socket. It is no boundary of trust: root in a guest is root of this machine.
"""
