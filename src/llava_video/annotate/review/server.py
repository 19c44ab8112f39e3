"""The review page's server: this machine only, one reviewer, one run folder."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import mimetypes
import re
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from llava_video.annotate.decisions import (
    Decision,
    Decisions,
    add_decision,
    agreements,
    check_reviewer,
    decisions_about,
    parse_decision,
    read_decisions,
)
from llava_video.annotate.records import QA, Caption, VideoRecord
from llava_video.annotate.run_folder import Run, load_run
from llava_video.annotate.steps.prompts import titles
from llava_video.annotate.views.explain import explain
from llava_video.errors import InputError, LlavaVideoError
from llava_video.pages.html import render_template
from llava_video.video import read_video

_CHUNK_BYTES = 256 * 1024
_MAX_BODY_BYTES = 64 * 1024


class ReviewServer(ThreadingHTTPServer):
    """Serves the records of one run to one reviewer.

    Attributes:
        reviewed_run: the run that is reviewed.
        reviewer: whose decisions are taken.
        records: its annotated videos, by id.
        lock: one decision is written at a time.
    """

    daemon_threads = True

    def __init__(self, run: Run, reviewer: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.reviewed_run = run
        self.reviewer = check_reviewer(reviewer)
        self.records: dict[str, VideoRecord] = {
            record.video_id: record
            for record in run.records
            if record.description is not None and not record.is_rejected
        }
        self.items: dict[str, QA | Caption] = {}
        for record in self.records.values():
            self.items |= {caption.caption_id: caption for caption in record.captions}
            self.items |= {qa.qa_id: qa for qa in record.qas}
        self.titles = titles(run.recipe.prompts)
        self.lock = threading.Lock()


def make_server(folder: Path, reviewer: str, port: int) -> ReviewServer:
    """A server that listens on 127.0.0.1; call ``serve_forever``.

    Raises:
        InputError: the folder is not a run, the reviewer's name is not a file name, or
            the port is taken.
    """
    run = load_run(folder)
    check_reviewer(reviewer)
    try:
        return ReviewServer(run, reviewer, port)
    except OSError as error:
        raise InputError(f"port {port}: {error.strerror}; give another --port, or 0") from error


def _check_edit(decision: Decision, item: QA | Caption) -> None:
    """Refuse an edit that does not fit what it is about."""
    if isinstance(item, Caption):
        if not decision.text.strip():
            raise InputError("an edit of a description needs its text")
    elif not (decision.question.strip() and decision.answer.strip()):
        raise InputError("an edit of a question needs a question and an answer")
    elif decision.answer in set(item.options) - {item.answer}:
        raise InputError("the answer is one of the wrong choices; word it differently")


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """See the base class; a closed connection is not printed."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        values = {name: found[0] for name, found in parse_qs(url.query).items()}
        pages = {
            "/": self._page,
            "/api/videos": self._videos,
            "/api/video": self._video,
            "/api/explain": self._explain,
            "/api/agreement": self._agreement,
            "/media": self._media,
            "/frame": self._frame,
        }
        self._answer(pages.get(url.path), values)

    def do_POST(self) -> None:
        pages = {"/api/decision": self._decide}
        self._answer(pages.get(urlsplit(self.path).path), {})

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not printed."""

    def _answer(self, page: Any, values: dict[str, str]) -> None:
        if not self._is_from_here():
            self._send_json({"error": "this page is for this machine only"}, HTTPStatus.FORBIDDEN)
        elif page is None:
            self._send_json({"error": "no such page"}, HTTPStatus.NOT_FOUND)
        else:
            try:
                page(values)
            except ConnectionError:
                raise  # the browser closed the connection, as when it seeks
            except (LlavaVideoError, OSError) as error:
                self._send_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)

    def _is_from_here(self) -> bool:
        """Other sites must not reach this server through the user's browser."""
        allowed = {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}
        origin = self.headers.get("Origin")
        return (
            self.headers.get("Host") in allowed
            and (origin is None or urlsplit(origin).netloc in allowed)
            # Browsers send this where a page of another site embeds ours or its media.
            and self.headers.get("Sec-Fetch-Site") not in ("cross-site", "same-site")
        )

    def _page(self, values: dict[str, str]) -> None:
        page = render_template(Path(__file__).parent, "page.html")
        self._send(page.encode(), "text/html; charset=utf-8")

    def _videos(self, values: dict[str, str]) -> None:
        own = self._own_decisions()
        rows = [
            {
                "id": record.video_id,
                "seconds": record.facts.duration_seconds if record.facts else 0,
                "questions": len(record.qas),
                "decided": sum(bool(decisions_about(qa, own)) for qa in record.qas),
            }
            for record in self.server.records.values()
        ]
        self._send_json({"reviewer": self.server.reviewer, "videos": rows})

    def _video(self, values: dict[str, str]) -> None:
        record = self._record(values)
        own = self._own_decisions()
        decided = {qa.qa_id: decisions_about(qa, own) for qa in record.qas}
        qas = [
            {
                **dataclasses.asdict(qa),
                "title": self.server.titles.get(qa.type, qa.type),
                "letter": qa.letter,
                "decision": next((dataclasses.asdict(d) for d in decided[qa.qa_id]), None),
            }
            for qa in record.qas
        ]
        captions = [
            {
                **dataclasses.asdict(caption),
                "decision": next(map(dataclasses.asdict, decisions_about(caption, own)), None),
            }
            for caption in record.captions
        ]
        seconds = record.facts.duration_seconds if record.facts else 0
        found = {"id": record.video_id, "seconds": seconds, "captions": captions, "qas": qas}
        self._send_json(found)

    def _own_decisions(self) -> Decisions:
        found = read_decisions(self.server.reviewed_run.folder)
        return {name: own for name, own in found.items() if name == self.server.reviewer}

    def _explain(self, values: dict[str, str]) -> None:
        self._send_json(explain(self.server.reviewed_run.folder, values.get("id", "")))

    def _agreement(self, values: dict[str, str]) -> None:
        found = agreements(read_decisions(self.server.reviewed_run.folder))
        self._send_json([dataclasses.asdict(agreement) for agreement in found])

    def _decide(self, values: dict[str, str]) -> None:
        try:
            value = json.loads(self._body())
        except (ValueError, RecursionError) as error:
            raise InputError(f"a decision is a JSON object ({error})") from error
        item = self.server.items.get(str(value.get("qa_id"))) if isinstance(value, dict) else None
        if item is None:
            raise InputError("no such question or description")
        decision = parse_decision(
            {**value, "reviewer": self.server.reviewer, "call_key": item.provenance.call_key}
        )
        if decision.verdict == "edit":
            _check_edit(decision, item)
        with self.server.lock:
            add_decision(self.server.reviewed_run.folder, decision)
        self._send_json(dataclasses.asdict(decision))

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        fits = length.isdigit() and int(length) <= _MAX_BODY_BYTES
        if self.headers.get_content_type() != "application/json" or not fits:
            self.close_connection = True  # what it sends is not read
            raise InputError("a decision is a small JSON object")
        return self.rfile.read(int(length))

    def _record(self, values: dict[str, str]) -> VideoRecord:
        record = self.server.records.get(values.get("id", ""))
        if record is None:
            raise InputError("no such video")
        return record

    def _media(self, values: dict[str, str]) -> None:
        """The video file, in the byte ranges that a browser asks for when it seeks."""
        path = Path(self._record(values).path)
        size = path.stat().st_size
        start, stop = 0, size
        wanted = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", self.headers.get("Range", ""))
        if wanted and wanted[1]:
            start = int(wanted[1])
            stop = min(size, int(wanted[2]) + 1) if wanted[2] else size
        elif wanted and wanted[2]:
            start = max(0, size - int(wanted[2]))
        if start >= max(stop, 1) and size:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK)
        kind = mimetypes.guess_type(path.name)[0] or ""
        # A file with the content of a video may be called .html, and must not be served as such.
        kind = kind if kind.startswith("video/") or kind == "image/gif" else "video/mp4"
        self.send_header("Content-Type", kind)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Accept-Ranges", "bytes")
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(start)
            left = stop - start
            while left > 0 and (chunk := file.read(min(_CHUNK_BYTES, left))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def _frame(self, values: dict[str, str]) -> None:
        """A still, for formats that the browser cannot play."""
        record = self._record(values)
        try:
            seconds = max(0.0, float(values.get("t", "0")))
        except ValueError as error:
            raise InputError("t is a time in seconds") from error
        last = record.facts.duration_seconds - 0.1 if record.facts else seconds
        frames = read_video(record.path, num_frames=1, start_seconds=max(0.0, min(seconds, last)))
        buffer = io.BytesIO()
        Image.fromarray(frames.pixels[0]).save(buffer, "JPEG")
        self._send(buffer.getvalue(), "image/jpeg")

    def _send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)
