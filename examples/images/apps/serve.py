# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Serve HTTP until SIGTERM: as the first process of a container, a program gets no default action for it."""

from __future__ import annotations

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LONGEST_BODY = 4096


def serve(port: int, handler: type[BaseHTTPRequestHandler]) -> None:
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    with ThreadingHTTPServer(("", port), handler) as server:
        server.daemon_threads = True
        server.serve_forever()
