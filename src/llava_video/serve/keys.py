"""Keys: read from a file, compared in constant time, asked for on every path but a few."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from llava_video.errors import InputError
from llava_video.web.errors import HttpError
from llava_video.web.middleware import log_of

PUBLIC_PATHS = ("/health", "/")
"""Asked for without a key: whether the server is there, and the page, which holds no data."""

PUBLIC_FOLDER = "/static/"
"""The modules and styles of the page."""

LEAST_CHARACTERS = 16
NO_KEY = "anyone"


def read_keys(file: Path) -> list[str]:
    """The keys of a file, one a line; empty lines and those after ``#`` are left out.

    Raises:
        InputError: it cannot be read, holds none, or one that is too short to be secret.
    """
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read as a file of keys ({error})") from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise InputError(f"{file}: holds no key; write one a line")
    for number, key in enumerate(keys, 1):
        if len(key) < LEAST_CHARACTERS or not re.fullmatch(r"[\x21-\x7e]+", key):
            raise InputError(
                f"{file}: key {number} is shorter than {LEAST_CHARACTERS} characters, or holds "
                "some that a header cannot; make one with `openssl rand -hex 24`"
            )
    return keys


class Keys:
    """Asks for a Bearer token.

    The name of who asks, which files belong to, is ``scope["state"]["owner"]``: a digest of the
    key, or ``anyone`` where no key is asked for.

    Args:
        app: what it surrounds.
        keys: any of which will do; none asks for none.
    """

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            owner = self._owner(Headers(scope=scope).get("authorization", ""))
            if owner is None and not is_public(scope["path"]):
                error = HttpError(
                    401,
                    "a key of this server is missing or wrong; send it as "
                    "'Authorization: Bearer KEY'",
                    code="invalid_api_key",
                    headers={"www-authenticate": "Bearer"},
                )
                await error.response()(scope, receive, send)
                return
            scope["state"]["owner"] = owner
            log_of(scope)["owner"] = owner
        await self._app(scope, receive, send)

    def _owner(self, header: str) -> str | None:
        if not self._digests:
            return NO_KEY
        scheme, _, key = header.partition(" ")
        asked = _digest(key.strip())
        # All are compared, and digests take equally long whatever was sent.
        found = [hmac.compare_digest(digest, asked) for digest in self._digests]
        return asked.hex()[:12] if any(found) and scheme.lower() == "bearer" else None


def is_public(path: str) -> bool:
    """Whether a path may be asked for without a key."""
    return path in PUBLIC_PATHS or path.startswith(PUBLIC_FOLDER)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("latin-1", "replace")).digest()
