# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Requests to a Docker Engine, in the engine's own words, with its errors made readable.

Nothing here knows of sets. API: https://docs.docker.com/reference/api/engine/version/v1.51/
"""

from __future__ import annotations

import contextlib
import json
import re
import typing as t

from .._errors import HardshellError
from .sdk import CancellableStream, requests, wait_without_limit

JSON = dict[str, t.Any]

OLDEST_API = (1, 41)
NEWEST_API = (1, 55)
# What an engine says that no longer speaks the version it is asked in: moby, daemon/server/middleware/version.go.
_ASKED_TOO_OLD = re.compile(r"is too old\. Minimum supported API version is (\d+\.\d+)")
# Of a log no more is read, whatever the container writes into a line.
MOST_LOG_BYTES = 1 << 20


class EngineError(HardshellError):
    """The engine said no. ``status`` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ConnectionLost(HardshellError):
    """The engine did not answer: whether it has done what it was asked is not known."""


def _version(text: str) -> tuple[int, int]:
    major, _dot, minor = text.partition(".")
    return int(major), int(minor)


class Engine:
    """One engine. Safe to use from several threads.

    ``explain`` tells why the way to the engine is closed, ``revive`` opens it again; both belong to the transport. ``verified`` is whether it was made sure
    that it is this engine that answers.
    """

    verified = True

    def __init__(
        self,
        client: t.Any,
        host: str,
        explain: t.Callable[[], str] = lambda: "",
        revive: t.Callable[[], None] = lambda: None,
    ) -> None:
        self.host = host
        self.api = OLDEST_API
        self._client = client
        self._explain = explain
        self._revive = revive
        self._timeout = client.timeout

    def close(self) -> None:
        self._client.close()

    def revive(self) -> None:
        """Open the way to the engine again, if it is closed."""
        self._revive()

    def agree_on_version(self) -> None:
        """Take the newest API that both sides know. Raises HardshellError for an engine that is too old."""
        answer = self._send("GET", "/_ping", versioned=False)
        offered = answer.headers.get("Api-Version", "")
        if not offered:
            raise HardshellError(f"docker_host: what answers at {self.host} is not a Docker Engine")
        if answer.headers.get("Libpod-Api-Version"):
            # Seen with Podman 4.3, 5.4 and 5.8: consumers do not know a provider by its alias, and every run would find each container in another network.
            raise HardshellError(
                f"docker_host: what answers at {self.host} is Podman {answer.headers['Libpod-Api-Version']}, which keeps no aliases of links and "
                "reports containers otherwise than they were asked for; a Docker Engine is needed"
            )
        if _version(offered) < OLDEST_API:
            raise HardshellError(
                f"the engine at {self.host} speaks API {offered}; 1.41 (Docker Engine 20.10) or later is needed"
            )
        self.api = min(_version(offered), NEWEST_API)
        if _version(offered) > NEWEST_API:
            self._heed_oldest_version()

    def _heed_oldest_version(self) -> None:
        """An engine that is newer than any that was tried may know the newest version that is known here no more: then its oldest one is the nearest."""
        try:
            self._send("GET", "/_ping")
        except EngineError as error:
            oldest = _ASKED_TOO_OLD.search(error.message)
            if oldest is None:
                raise
            self.api = _version(oldest[1])

    def get(self, path: str, *, headers: t.Mapping[str, str] | None = None, **query: t.Any) -> t.Any:
        return self._value(self._send("GET", path, query=query, headers=headers))

    def post(self, path: str, body: t.Any = None, *, extra_seconds: float = 0, **query: t.Any) -> t.Any:
        """``extra_seconds`` is what the engine may take above the usual limit."""
        answer = self._send("POST", path, query=query, body=body, extra_seconds=extra_seconds)
        return self._value(answer) if answer.content else None

    def unpack(self, container: str, directory: str, archive: bytes) -> None:
        """Put what a tar archive holds into a container, running or not, with the owners that it names."""
        headers = {"Content-Type": "application/x-tar"}
        self._send("PUT", f"/containers/{container}/archive", query={"path": directory}, data=archive, headers=headers)

    def delete(self, path: str, *, missing_ok: bool = True, **query: t.Any) -> None:
        try:
            self._send("DELETE", path, query=query)
        except EngineError as error:
            if not (missing_ok and error.status == 404):
                raise

    def logs(self, container: str, lines: int) -> list[str]:
        """The last lines that a container wrote, both streams in order of arrival, as far as they fit in a mebibyte."""
        query = {"stdout": 1, "stderr": 1, "tail": lines}
        answer = self._send("GET", f"/containers/{container}/logs", query=query, stream=True)
        content = b""
        with contextlib.closing(answer), self._readable_errors():
            for chunk in answer.iter_content(chunk_size=1 << 16):
                content += chunk
                if len(content) >= MOST_LOG_BYTES:
                    break
        return demultiplex(content).decode("utf-8", "replace").splitlines()

    def progress(
        self, path: str, *, data: t.Any = None, headers: t.Mapping[str, str] | None = None, **query: t.Any
    ) -> t.Iterator[JSON]:
        """The engine's reports while it loads or pulls an image. Raises EngineError for the error among them."""
        answer = self._send("POST", path, query=query, data=data, headers=headers, stream=True, extra_seconds=3600)
        with contextlib.closing(answer), self._readable_errors():
            for report in _json_values(answer.iter_content(chunk_size=None)):
                # ``error`` is to go: API 1.48.
                problem = report.get("error") or (report.get("errorDetail") or {}).get("message")
                if problem:
                    raise EngineError(500, str(problem))
                yield report

    def events(self, filters: JSON) -> Events:
        """The engine's events from now on. The engine answers at once; an event may be long in coming."""
        answer = self._send("GET", "/events", query={"filters": json.dumps(filters)}, stream=True)
        wait_without_limit(self._client, answer)
        return Events(answer)

    def _value(self, answer: t.Any) -> t.Any:
        try:
            return answer.json()
        except ValueError as error:
            raise HardshellError(
                f"docker_host: what answers at {self.host} does not speak as a Docker Engine does: it said {answer.text[:200]!r}"
            ) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: t.Mapping[str, t.Any] | None = None,
        body: t.Any = None,
        data: t.Any = None,
        headers: t.Mapping[str, str] | None = None,
        stream: bool = False,
        versioned: bool = True,
        extra_seconds: float = 0,
    ) -> t.Any:
        prefix = f"/v{self.api[0]}.{self.api[1]}" if versioned else ""
        with self._readable_errors():
            answer = self._client.request(
                method,
                f"{self._client.base_url}{prefix}{path}",
                params={key: value for key, value in (query or {}).items() if value is not None},
                json=body,
                data=data,
                headers=headers,
                stream=stream,
                timeout=(self._timeout, self._timeout + extra_seconds),
            )
            if not _has_whole_head(answer):
                raise ConnectionLost(f"the connection to the engine at {self.host} was cut in the middle of an answer")
            if answer.status_code >= 400:
                raise EngineError(answer.status_code, _message(answer))
        return answer

    @contextlib.contextmanager
    def _readable_errors(self) -> t.Iterator[None]:
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise ConnectionLost(
                f"docker_ca_path: the certificate of {self.host} is not accepted, or the engine does not accept ours ({_innermost(error)})"
            ) from error
        except requests.exceptions.Timeout as error:
            raise ConnectionLost(
                f"{self.host} did not answer in time; raise docker_timeout ({self._timeout} s) if it is merely slow"
            ) from error
        except requests.exceptions.RequestException as error:
            reason = self._explain() or str(_innermost(error))
            raise ConnectionLost(f"no connection to the engine at {self.host}: {reason}") from error


