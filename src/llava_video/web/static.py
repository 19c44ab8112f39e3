"""The files of a page: read once, and sent again only where a browser has another version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from llava_video.web.errors import HttpError

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Of a page: nothing inline, nothing from elsewhere; pictures and videos that it made itself."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    tag: str


class StaticFiles:
    """The files of a folder by name; no others, and none of folders within.

    Args:
        folder: what it holds when this is made is served.
        more: further files, by name, with contents made here; for the kinds of `KINDS`.
    """

    def __init__(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        found = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in KINDS}
        found |= {name: text.encode() for name, text in (more or {}).items()}
        self._files = {
            name: _File(content, KINDS[Path(name).suffix], f'"{_digest(content)}"')
            for name, content in found.items()
        }

    def response(self, request: Request, name: str) -> Response:
        """A file, or that the browser's copy of it is the newest.

        Raises:
            HttpError: 404, there is no such file.
        """
        file = self._files.get(name)
        if file is None:
            raise HttpError(404, "the page has no such file")
        headers = {
            "etag": file.tag,
            "cache-control": "no-cache",  # a browser asks whether its copy is the newest
            "content-security-policy": PAGE_POLICY,
        }
        if request.headers.get("if-none-match") == file.tag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.kind, headers=headers)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
