"""An OpenAI-compatible server on loopback that streams words, and keeps what it was asked."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StreamingEndpoint:
    """``with StreamingEndpoint() as server:`` and point a client at ``server.url``.

    Attributes:
        words: of every answer.
        finish_reason: of every answer; None breaks it off.
        status: of every response.
        bodies: of the requests.
    """

    def __init__(self) -> None:
        self.words = ["It", " is", " red."]
        self.finish_reason: str | None = "stop"
        self.status = 200
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.bodies.append(body)
                self.send_response(outer.status)
                kind = "text/event-stream" if outer.status == 200 else "application/json"
                self.send_header("content-type", kind)
                self.end_headers()
                self.wfile.write(outer.payload(body).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> StreamingEndpoint:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def payload(self, body: dict[str, Any]) -> str:
        """The whole response to a request."""
        if self.status != 200:
            return json.dumps({"error": {"message": "no such thing"}})
        about = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": body["model"]}
        deltas: list[dict[str, Any]] = [{"content": word} for word in self.words]
        chunks = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        if self.finish_reason is not None:
            last = {"index": 0, "delta": {}, "finish_reason": self.finish_reason}
            chunks.append({"choices": [last]})
        usage = {
            "prompt_tokens": 50,
            "completion_tokens": len(self.words),
            "total_tokens": 50 + len(self.words),
            "prompt_tokens_details": {"cached_tokens": 20},
        }
        chunks.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps({**about, **chunk})}\n\n" for chunk in chunks]
        return "".join([*lines, "data: [DONE]\n\n"])
