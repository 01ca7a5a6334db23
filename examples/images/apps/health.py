# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Health check: succeeds when GET /health on the port given answers 200.

By a bare socket, because it runs every few seconds and a slow machine feels each import.
"""

from __future__ import annotations

import socket
import sys

with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=8) as connection:
    connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
    with connection.makefile("rb") as answer:
        status = answer.readline().split()[1]
sys.exit(status != b"200")