class Events:
    """A stream of the engine's events, closed from any thread."""

    def __init__(self, answer: t.Any) -> None:
        self._answer = answer
        self._stream = CancellableStream(_json_values(answer.iter_content(chunk_size=None)), answer)

    def __iter__(self) -> t.Iterator[JSON]:
        yield from self._stream

    def close(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self._stream.close()
        self._answer.close()


def demultiplex(content: bytes) -> bytes:
    """The text of a log. Without a terminal each piece has a header of eight bytes: stream, three zeros, length."""
    pieces, rest = [], content
    while len(rest) >= 8 and rest[0] in (0, 1, 2) and rest[1:4] == b"\0\0\0":
        length = int.from_bytes(rest[4:8], "big")
        pieces.append(rest[8 : 8 + length])
        rest = rest[8 + length :]
    return b"".join(pieces) if pieces else rest


def _json_values(chunks: t.Iterable[bytes]) -> t.Iterator[JSON]:
    decoder = json.JSONDecoder()
    pending = ""
    for chunk in chunks:
        pending = (pending + chunk.decode("utf-8", "replace")).lstrip()
        while pending:
            try:
                value, end = decoder.raw_decode(pending)
            except ValueError:
                break
            yield value
            pending = pending[end:].lstrip()


def _has_whole_head(answer: t.Any) -> bool:
    """Python's HTTP client takes a connection that ends within the head for the end of the head.

    The engine tells the length of every body, or sends it in chunks.
    """
    return answer.status_code in (204, 304) or bool(
        answer.headers.get("Content-Length") or answer.headers.get("Transfer-Encoding")
    )


def _message(answer: t.Any) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}: {answer.text[:500]}"


def _innermost(error: BaseException) -> BaseException:
    """What truly happened, under the layers that passed it on."""
    while True:
        nested = [part for part in (getattr(error, "reason", None), *error.args) if isinstance(part, BaseException)]
        if not nested:
            return error
        error = nested[0]
