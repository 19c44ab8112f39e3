"""Servers on loopback, in a thread of this process, with the official client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
from fastapi import FastAPI

from llava_video.chat.protocol import Answered, AnswerOptions, Conversation, Piece
from llava_video.serve.app import make_serve_app
from llava_video.serve.engine.served import ServedCheckpoint, ServedModel
from llava_video.serve.services import Services
from llava_video.serve.settings import ServeSettings
from llava_video.web.run import WebServer, running

SAMPLES = Path(__file__).parents[2] / "src/llava_video/assets/samples"
FOUR_SHAPES = SAMPLES / "four_shapes.mp4"
COMPLETIONS = "/v1/chat/completions"


@dataclass
class Served:
    """A server that runs.

    Attributes:
        app: which it serves.
        server: which serves it.
        log: its records.
        client: OpenAI's, without attempts of its own.
        http: for what that does not do.
    """

    app: FastAPI
    server: WebServer
    log: list[dict[str, Any]]
    client: openai.OpenAI
    http: httpx.Client

    @property
    def services(self) -> Services:
        return self.app.state.services

    def run(self, function: Callable[[], Any]) -> Any:
        """What a function returns in the engine's thread."""
        place = self.services.engine.room.enter(1)
        try:
            return self.services.engine.run(place, function).result(60)
        finally:
            self.services.engine.room.leave(place)

    def ask(self, *parts: Any, **options: Any) -> Any:
        """The completion of one question; greedy, and short, unless said otherwise."""
        return self.client.chat.completions.create(**body(*parts, **options))

    def post(self, *parts: Any, **options: Any) -> httpx.Response:
        """The raw response to one question."""
        return self.http.post(COMPLETIONS, json=body(*parts, **options))


def body(*parts: Any, **options: Any) -> dict[str, Any]:
    """A request; texts and parts are the user's only message unless ``messages`` are given."""
    content = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {
        "model": "tiny",
        "messages": [{"role": "user", "content": content}],
        "temperature": 0,
        **options,
    }


def video_url(name: str | Path) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": str(name)}}


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something comes to hold; how fast a machine is decides nothing."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


@contextmanager
def serving(model: ServedModel, *, key: str | None = None, **changes: Any) -> Iterator[Served]:
    """A server of a model, with settings that differ from the usual ones."""
    settings = replace(ServeSettings(media_root=SAMPLES, drain_seconds=5), **changes)
    log: list[dict[str, Any]] = []
    app = make_serve_app(model, settings, log.append)
    with running(app, drain_seconds=settings.drain_seconds) as server:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        client = openai.OpenAI(
            base_url=f"{server.url}/v1", api_key=key or "none", max_retries=0, timeout=60
        )
        with client, httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:
            yield Served(app, server, log, client, http)


class Gate:
    """A checkpoint whose answers wait before each event until they are let through.

    Attributes:
        batches: number of rows of each call.
        entered: set once an answer waits here.
    """

    def __init__(self, inner: ServedCheckpoint) -> None:
        self.inner = inner
        self.batches: list[int] = []
        self.entered = threading.Event()
        self.leaving: Collection[int] = ()
        self._open = threading.Event()
        self._open.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def shut(self) -> None:
        self.entered.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def answer(
        self,
        conversations: Sequence[Conversation],
        options: AnswerOptions,
        *,
        leaving: Collection[int] = (),
    ) -> Iterator[Piece | Answered]:
        self.batches.append(len(conversations))
        self.leaving = leaving
        for event in self.inner.answer(conversations, options, leaving=leaving):
            if not self._open.is_set():
                self.entered.set()
                assert self._open.wait(30)
            yield event  # the last thing: whoever has the answer finds nothing waiting here
