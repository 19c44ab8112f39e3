"""What surrounds every request: an id, headers, a line of log, a last answer; who may ask."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from llava_video.web.errors import HttpError

LogRecord = dict[str, Any]
Log = Callable[[LogRecord], None]

CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""Of responses that are no page; a page sets its own."""

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": CONTENT_POLICY,
    "cache-control": "no-store",
}

_DISCARD_BYTES, _DISCARD_SECONDS = 1 << 20, 2.0
"""Of a body that nobody reads, before its connection is closed."""

_LONGEST_LENGTH = 15
"""Digits of a length of a body that is read as a number."""

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


def log_lines() -> Log:
    """A log that writes one JSON object a line to standard error."""

    def log(record: LogRecord) -> None:
        print(json.dumps(record, ensure_ascii=True), file=sys.stderr, flush=True)

    return log


def no_log(record: LogRecord) -> None:
    """A log that keeps nothing."""


def log_of(scope: Scope) -> LogRecord:
    """What the log says of a request; routes add to it."""
    found: LogRecord = scope.setdefault("state", {}).setdefault("log", {})
    return found


class Envelope:
    """Gives each response a request id and security headers, and logs one line about it.

    An exception that nothing else has caught becomes a 500 that says nothing about the server; the
    log gets its type and the places in the code it went through, not its text, which may quote
    what a user sent.

    Args:
        app: what it surrounds.
        log: gets one record for each request.
    """

    def __init__(self, app: ASGIApp, log: Log) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{secrets.token_hex(12)}"
        record = log_of(scope)
        start = time.monotonic()
        status = 0

        async def send_in_envelope(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        scope["state"]["request_id"] = request_id
        try:
            await self._app(scope, receive, send_in_envelope)
        except Exception as error:  # noqa: BLE001  (the last place: the client is to get an answer)
            record["error"] = type(error).__name__
            record["places"] = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno}"
                for frame in traceback.extract_tb(error.__traceback__)[-8:]
            ]
            if status == 0:
                said = f"the server failed; its log says more about {request_id}"
                await HttpError(500, said).response()(scope, receive, send_in_envelope)
        finally:
            route = scope.get("route")
            self._log(
                {
                    "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                    "id": request_id,
                    "method": scope["method"],
                    "route": getattr(route, "path", None),
                    "status": status or 499,
                    "seconds": round(time.monotonic() - start, 4),
                    **record,
                }
            )


class SameSite:
    """Refuses what other sites send through a user's browser.

    Args:
        app: what it surrounds.
        names: the host names under which the server may be asked for, so that a foreign name
            that resolves to this machine is refused; None for any.
        origins: of other sites that may ask; ``*`` for any.
    """

    def __init__(
        self, app: ASGIApp, names: frozenset[str] | None, origins: Sequence[str] = ()
    ) -> None:
        self._app = app
        self._names = names
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(Headers(scope=scope))
            if refusal is not None:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> HttpError | None:
        host = headers.get("host", "")
        if self._names is not None and _name_of(f"//{host}") not in self._names:
            return HttpError(
                403, "this server is for its own machine; ask it as 127.0.0.1 or localhost"
            )
        origin = headers.get("origin")
        if origin is None:
            # Browsers send this where a page of another site embeds something of ours, or has a
            # link to it; only a link may be followed.
            is_foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")
            is_link = headers.get("sec-fetch-dest") == "document"
            refused = HttpError(403, "another site may not embed this")
            return refused if is_foreign and not is_link else None
        is_own = origin.partition("://")[2] == host
        if is_own or not self._origins.isdisjoint({"*", origin}):
            return None
        return HttpError(403, "another site may not ask this server; see --allow-origin")


def _name_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


class BodyLimits:
    """Ends requests whose body is too large, or does not come in time.

    Args:
        app: what it surrounds.
        seconds: from the headers to the last byte of the body.
        num_bytes: of a body.
        larger: paths, and what they take instead; they keep bodies on disk.
        num_at_once: bodies of the largest size that may be in memory at a time.
    """

    def __init__(
        self,
        app: ASGIApp,
        seconds: float,
        num_bytes: int,
        larger: Mapping[str, int],
        num_at_once: int = 16,
    ) -> None:
        self._app = app
        self._most_held = num_at_once * num_bytes
        self._num_held = 0
        self._seconds = seconds
        self._num_bytes = num_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._larger.get(scope["path"], self._num_bytes)
        headers = Headers(scope=scope)
        said = headers.get("content-length", "0")
        if not said.isdigit() or len(said) > _LONGEST_LENGTH or int(said) > most:
            await _too_large(most).response()(scope, receive, send)
            return
        is_held, num_held = scope["path"] not in self._larger, 0
        is_complete, num_left = said == "0" and "transfer-encoding" not in headers, most
        deadline = asyncio.get_running_loop().time() + self._seconds

        async def receive_within() -> Message:
            nonlocal is_complete, num_left, num_held
            if is_complete:
                return await receive()  # no body, or waits for the client to leave
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError as error:
                said = f"the body did not come within {self._seconds:g} s"
                raise HttpError(408, said, headers={"connection": "close"}) from error
            num_new = len(message.get("body", b""))
            num_left -= num_new
            if num_left < 0:
                raise _too_large(most)
            if is_held:
                num_held += num_new
                self._num_held += num_new
                if self._num_held > self._most_held:
                    said = "the server holds as many bodies as it can; ask again in 5 s"
                    raise HttpError(429, said, headers={"retry-after": "5"})
            is_complete = not message.get("more_body", False)
            return message

        async def discard() -> None:
            """Read a little of what is left: a client that still writes may lose the answer."""
            num_read = 0
            with suppress(HttpError, TimeoutError):
                async with asyncio.timeout(_DISCARD_SECONDS):
                    while not is_complete and num_read <= _DISCARD_BYTES:
                        num_read += len((await receive_within()).get("body", b""))

        async def send_and_close(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_complete:
                await discard()
                if not is_complete:  # it would be waited for without an end
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive_within, send_and_close)
        finally:
            self._num_held -= num_held


def _too_large(most: int) -> HttpError:
    return HttpError(
        413,
        f"the body is larger than {most:,} bytes; send less, or upload files to /v1/files",
        headers={"connection": "close"},
    )
