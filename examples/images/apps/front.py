# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The front of the demo: a page with the entries that the application container keeps, and a form for one more.

BACKEND is the application container's URL, by the name of the link to it; TITLE heads the page.
"""

from __future__ import annotations

import html
import http.client
import json
import os
import urllib.parse
from http.server import BaseHTTPRequestHandler

from serve import LONGEST_BODY, serve

TITLE = os.environ["TITLE"]
BACKEND = urllib.parse.urlsplit(os.environ["BACKEND"])
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>
<form method="post" action="/"><input name="text" maxlength="200" required autofocus> <button>Add</button></form>
<ol>
{entries}
</ol></body></html>
"""


def ask_backend(method: str, body: bytes | None = None) -> list[str]:
    connection = http.client.HTTPConnection(BACKEND.hostname or "", BACKEND.port, timeout=20)
    try:
        connection.request(method, "/entries", body)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise OSError(f"{BACKEND.netloc} answered {answer.status}")
        return [str(entry) for entry in json.loads(content)]
    finally:
        connection.close()


class Front(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(200, "text/plain", "ok\n")
        elif self.path == "/":
            self._show("GET")
        else:
            self._answer(404, "text/plain", "not found\n")

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length", 0)), LONGEST_BODY)
        form = urllib.parse.parse_qs(self.rfile.read(length).decode(errors="replace"))
        self._show("POST", form.get("text", [""])[0].encode())

    def _show(self, method: str, body: bytes | None = None) -> None:
        try:
            entries = ask_backend(method, body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._answer(502, "text/plain", f"the application does not answer: {error}\n")
            return
        items = "\n".join(f"<li>{html.escape(entry)}</li>" for entry in entries)
        self._answer(200, "text/html", PAGE.format(title=html.escape(TITLE), entries=items))

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


serve(8080, Front)
