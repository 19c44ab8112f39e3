"""The review page's server: this machine only, one reviewer, one run folder."""

from __future__ import annotations

import json
import math
import mimetypes
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response

from llava_video.annotate.decisions import check_reviewer
from llava_video.annotate.review.reviewed import Reviewed
from llava_video.annotate.run_folder import load_run
from llava_video.errors import InputError, LlavaVideoError
from llava_video.pages.html import COLOURS
from llava_video.web.app import make_app
from llava_video.web.errors import HttpError
from llava_video.web.run import WebServer
from llava_video.web.static import StaticFiles

_MAX_BODY_BYTES = 64 * 1024
_BODY_SECONDS = 30.0


def make_server(folder: Path, reviewer: str, port: int) -> WebServer:
    """A server that listens on 127.0.0.1; call ``serve_until_stopped``.

    Raises:
        InputError: the folder is not a run, the reviewer's name is not a file name, or
            the port is taken.
    """
    run = load_run(folder)
    return WebServer(make_review_app(Reviewed(run, check_reviewer(reviewer))), port=port)


def make_review_app(reviewed: Reviewed) -> FastAPI:
    """The page and what it asks for; other sites get nothing through the reviewer's browser."""
    app = make_app(max_body_bytes=_MAX_BODY_BYTES, max_body_seconds=_BODY_SECONDS)
    app.state.reviewed = reviewed
    files = StaticFiles(Path(__file__).parent / "static", {"colours.css": COLOURS.read_text()})

    @app.exception_handler(LlavaVideoError)
    @app.exception_handler(OSError)
    async def refused(request: Request, error: Exception) -> Response:
        return HttpError(400, str(error)).response()

    @app.get("/")
    async def page(request: Request) -> Response:
        return files.response(request, "index.html")

    @app.get("/static/{name}")
    async def static(request: Request, name: str) -> Response:
        return files.response(request, name)

    @app.get("/api/videos")
    def videos() -> dict[str, Any]:
        return reviewed.videos()

    @app.get("/api/video")
    def video(id: str = "") -> dict[str, Any]:
        return reviewed.video(id)

    @app.get("/api/explain")
    def explain(id: str = "") -> Any:
        return reviewed.explain(id)

    @app.get("/api/agreement")
    def agreement() -> list[dict[str, Any]]:
        return reviewed.agreements()

    @app.post("/api/decision")
    async def decide(request: Request) -> dict[str, Any]:
        value = _parse(await request.body(), request.headers.get("content-type", ""))
        return await run_in_threadpool(reviewed.decide, value)

    @app.get("/media")
    def media(id: str = "") -> FileResponse:
        path = reviewed.file_of(id)
        kind = mimetypes.guess_type(path.name)[0] or ""
        # A file with the content of a video may be called .html, and must not be served as such.
        kind = kind if kind.startswith("video/") or kind == "image/gif" else "video/mp4"
        return FileResponse(path, media_type=kind)

    @app.get("/frame")
    def frame(id: str = "", t: float = 0.0) -> Response:
        if not math.isfinite(t):
            raise InputError("t is a time in seconds")
        return Response(reviewed.still(id, t), media_type="image/jpeg")

    return app


def _parse(body: bytes, kind: str) -> Any:
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise InputError("a decision is a small JSON object")
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"a decision is a JSON object ({error})") from error
